//! What the node above says of a message before it is passed on.
//!
//! ```text
//!   gossip ─▶ Received { ticket } ─▶ signature checked ─▶ ticket.settle(verdict)
//!                    │                                         │ (bounded queue)
//!                    └── dropped, or late ─▶ Ignore            ▼
//!                                                 gossip: pass on, or not
//! ```
//!
//! Every message gets exactly one verdict: that of its ticket, `Ignore` when the
//! ticket is dropped, when the queue of verdicts is full, or when time is up.
//! Gossip forgets a message after five heartbeats; later it could not be passed
//! on anyway, and neighbours find it by reconciliation.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use libp2p::{PeerId, gossipsub::MessageId};
use tokio::sync::mpsc;

use crate::limits::{UNJUDGED, VERDICT};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed on.
    Accept,
    /// It is not passed on; nobody is to blame.
    Ignore,
    /// It is not passed on, and a neighbour who should have known loses score.
    Reject,
}

/// The right to say, once, what becomes of a message. Dropped, it says
/// [`Verdict::Ignore`].
///
/// The default one belongs to no message, as those of topics that are not
/// judged, and says nothing.
#[derive(Debug, Default)]
pub struct Ticket(Option<Open>);

#[derive(Debug)]
struct Open {
    id: MessageId,
    rulings: mpsc::Sender<Ruling>,
}

/// A verdict on its way to the gossip.
#[derive(Debug)]
pub(crate) struct Ruling {
    pub(crate) id: MessageId,
    pub(crate) verdict: Verdict,
}

impl Ticket {
    /// For a message that waits.
    pub(crate) fn open(id: MessageId, rulings: mpsc::Sender<Ruling>) -> Ticket {
        Ticket(Some(Open { id, rulings }))
    }

    /// Says it. Never waits.
    pub fn settle(mut self, verdict: Verdict) {
        self.say(verdict);
    }

    fn say(&mut self, verdict: Verdict) {
        if let Some(Open { id, rulings }) = self.0.take() {
            // With a full queue the message's time runs out.
            let _ = rulings.try_send(Ruling { id, verdict });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.say(Verdict::Ignore);
    }
}

/// The messages that wait for a verdict, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Unjudged {
    relays: HashMap<MessageId, PeerId>,
    order: VecDeque<(Instant, MessageId)>,
}

impl Unjudged {
    /// A message waits from now on. Returns one that waits no longer for it,
    /// when there are too many.
    pub(crate) fn add(
        &mut self,
        id: MessageId,
        relay: PeerId,
        now: Instant,
    ) -> Option<(MessageId, PeerId)> {
        self.relays.insert(id.clone(), relay);
        self.order.push_back((now, id));
        if self.relays.len() > UNJUDGED {
            return self.oldest();
        }
        None
    }

    /// Who brought a message, which waits no longer; `None` when it does not.
    pub(crate) fn take(&mut self, id: &MessageId) -> Option<PeerId> {
        let relay = self.relays.remove(id)?;
        while let Some((_, first)) = self.order.front()
            && !self.relays.contains_key(first)
        {
            self.order.pop_front();
        }
        Some(relay)
    }

    /// A message whose time is up.
    pub(crate) fn late(&mut self, now: Instant) -> Option<(MessageId, PeerId)> {
        let (since, _) = self.order.front()?;
        if now.saturating_duration_since(*since) < VERDICT {
            return None;
        }
        self.oldest()
    }

    fn oldest(&mut self) -> Option<(MessageId, PeerId)> {
        while let Some((_, id)) = self.order.pop_front() {
            if let Some(relay) = self.relays.remove(&id) {
                return Some((id, relay));
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_speaks_once() {
        let (rulings, mut said) = mpsc::channel(4);
        Ticket::open(MessageId::from("a"), rulings.clone()).settle(Verdict::Accept);
        drop(Ticket::open(MessageId::from("b"), rulings.clone()));
        Ticket::default().settle(Verdict::Reject);
        drop(rulings);
        let next = said.try_recv().unwrap();
        assert_eq!(
            (next.id, next.verdict),
            (MessageId::from("a"), Verdict::Accept)
        );
        let next = said.try_recv().unwrap();
        assert_eq!(
            (next.id, next.verdict),
            (MessageId::from("b"), Verdict::Ignore)
        );
        assert!(said.try_recv().is_err());
    }

    #[test]
    fn nothing_waits_for_ever() {
        let now = Instant::now();
        let relay = PeerId::random();
        let id = |number: usize| MessageId::from(number.to_string());
        let mut unjudged = Unjudged::default();
        for number in 0..UNJUDGED {
            assert_eq!(unjudged.add(id(number), relay, now), None);
        }
        let pushed = unjudged.add(id(UNJUDGED), relay, now).unwrap();
        assert_eq!(pushed, (id(0), relay));
        assert_eq!(unjudged.take(&id(0)), None);
        assert_eq!(unjudged.take(&id(1)), Some(relay));
        assert_eq!(unjudged.late(now), None);
        assert_eq!(unjudged.late(now + VERDICT), Some((id(2), relay)));
        let mut left = 0;
        while unjudged.late(now + VERDICT).is_some() {
            left += 1;
        }
        assert_eq!(left, UNJUDGED - 2);
        assert!(unjudged.order.is_empty() && unjudged.relays.is_empty());
    }
}
