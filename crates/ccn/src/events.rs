//! What happened, for whoever wants to know: waiting submitters here, streams
//! by a way of their own ([`crate::streams`]).

use std::sync::Arc;

use beth_protocol::{Content, ItemHash, Rejection};
use beth_store::rows::StoredMessage;
use tokio::sync::broadcast;

use crate::limits::EVENTS_QUEUE;
use crate::streams::Announcer;

/// Something that happened to a message.
// Always behind an `Arc`, so the size of the larger variant costs nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Event {
    /// A message was applied for the first time.
    Processed {
        /// As stored.
        message: StoredMessage,
        /// Its typed content.
        typed: Content,
        /// How it came; what comes from a chain is not announced to streams.
        origin: &'static str,
    },
    /// A message was tried again and still waits.
    Waiting {
        /// Which.
        item_hash: ItemHash,
    },
    /// A message was refused for good.
    Rejected {
        /// Which.
        item_hash: ItemHash,
        /// Why.
        rejection: Rejection,
    },
}

impl Event {
    /// True for a message that streams show: a new one that came from people.
    pub fn is_announced(&self) -> bool {
        matches!(self, Event::Processed { origin, .. } if matches!(*origin, "p2p" | "ipfs"))
    }

    /// The message it is about.
    pub fn item_hash(&self) -> &ItemHash {
        match self {
            Event::Processed { message, .. } => &message.message.item_hash,
            Event::Rejected { item_hash, .. } | Event::Waiting { item_hash } => item_hash,
        }
    }
}

/// The sending side; cheap to clone. A subscriber that is too slow loses the
/// oldest events and is told how many.
#[derive(Clone, Debug)]
pub struct Events {
    all: broadcast::Sender<Arc<Event>>,
    announcer: Announcer,
}

impl Events {
    pub(crate) fn new(announcer: Announcer) -> Events {
        Events {
            all: broadcast::channel(EVENTS_QUEUE).0,
            announcer,
        }
    }

    /// Everything from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.all.subscribe()
    }

    /// True when somebody subscribed or listens to a stream.
    pub(crate) fn is_heard(&self) -> bool {
        self.all.receiver_count() > 0 || self.announcer.is_heard()
    }

    pub(crate) fn publish(&self, event: Event) {
        let event = Arc::new(event);
        self.announcer.announce(&event);
        // Nobody listening is fine.
        let _ = self.all.send(event);
    }
}
