//! The way of events from the writer to the fan-out: bounded in number and in
//! bytes. The writer never waits here; when the fan-out cannot follow, the
//! events are lost and the feed says that there is a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::sync::mpsc;

use crate::events::Event;
use crate::limits::{STREAM_EVENTS_BYTES, STREAM_EVENTS_QUEUE};

/// The end of the writer; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    events: mpsc::Sender<Arc<Event>>,
    gauge: Arc<Gauge>,
}

/// The end of the fan-out.
pub(crate) struct Feed {
    events: mpsc::Receiver<Arc<Event>>,
    gauge: Arc<Gauge>,
}

#[derive(Debug, Default)]
struct Gauge {
    listeners: AtomicUsize,
    waiting_bytes: AtomicUsize,
    has_gap: AtomicBool,
}

/// What the feed tells.
pub(super) enum Heard {
    /// A new message.
    Event(Arc<Event>),
    /// Some were lost.
    Gap,
}

/// A new feed, with nobody listening.
pub(crate) fn feed() -> (Announcer, Feed) {
    let (sender, receiver) = mpsc::channel(STREAM_EVENTS_QUEUE);
    let gauge = Arc::<Gauge>::default();
    let announcer = Announcer {
        events: sender,
        gauge: gauge.clone(),
    };
    let feed = Feed {
        events: receiver,
        gauge,
    };
    (announcer, feed)
}

impl Announcer {
    /// One more who listens.
    pub fn join(&self) {
        self.gauge.listeners.fetch_add(1, SeqCst);
    }

    /// One less.
    pub fn leave(&self) {
        self.gauge.listeners.fetch_sub(1, SeqCst);
    }

    /// True when somebody listens.
    pub fn is_heard(&self) -> bool {
        self.gauge.listeners.load(SeqCst) > 0
    }

    /// Tells an event, if it is for streams and somebody listens.
    pub fn announce(&self, event: &Arc<Event>) {
        if !event.is_announced() || !self.is_heard() {
            return;
        }
        let weight = weight(event);
        let waiting = self.gauge.waiting_bytes.fetch_add(weight, SeqCst);
        if waiting + weight > STREAM_EVENTS_BYTES || self.events.try_send(event.clone()).is_err() {
            self.gauge.waiting_bytes.fetch_sub(weight, SeqCst);
            self.gauge.has_gap.store(true, SeqCst);
        }
    }
}

impl Feed {
    /// What happened next; `None` when the writer is gone.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        let event = self.events.recv().await?;
        self.gauge.waiting_bytes.fetch_sub(weight(&event), SeqCst);
        if self.gauge.has_gap.swap(false, SeqCst) {
            return Some(Heard::Gap);
        }
        Some(Heard::Event(event))
    }
}

/// About what an event takes in memory: a parsed content takes several times
/// its text.
fn weight(event: &Event) -> usize {
    const ENVELOPE: usize = 1_024;
    match event {
        Event::Processed { message, .. } => {
            ENVELOPE + 8 * usize::try_from(message.size).unwrap_or(STREAM_EVENTS_BYTES / 8)
        }
        Event::Waiting { .. } | Event::Rejected { .. } => ENVELOPE,
    }
}
