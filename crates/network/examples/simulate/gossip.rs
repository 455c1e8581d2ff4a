//! How messages spread: pushed through the mesh, told of beside it.
//!
//! ```text
//!   publication ─▶ new? ─▶ to the others of the mesh: do not send it to me (1.2)
//!                    │
//!                    └──▶ check ─▶ keep ─▶ pass on to the mesh, except to those
//!                                          who have it or do not want it
//!   heartbeat ─▶ have ─▶ unknown? ─▶ want ─▶ publication
//! ```

use std::rc::Rc;

use super::clock::span;
use super::message::MessageIx;
use super::node::{Kind, Node, Side};
use super::wire::Frame;
use super::world::{Event, World};

impl World {
    /// A node says a message of its own.
    pub(super) fn publish(&mut self, node: usize, message: MessageIx) {
        let now = self.agenda.now();
        self.nodes[node].hears(message, now);
        self.keep(node, message, Side::Host);
        let is_flood = self.settings.gossip.flood_publish;
        for port in self.nodes[node].ports_that(|port| is_flood || port.is_in_mesh) {
            self.send((node, port), Frame::Publication(message));
        }
    }

    /// A message comes through a port.
    pub(super) fn hear_message(&mut self, (node, port): (usize, usize), message: MessageIx) {
        let now = self.agenda.now();
        let duplicates = span(self.settings.gossip.duplicates);
        let here = &mut self.nodes[node];
        if here.knows(message, (now, duplicates)) {
            self.ledger.duplicate();
            if let Some(sources) = here.checking.get_mut(&message) {
                sources.push(port);
            }
            return;
        }
        self.cancel(node, port, message);
        let here = &mut self.nodes[node];
        here.hears(message, now);
        here.checking.insert(message, vec![port]);
        match here.kind {
            Kind::Upstream => self.pass_on(node, message),
            Kind::Ours => {
                let at = here.checks_until.max(now) + span(self.settings.check);
                here.checks_until = at;
                let life = here.life;
                self.agenda.plan(at, Event::Checked(node, life, message));
            }
        }
    }

    /// Tells the others of the mesh, and who promised it, not to send a message.
    fn cancel(&mut self, node: usize, source: usize, message: MessageIx) {
        let told = &self.messages[message as usize];
        let here = &self.nodes[node];
        if here.kind != Kind::Ours || told.frame_bytes <= self.settings.gossip.dont_want_bytes {
            return;
        }
        let promised = here.promised.get(&message).map(|(port, _)| *port);
        let author = told.author;
        let numbered = here.ports.iter().enumerate();
        let others = numbered.filter(|(number, port)| {
            let is_sender = port.is_in_mesh || promised == Some(*number);
            let is_other = *number != source && port.peer != author;
            is_sender && is_other && port.is_up && port.kind == Kind::Ours
        });
        for other in others.map(|(number, _)| number).collect::<Vec<usize>>() {
            self.send((node, other), Frame::DontWant(message));
        }
    }

    /// A message is checked: it is kept, and said to the mesh.
    pub(super) fn pass_on(&mut self, node: usize, message: MessageIx) {
        let Some(sources) = self.nodes[node].checking.remove(&message) else {
            return;
        };
        self.keep(node, message, Side::Host);
        let author = self.messages[message as usize].author;
        let members = self.nodes[node]
            .ports_that(|port| port.is_in_mesh && port.peer != author && !port.refuses(message));
        for port in members.into_iter().filter(|port| !sources.contains(port)) {
            self.send((node, port), Frame::Publication(message));
        }
    }

    /// Puts a message into the library; the side tells gossip (host) from a
    /// visit.
    pub(super) fn keep(&mut self, node: usize, message: MessageIx, by: Side) {
        let kept = &self.messages[message as usize];
        let here: &mut Node = &mut self.nodes[node];
        if here.library.keep(message, kept) {
            let now = self.agenda.now();
            let is_ours = here.kind == Kind::Ours;
            self.ledger
                .kept((node, is_ours), (message, kept), (by, now));
        }
    }

    /// Somebody has these.
    pub(super) fn hear_have(&mut self, (node, port): (usize, usize), list: &[MessageIx]) {
        let now = self.agenda.now();
        let gossip = &self.settings.gossip;
        let here = &mut self.nodes[node];
        let from = &mut here.ports[port];
        from.haves_read += 1;
        if from.haves_read > gossip.haves_read || from.ids_asked >= gossip.ids_max {
            return;
        }
        let room = gossip.ids_max - from.ids_asked;
        let memory = (now, span(gossip.duplicates));
        let new = list.iter().copied().filter(|message| {
            !here.knows(*message, memory) && !here.promised.contains_key(message)
        });
        let asked: Vec<MessageIx> = new.take(room).collect();
        if asked.is_empty() {
            return;
        }
        here.ports[port].ids_asked += asked.len();
        let until = now + span(gossip.want_patience);
        for message in &asked {
            here.promised.insert(*message, (port, until));
        }
        self.send((node, port), Frame::Want(asked.into()));
    }

    /// Somebody wants these.
    pub(super) fn hear_want(&mut self, (node, port): (usize, usize), list: &[MessageIx]) {
        for message in list {
            let here = &mut self.nodes[node];
            if !here.remembers(*message) {
                continue;
            }
            let given = here.given.entry((*message, port)).or_default();
            *given += 1;
            let is_enough = *given > self.settings.gossip.want_answers;
            if !is_enough && !here.ports[port].refuses(*message) {
                self.send((node, port), Frame::Publication(*message));
            }
        }
    }

    /// Somebody does not want this any more.
    pub(super) fn hear_dont_want(&mut self, (node, port): (usize, usize), message: MessageIx) {
        let now = self.agenda.now();
        self.nodes[node].ports[port].unwanted.push((message, now));
    }

    /// Tells neighbours outside of the mesh what there is.
    pub(super) fn tell_of_history(&mut self, node: usize) {
        let gossip = &self.settings.gossip;
        let here = &self.nodes[node];
        let told = here.history.iter().take(gossip.history_told).flatten();
        let told: Rc<[MessageIx]> = told
            .copied()
            .filter(|message| !here.checking.contains_key(message))
            .take(gossip.ids_max)
            .collect();
        if told.is_empty() {
            return;
        }
        let others = here.ports_that(|port| !port.is_in_mesh);
        let share = (others.len() as f64 * gossip.lazy_share) as usize;
        let count = share.max(gossip.lazy);
        for port in self.random.some(others, count) {
            self.send((node, port), Frame::Have(told.clone()));
        }
    }

    /// What is older than a node remembers is forgotten.
    pub(super) fn forget(&mut self, node: usize) {
        let now = self.agenda.now();
        let here = &mut self.nodes[node];
        if let Some(oldest) = here.history.pop_back() {
            here.given
                .retain(|(message, _), _| !oldest.contains(message));
        }
        here.history.push_front(Vec::new());
        here.promised.retain(|_, (_, until)| *until > now);
        for port in &mut here.ports {
            port.haves_read = 0;
            port.ids_asked = 0;
            port.unwanted.retain(|(_, at)| now - at <= UNWANTED);
        }
    }

    /// A node comes back and has nothing of what it had.
    pub(super) fn empty(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        let lost = here.library.len();
        here.library = Default::default();
        if here.kind == Kind::Ours {
            self.ledger.lost(lost);
        }
    }
}

/// How long it is remembered that a neighbour does not want a message; the
/// library that nodes gossip with has no setting for it.
const UNWANTED: u64 = 3_000_000_000;
