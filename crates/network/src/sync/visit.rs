//! Visits that are paid.

use std::sync::Arc;

use beth_protocol::reconcile::{AskError, Difference, Salt, Step};
use libp2p::{PeerId, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use tokio::time::timeout;

use super::PROTOCOL;
use super::frame::{Frame, SpeakError, hear, say};
use super::library::{Judging, Library, LibraryError, Wanted};
use super::pulse::Pulse;
use super::serve::blocking;
use crate::fault::Fault;
use crate::limits::{DIAL, SYNC_BATCH_BYTES, SYNC_QUESTIONS};

/// What a visit was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// Questions about sets, each a round trip.
    pub questions: u64,
    /// Bytes of questions and answers, both ways.
    pub question_bytes: u64,
    /// Messages that the peer had and we had not.
    pub fetched: u64,
    /// Of these, how many came into force here.
    pub in_force: u64,
    /// Of these, how many nobody should have.
    pub wrong: u64,
    /// Messages that we had and the peer had not.
    pub offered: u64,
    /// Bytes of those messages.
    pub message_bytes: u64,
}

/// Why a visit ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum VisitError {
    #[error("the peer does not reconcile")]
    Unsupported(StreamProtocol),
    #[error("the stream could not be opened: {0}")]
    Open(String),
    #[error(transparent)]
    Speak(#[from] SpeakError),
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("the peer answered {0}")]
    Nonsense(&'static str),
    #[error("the node is stopping")]
    Stopping,
}

impl VisitError {
    /// What the peer is blamed for.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self {
            VisitError::Speak(SpeakError::Nonsense) | VisitError::Nonsense(_) => {
                Some(Fault::Garbage)
            }
            VisitError::Speak(SpeakError::Silent(_)) => Some(Fault::Silence),
            _ => None,
        }
    }
}

/// Visits a peer: afterwards both have what one of them had.
pub(super) async fn visit(
    mut control: Control,
    peer: PeerId,
    (library, pulse): (Arc<dyn Library>, Pulse),
) -> Result<Visit, VisitError> {
    let mut host = Host {
        stream: open(&mut control, peer).await?,
        library,
        pulse,
        seen: Visit::default(),
    };
    let difference = host.compare().await?;
    if !difference.is_empty() {
        let theirs = Wanted {
            elements: difference.theirs,
            ranges: difference.their_ranges,
        };
        let ours = Wanted {
            elements: difference.ours,
            ranges: difference.our_ranges,
        };
        host.fetch(theirs).await?;
        host.offer(ours).await?;
    }
    Ok(host.seen)
}

async fn open(control: &mut Control, peer: PeerId) -> Result<libp2p::Stream, VisitError> {
    match timeout(DIAL, control.open_stream(peer, PROTOCOL)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(OpenStreamError::UnsupportedProtocol(protocol))) => {
            Err(VisitError::Unsupported(protocol))
        }
        Ok(Err(error)) => Err(VisitError::Open(error.to_string())),
        Err(_) => Err(VisitError::Open("no answer in time".into())),
    }
}

/// The peer during a visit.
struct Host {
    stream: libp2p::Stream,
    library: Arc<dyn Library>,
    pulse: Pulse,
    seen: Visit,
}

impl Host {
    async fn compare(&mut self) -> Result<Difference, VisitError> {
        // Random: nobody shall make messages that spoil sketches.
        let mut salt = Salt::default();
        getrandom::fill(&mut salt).map_err(|error| VisitError::Open(error.to_string()))?;
        let begun = blocking(&self.library, move |library| library.begin(salt));
        let (mut asker, mut request) = begun.await?;
        for _ in 0..SYNC_QUESTIONS {
            self.seen.questions += 1;
            self.seen.question_bytes += say(&mut self.stream, &Frame::Ask(request)).await?;
            let Some((Frame::Told(reply), bytes)) = self.hear().await? else {
                return Err(SpeakError::Nonsense.into());
            };
            self.seen.question_bytes += bytes;
            let heard = blocking(&self.library, move |library| {
                let step = library.hear(&mut asker, reply);
                Ok((asker, step))
            });
            let (back, step) = heard.await?;
            asker = back;
            match step {
                Ok(Step::Ask(next)) => request = next,
                Ok(Step::Done(difference)) => return Ok(difference),
                Err(AskError::Nonsense(what)) => return Err(VisitError::Nonsense(what)),
                Err(AskError::Set(error)) => return Err(error.into()),
            }
        }
        Err(VisitError::Nonsense("without an end"))
    }

    /// The next frame, and a sign of life.
    async fn hear(&mut self) -> Result<Option<(Frame, u64)>, SpeakError> {
        self.pulse.pause();
        let heard = hear(&mut self.stream).await;
        self.pulse.beat();
        heard
    }

    async fn fetch(&mut self, wanted: Wanted) -> Result<(), VisitError> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.seen.question_bytes += say(&mut self.stream, &Frame::Want(wanted)).await?;
        let mut judging = Judging::default();
        loop {
            match self.hear().await? {
                Some((Frame::Messages(messages), bytes)) => {
                    self.seen.fetched += messages.len() as u64;
                    self.seen.message_bytes += bytes;
                    if !judging.add(self.library.take(messages).await).await {
                        return Err(VisitError::Stopping);
                    }
                }
                Some((Frame::Done, _)) => break,
                _ => return Err(SpeakError::Nonsense.into()),
            }
        }
        let tally = judging.end().await.ok_or(VisitError::Stopping)?;
        self.seen.in_force += tally.in_force;
        self.seen.wrong += tally.wrong;
        Ok(())
    }

    async fn offer(&mut self, mut ours: Wanted) -> Result<(), VisitError> {
        while !ours.is_empty() {
            let batch = blocking(&self.library, move |library| {
                library.messages(ours, SYNC_BATCH_BYTES)
            });
            let batch = batch.await?;
            self.seen.offered += batch.messages.len() as u64;
            let offered = Frame::Messages(batch.messages);
            self.seen.message_bytes += say(&mut self.stream, &offered).await?;
            match self.hear().await? {
                Some((Frame::Done, _)) => ours = batch.rest,
                _ => return Err(SpeakError::Nonsense.into()),
            }
        }
        Ok(())
    }
}
