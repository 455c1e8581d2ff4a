//! What happened, for whoever wants to know: WebSockets, waiting submitters.

use std::sync::Arc;

use beth_protocol::{Content, ItemHash, Rejection};
use beth_store::rows::StoredMessage;
use tokio::sync::broadcast;

use crate::limits::EVENTS_QUEUE;

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
pub struct Events(broadcast::Sender<Arc<Event>>);

impl Default for Events {
    fn default() -> Events {
        Events(broadcast::channel(EVENTS_QUEUE).0)
    }
}

impl Events {
    /// Everything from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.subscribe()
    }

    /// True when somebody subscribed.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn publish(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.0.send(Arc::new(event));
    }
}
