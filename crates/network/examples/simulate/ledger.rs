//! What was counted while the network ran.

use super::clock::Time;
use super::message::{Message, MessageIx};
use super::node::{Kind, Node, Side};
use super::wire::{Frame, Visiting};

/// Frames of a kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub frames: u64,
    pub bytes: u64,
}

/// The counts.
#[derive(Debug)]
pub struct Ledger {
    /// Since when; nothing counts before.
    begun: Option<Time>,
    /// Until when it is counted what gossip and visits cost.
    pub ended: Time,
    /// Publications, all else of gossip, and messages and all else of visits.
    pub payload: Count,
    pub control: Count,
    pub moved: Count,
    pub questions: Count,
    /// Bytes of gossip that each node sent.
    pub sent: Vec<u64>,
    /// Copies of messages that a node knew.
    pub duplicates: u64,
    /// From the birth of a message to a node, for each that gossip brought.
    pub delays: Vec<Time>,
    /// Messages that nodes should have got from others, and what brought them.
    pub expected: u64,
    pub by_gossip: u64,
    pub by_visit: u64,
    /// Visits, and those that moved something.
    pub visits: u64,
    pub moving_visits: u64,
    /// Messages that visits moved, and those of them that were new where they came.
    pub moved_messages: u64,
    pub brought: u64,
    /// What our nodes miss now, all together.
    missing: u64,
    /// When everything was said, and when nothing was missing then.
    pub quiet: Option<Time>,
    pub converged: Option<Time>,
    /// Who was given which message once.
    given: Vec<Vec<bool>>,
}

impl Ledger {
    /// Nothing yet.
    pub fn new(nodes: usize) -> Ledger {
        Ledger {
            begun: None,
            ended: 0,
            payload: Count::default(),
            control: Count::default(),
            moved: Count::default(),
            questions: Count::default(),
            sent: vec![0; nodes],
            duplicates: 0,
            delays: Vec::new(),
            expected: 0,
            by_gossip: 0,
            by_visit: 0,
            visits: 0,
            moving_visits: 0,
            moved_messages: 0,
            brought: 0,
            missing: 0,
            quiet: None,
            converged: None,
            given: vec![Vec::new(); nodes],
        }
    }

    /// Counts from now on.
    pub fn begin(&mut self, now: Time) {
        self.begun = Some(now);
    }

    /// Since when it is counted.
    pub fn began(&self) -> Time {
        self.begun.unwrap_or_default()
    }

    /// All our nodes have all messages, and nothing more is said.
    pub fn is_converged(&self) -> bool {
        self.quiet.is_some() && self.missing == 0
    }

    /// What our nodes miss.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// A frame is sent.
    pub fn sent(&mut self, node: usize, frame: &Frame, bytes: usize) {
        if self.begun.is_none() {
            return;
        }
        if let Frame::Visit(_, said) = frame
            && let Visiting::Messages(list) = &**said
        {
            self.moved_messages += list.len() as u64;
        }
        let count = match frame {
            Frame::Publication(_) => &mut self.payload,
            Frame::Visit(_, said) => match **said {
                Visiting::Messages(_) => &mut self.moved,
                _ => &mut self.questions,
            },
            _ => &mut self.control,
        };
        count.frames += 1;
        count.bytes += bytes as u64;
        if !matches!(frame, Frame::Visit(..)) {
            self.sent[node] += bytes as u64;
        }
    }

    /// A message is born: all nodes but its author expect it.
    pub fn born(&mut self, nodes: &[Node], author: usize) {
        self.expected += nodes.len() as u64 - 1;
        let ours = nodes.iter().filter(|node| node.kind == Kind::Ours).count();
        self.missing += ours as u64;
        for given in &mut self.given {
            given.push(false);
        }
        if let Some(last) = self.given[author].last_mut() {
            *last = true;
        }
    }

    /// A node keeps a message that it had not.
    pub fn kept(
        &mut self,
        (node, is_ours): (usize, bool),
        (number, message): (MessageIx, &Message),
        (by, now): (Side, Time),
    ) {
        if is_ours {
            self.missing -= 1;
            if self.is_converged() {
                self.converged = Some(now);
            }
        }
        self.brought += u64::from(by == Side::Visitor);
        let Some(is_given) = self.given[node].get_mut(number as usize) else {
            return;
        };
        if std::mem::replace(is_given, true) {
            return;
        }
        match by {
            Side::Host => {
                self.by_gossip += 1;
                self.delays.push(now - message.born);
            }
            Side::Visitor => self.by_visit += 1,
        }
    }

    /// One of our nodes lost messages.
    pub fn lost(&mut self, messages: usize) {
        self.missing += messages as u64;
        self.converged = None;
    }

    /// A node heard what it knew.
    pub fn duplicate(&mut self) {
        self.duplicates += 1;
    }

    /// A visit begins.
    pub fn visit(&mut self) {
        self.visits += u64::from(self.begun.is_some());
    }

    /// A visit ended, and moved so many messages.
    pub fn moved(&mut self, messages: usize) {
        self.moving_visits += u64::from(messages > 0);
    }

    /// Everything is said.
    pub fn quiet(&mut self, now: Time) {
        self.quiet = Some(now);
        if self.missing == 0 {
            self.converged = Some(now);
        }
    }
}
