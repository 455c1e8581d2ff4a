//! The task that hands each new message to everybody who wants it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use super::Streams;
use super::feed::{Feed, Heard};
use super::interest::{Facts, Form};
use super::line::{End, Frame, Line};
use crate::api::typed_text;
use crate::events::Event;

/// Waits for events, and for nobody else.
pub(super) struct FanOut {
    streams: Weak<Streams>,
    feed: Feed,
    /// Bytes of the frames that somebody has yet to read.
    held: Arc<AtomicUsize>,
}

impl FanOut {
    pub fn new(streams: Weak<Streams>, feed: Feed) -> FanOut {
        FanOut {
            streams,
            feed,
            held: Arc::default(),
        }
    }

    /// Runs until the writer or the node is gone.
    pub async fn run(mut self) {
        while let Some(heard) = self.feed.next().await {
            let Some(streams) = self.streams.upgrade() else {
                return;
            };
            match heard {
                Heard::Event(event) => self.tell(&streams, &event),
                Heard::Gap => {
                    streams.counters.gaps.fetch_add(1, Relaxed);
                    for line in streams.index().drain() {
                        line.cut(End::Gap);
                    }
                }
            }
        }
    }

    fn tell(&self, streams: &Streams, event: &Event) {
        let Event::Processed { message, typed, .. } = event else {
            return;
        };
        let facts = Facts::of(message, typed);
        let mut frames = Frames {
            event,
            held: &self.held,
            written: [None, None],
        };
        let mut delivered = 0;
        let mut slow: Vec<Arc<Line>> = Vec::new();
        let mut index = streams.index();
        index.each(&facts, |line| {
            if line.push(frames.in_form(line.interest.form)) {
                delivered += 1;
            } else {
                slow.push(line.clone());
            }
        });
        for line in &slow {
            index.remove(line);
            line.cut(End::TooSlow);
        }
        drop(index);
        let counters = &streams.counters;
        counters.announced.fetch_add(1, Relaxed);
        counters.delivered.fetch_add(delivered, Relaxed);
        counters.dropped_slow.fetch_add(slow.len() as u64, Relaxed);
    }
}

/// A message in the forms that somebody asked for.
struct Frames<'a> {
    event: &'a Event,
    held: &'a Arc<AtomicUsize>,
    written: [Option<Arc<Frame>>; 2],
}

impl Frames<'_> {
    fn in_form(&mut self, form: Form) -> &Arc<Frame> {
        let (event, held) = (self.event, self.held);
        self.written[form as usize].get_or_insert_with(|| {
            let text = typed_text(event, form);
            let item_hash = event.item_hash().clone();
            Arc::new(Frame::new(item_hash, text, held.clone()))
        })
    }
}
