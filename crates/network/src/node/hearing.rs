//! What peers say: handed up, and passed on when the verdict is known.
//!
//! Who is blamed for a message that is wrong: a peer that says that it is of
//! our kind, because it checks what it passes on. A released node of upstream
//! passes on what anybody hands it, over HTTP too, and is a neighbour all the
//! same: it has an allowance of wrong messages, which fills up again as fast as
//! checking them is cheap, and is blamed for those beyond it. The author is
//! never blamed for what a relay brings: ids of authors cost nothing.

use std::time::Instant;

use libp2p::{
    PeerId,
    gossipsub::{self, MessageAcceptance, MessageId},
};
use tokio::sync::mpsc;

use super::Node;
use crate::{
    fault::Fault,
    network::Received,
    verdict::{Ruling, Ticket, Verdict},
};

impl Node {
    pub(super) fn hear(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                message,
                message_id,
                propagation_source,
            } => self.hand_up(message, message_id, propagation_source),
            gossipsub::Event::SlowPeer {
                peer_id,
                failed_messages,
            } => {
                tracing::warn!(peer = %peer_id, ?failed_messages, "peer is too slow for the gossip");
            }
            _ => {}
        }
    }

    fn hand_up(&mut self, message: gossipsub::Message, id: MessageId, relay: PeerId) {
        let Some(author) = message.source else {
            return;
        };
        let topic = message.topic.into_string();
        let waits = self.judged.contains(&topic) && !self.received.is_closed();
        let ticket = if waits {
            let pushed = self.unjudged.add(id.clone(), relay, Instant::now());
            if let Some((id, relay)) = pushed {
                self.report(&id, &relay, MessageAcceptance::Ignore);
            }
            Ticket::open(id, self.tickets.clone())
        } else {
            self.report(&id, &relay, MessageAcceptance::Accept);
            Ticket::default()
        };
        let received = Received {
            topic,
            data: message.data,
            from: author.to_string(),
            ticket,
        };
        match self.received.try_send(received) {
            Err(mpsc::error::TrySendError::Full(received)) => {
                self.undelivered = Some(received);
            }
            // Nobody listens above: the node only relays.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }

    /// A verdict came.
    pub(super) fn rule(&mut self, ruling: &Ruling) {
        let Some(relay) = self.unjudged.take(&ruling.id) else {
            return;
        };
        match ruling.verdict {
            Verdict::Accept => self.report(&ruling.id, &relay, MessageAcceptance::Accept),
            Verdict::Ignore => self.report(&ruling.id, &relay, MessageAcceptance::Ignore),
            Verdict::Reject => {
                // Gossip's own way would blame all who brought a copy.
                self.report(&ruling.id, &relay, MessageAcceptance::Ignore);
                self.rejected += 1;
                if !self.roster.excuses(&relay, Instant::now()) {
                    self.demote(relay, Fault::InvalidMessage);
                }
            }
        }
    }

    /// Ignores the messages whose time is up.
    pub(super) fn give_up(&mut self) {
        let now = Instant::now();
        while let Some((id, relay)) = self.unjudged.late(now) {
            tracing::debug!(message = %id, "a message was not judged in time and is not passed on");
            self.report(&id, &relay, MessageAcceptance::Ignore);
        }
    }

    fn report(&mut self, id: &MessageId, relay: &PeerId, acceptance: MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, relay, acceptance);
    }
}
