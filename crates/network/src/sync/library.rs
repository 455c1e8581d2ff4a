//! What reconciliation asks of the node above.

use std::collections::VecDeque;

use beth_protocol::reconcile::frame::{Reply, Request};
use beth_protocol::reconcile::{AskError, Asker, Element, Range, Salt, Step};
use futures::future::BoxFuture;

use crate::limits::SYNC_BATCHES_JUDGED;

/// The messages of a node, as a set. Every method but [`Library::take`] may read
/// from disk and is called where that is allowed.
pub trait Library: Send + Sync + 'static {
    /// Answers the question of a peer.
    fn answer(&self, request: &Request) -> Result<Reply, LibraryError>;

    /// Begins to ask.
    fn begin(&self, salt: Salt) -> Result<(Asker, Request), LibraryError>;

    /// Goes on asking.
    fn hear(&self, asker: &mut Asker, reply: Reply) -> Result<Step, AskError<LibraryError>>;

    /// Messages that are wanted, as they travel in gossip, up to so many bytes
    /// or one; in the order of their times.
    fn messages(&self, wanted: Wanted, bytes_max: usize) -> Result<Batch, LibraryError>;

    /// Takes messages in, as if a peer had said them; waits while there is no
    /// room. They are judged in the order in which they were taken. `None` when
    /// the node is stopping.
    fn take(&self, messages: Vec<Vec<u8>>) -> BoxFuture<'_, Option<Judged>>;
}

/// Ends when messages that were taken are judged, so that who compares again
/// finds them. `None` when the node is stopping.
pub type Judged = BoxFuture<'static, Option<Tally>>;

/// What became of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// They came into force.
    pub in_force: u64,
    /// They are no messages, or not by whom they say: nobody who checks what it
    /// keeps has them.
    pub wrong: u64,
}

/// What was taken and is not judged yet: a few batches, so that reading from a
/// peer and judging go on side by side.
#[derive(Default)]
pub(super) struct Judging {
    batches: VecDeque<Judged>,
    tally: Tally,
}

impl Judging {
    /// One more; waits for the oldest when they are too many. False when the
    /// node is stopping.
    pub(super) async fn add(&mut self, taken: Option<Judged>) -> bool {
        let Some(judged) = taken else { return false };
        self.batches.push_back(judged);
        match self.batches.len() > SYNC_BATCHES_JUDGED {
            true => self.next().await,
            false => true,
        }
    }

    /// Waits for all. `None` when the node is stopping.
    pub(super) async fn end(mut self) -> Option<Tally> {
        while !self.batches.is_empty() {
            if !self.next().await {
                return None;
            }
        }
        Some(self.tally)
    }

    async fn next(&mut self) -> bool {
        let Some(judged) = self.batches.pop_front() else {
            return true;
        };
        let Some(one) = judged.await else {
            return false;
        };
        self.tally.in_force += one.in_force;
        self.tally.wrong += one.wrong;
        true
    }
}

/// Messages by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// One by one, in order.
    pub elements: Vec<Element>,
    /// All that is in these, in order.
    pub ranges: Vec<Range>,
}

/// Some of the messages that were wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// As they travel.
    pub messages: Vec<Vec<u8>>,
    /// What is left.
    pub rest: Wanted,
}

/// The node could not read its messages.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LibraryError(pub String);

impl Wanted {
    /// True when nothing is.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty() && self.ranges.is_empty()
    }
}
