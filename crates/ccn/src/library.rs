//! The messages of this node, as neighbours reconcile them.

mod parcel;

use beth_network::{Batch, Judged, Library, LibraryError, Tally, Wanted};
use beth_protocol::Message;
use beth_protocol::reconcile::frame::{Reply, Request};
use beth_protocol::reconcile::{AskError, Asker, Element, Range, Salt, Step, answer};
use beth_protocol::rejection::Code;
use beth_store::rows::Outcome;
use beth_store::{Readers, State};
use futures::future::BoxFuture;

use crate::limits::LIBRARY_PAGE;
use crate::pipeline::Pipeline;

/// Reads from the state, and hands what is new to the pipeline.
pub(crate) struct Shelves {
    /// Of its own: who reads a page must not wait for who reads a sketch.
    pub(crate) readers: Readers,
    pub(crate) pipeline: Pipeline,
}

impl Shelves {
    fn read<T>(
        &self,
        read: impl FnOnce(&State<'_>) -> Result<T, beth_store::Error>,
    ) -> Result<T, LibraryError> {
        self.readers.read(read).map_err(failed)
    }
}

fn failed(error: beth_store::Error) -> LibraryError {
    LibraryError(error.to_string())
}

impl Library for Shelves {
    fn answer(&self, request: &Request) -> Result<Reply, LibraryError> {
        self.read(|state| answer(state, request))
    }

    fn begin(&self, salt: Salt) -> Result<(Asker, Request), LibraryError> {
        self.read(|state| Asker::begin(state, salt))
    }

    fn hear(&self, asker: &mut Asker, reply: Reply) -> Result<Step, AskError<LibraryError>> {
        let heard = self.read(|state| match asker.hear(state, reply) {
            Ok(step) => Ok(Ok(step)),
            Err(AskError::Nonsense(what)) => Ok(Err(AskError::Nonsense(what))),
            Err(AskError::Set(error)) => Err(error),
        });
        heard?
    }

    fn messages(&self, wanted: Wanted, bytes_max: usize) -> Result<Batch, LibraryError> {
        self.read(|state| {
            let mut page = Page {
                batch: Batch {
                    messages: Vec::new(),
                    rest: wanted,
                },
                bytes_left: bytes_max,
            };
            page.fill(state)?;
            Ok(page.batch)
        })
    }

    fn take(&self, messages: Vec<Vec<u8>>) -> BoxFuture<'_, Option<Judged>> {
        Box::pin(async move {
            let mut handed = Vec::with_capacity(messages.len());
            for arrival in messages.iter().filter_map(|data| parcel::open(data)) {
                handed.push(self.pipeline.hand(arrival).await.ok()?);
            }
            let unread = messages.len() - handed.len();
            let judged: Judged = Box::pin(async move {
                let mut tally = Tally {
                    in_force: 0,
                    wrong: unread as u64,
                };
                for one in handed {
                    match one.outcome().await.ok()? {
                        Outcome::Processed => tally.in_force += 1,
                        Outcome::Rejected(why) if why.code == Code::InvalidSignature => {
                            tally.wrong += 1;
                        }
                        _ => {}
                    }
                }
                Some(tally)
            });
            Some(judged)
        })
    }
}

/// A batch that is being filled.
struct Page {
    batch: Batch,
    bytes_left: usize,
}

impl Page {
    fn fill(&mut self, state: &State<'_>) -> Result<(), beth_store::Error> {
        let elements = std::mem::take(&mut self.batch.rest.elements);
        for (place, element) in elements.iter().enumerate() {
            let range = Range {
                start: *element,
                end: element.after(),
            };
            // Who was forgotten meanwhile is not there.
            for (_, message) in state.messages_between(range, LIBRARY_PAGE)? {
                self.add(state, &message)?;
            }
            if self.bytes_left == 0 {
                self.batch.rest.elements = elements[place + 1..].to_vec();
                return Ok(());
            }
        }
        while let Some(range) = self.batch.rest.ranges.first().copied() {
            let found = state.messages_between(range, LIBRARY_PAGE)?;
            let is_whole = found.len() < LIBRARY_PAGE;
            let mut last = None;
            for (element, message) in found {
                if self.bytes_left == 0 {
                    break;
                }
                self.add(state, &message)?;
                last = Some(element);
            }
            self.go_on(range, (last, is_whole && self.bytes_left > 0));
            if self.bytes_left == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What of the first range is left behind the last message.
    fn go_on(&mut self, range: Range, (last, is_whole): (Option<Element>, bool)) {
        let start = last.map_or(range.end, Element::after);
        let ranges = &mut self.batch.rest.ranges;
        if is_whole || start >= range.end {
            ranges.remove(0);
        } else {
            ranges[0].start = start;
        }
    }

    fn add(&mut self, state: &State<'_>, message: &Message) -> Result<(), beth_store::Error> {
        let Some(payload) = parcel::wrap(state, message)? else {
            return Ok(());
        };
        self.bytes_left = self.bytes_left.saturating_sub(payload.len());
        self.batch.messages.push(payload);
        Ok(())
    }
}
