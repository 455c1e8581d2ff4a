//! Visits between neighbours that reconcile: the schedule of
//! `beth_network`'s keeper, and the real questions and answers.
//!
//! ```text
//!   meet: due ─▶ Open ─▶ Ask ◀─▶ Told … ─▶ Want ─▶ Messages ─▶ offer ─▶ Done
//!          ▲                                                            │
//!          └─ after the period, or soon if one had something new ◀──────┘
//! ```
//!
//! No node of the model keeps a visitor waiting, so there is one visit at a time.

use beth_network::Wanted;
use beth_protocol::reconcile::frame::{Reply, Request};
use beth_protocol::reconcile::{Asker, Difference, Element, Salt, Step, answer};

use super::clock::{Time, span};
use super::message::{MessageIx, youngest};
use super::node::{Kind, NEVER, Side};
use super::wire::{Frame, Visiting};
use super::world::{Event, World};

/// A visit that a node pays.
#[derive(Debug)]
pub struct Paid {
    port: usize,
    asker: Option<Asker>,
    questions: usize,
    /// What is still to be offered, once what is wanted is here.
    ours: Vec<MessageIx>,
    /// Messages that went one way or the other.
    moved: usize,
}

impl World {
    /// A neighbour is here: one of the two is due at once.
    pub(super) fn meet(&mut self, (node, port): (usize, usize)) {
        let here = &mut self.nodes[node];
        let neighbour = &mut here.ports[port];
        if here.kind == Kind::Ours && neighbour.kind == Kind::Ours {
            let politeness = match neighbour.peer > node {
                true => span(self.settings.visits.politeness),
                false => 0,
            };
            neighbour.due = self.agenda.now() + politeness;
            neighbour.failures = 0;
            self.plan_visit(node, self.agenda.now());
        }
    }

    /// A neighbour is gone, and its visits with it.
    pub(super) fn miss(&mut self, (node, port): (usize, usize)) {
        self.release((node, port));
        let here = &mut self.nodes[node];
        if here.visit.as_ref().is_some_and(|visit| visit.port == port) {
            here.visit = None;
            self.plan_visit(node, self.agenda.now());
        }
    }

    /// A visitor leaves.
    fn release(&mut self, (node, port): (usize, usize)) {
        let here = &mut self.nodes[node];
        if std::mem::take(&mut here.ports[port].has_guest) {
            here.guests -= 1;
        }
    }

    fn plan_visit(&mut self, node: usize, at: Time) {
        let here = &mut self.nodes[node];
        if here.visit.is_none() {
            here.plan += 1;
            self.agenda.plan(at, Event::Visit(node, here.plan));
        }
    }

    /// Visits who is due first, or waits for that.
    pub(super) fn visit_due(&mut self, node: usize, plan: u64) {
        let here = &mut self.nodes[node];
        if here.plan != plan || here.visit.is_some() || !here.is_online {
            return;
        }
        let dues = here.ports.iter().enumerate();
        let first = dues.map(|(number, port)| (port.due, number)).min();
        match first {
            Some((due, port)) if due <= self.agenda.now() && here.ports[port].has_guest => {
                here.ports[port].due = self.agenda.now() + span(self.settings.visits.again);
                self.plan_visit(node, self.agenda.now());
            }
            Some((due, port)) if due <= self.agenda.now() => {
                here.ports[port].due = NEVER;
                here.visit = Some(Paid {
                    port,
                    asker: None,
                    questions: 0,
                    ours: Vec::new(),
                    moved: 0,
                });
                self.ledger.visit();
                self.say_as((node, port), Side::Visitor, Visiting::Open);
            }
            Some((due, _)) if due != NEVER => self.plan_visit(node, due),
            _ => {}
        }
    }

    /// What the host says to a visitor.
    pub(super) fn pay_visit(&mut self, (node, port): (usize, usize), said: Visiting) {
        let Some(mut visit) = self.nodes[node].visit.take_if(|visit| visit.port == port) else {
            return;
        };
        match said {
            Visiting::Opened => {
                let salt = self.salt();
                let Ok((asker, request)) = Asker::begin(&self.nodes[node].library, salt);
                visit.asker = Some(asker);
                self.nodes[node].visit = Some(visit);
                self.ask((node, port), &request);
            }
            Visiting::Told(body) => self.hear_reply((node, port), visit, &body),
            Visiting::Messages(list) => {
                visit.moved += list.len();
                self.nodes[node].visit = Some(visit);
                self.take(node, &list);
            }
            Visiting::Done => {
                self.nodes[node].visit = Some(visit);
                let at = self.nodes[node].checks_until;
                let taken = Event::TookAll(node, port, Side::Visitor);
                self.agenda.plan(at, taken);
            }
            _ => {
                self.nodes[node].ports[port].failures += 1;
                let failures = self.nodes[node].ports[port].failures;
                let visits = &self.settings.visits;
                let doubled = visits.again.saturating_mul(2_u32.saturating_pow(failures));
                self.leave_host((node, port), span(doubled.min(visits.period)));
            }
        }
    }

    fn hear_reply(&mut self, here: (usize, usize), mut visit: Paid, body: &[u8]) {
        let (node, _) = here;
        let step = Reply::from_bytes(body).ok().and_then(|reply| {
            let asker = visit.asker.as_mut()?;
            asker.hear(&self.nodes[node].library, reply).ok()
        });
        visit.questions += 1;
        match step {
            Some(Step::Ask(request)) if visit.questions < self.settings.visits.questions => {
                self.nodes[node].visit = Some(visit);
                self.ask(here, &request);
            }
            Some(Step::Done(found)) => {
                let end = youngest(self.agenda.now(), span(self.settings.settle));
                let (theirs, ours) = settled(found, end);
                visit.ours = self.nodes[node].library.find(&ours);
                self.nodes[node].visit = Some(visit);
                match theirs.is_empty() {
                    true => self.offer(here),
                    false => self.say_as(here, Side::Visitor, Visiting::Want(theirs)),
                }
            }
            _ => unreachable!("nodes of the model answer what they are asked"),
        }
    }

    fn ask(&mut self, here: (usize, usize), request: &Request) {
        self.say_as(here, Side::Visitor, Visiting::Ask(request.to_bytes()));
    }

    /// What a visitor says to its host.
    pub(super) fn receive_visit(&mut self, (node, port): (usize, usize), said: Visiting) {
        let host = Side::Host;
        match said {
            Visiting::Open => {
                let here = &mut self.nodes[node];
                let is_full = here.guests >= self.settings.visits.visitors;
                if is_full || here.ports[port].has_guest {
                    self.say_as((node, port), host, Visiting::Close);
                    return;
                }
                here.guests += 1;
                here.ports[port].has_guest = true;
                self.say_as((node, port), host, Visiting::Opened);
            }
            Visiting::Ask(body) => {
                let request = Request::from_bytes(&body);
                if let Ok(Ok(reply)) =
                    request.map(|asked| answer(&self.nodes[node].library, &asked))
                {
                    self.say_as((node, port), host, Visiting::Told(reply.to_bytes()));
                }
            }
            Visiting::Want(wanted) => {
                let mut found = self.nodes[node].library.find(&wanted);
                while !found.is_empty() {
                    let batch = self.batch(&mut found);
                    self.say_as((node, port), host, Visiting::Messages(batch));
                }
                self.say_as((node, port), host, Visiting::Done);
            }
            Visiting::Messages(list) => {
                self.take(node, &list);
                let at = self.nodes[node].checks_until;
                self.agenda.plan(at, Event::TookAll(node, port, host));
            }
            _ => self.release((node, port)),
        }
    }

    /// Checks messages that came in a visit, one after the other.
    fn take(&mut self, node: usize, list: &[MessageIx]) {
        let now = self.agenda.now();
        let here = &mut self.nodes[node];
        for message in list {
            here.checks_until = here.checks_until.max(now) + span(self.settings.check);
            let taken = Event::Taken(node, here.life, *message);
            self.agenda.plan(here.checks_until, taken);
        }
    }

    /// All of them are checked: the host says so, the visitor offers its own.
    pub(super) fn took_all(&mut self, here: (usize, usize), side: Side) {
        match side {
            Side::Host => self.say_as(here, side, Visiting::Done),
            Side::Visitor => self.offer(here),
        }
    }

    fn offer(&mut self, here: (usize, usize)) {
        let (node, port) = here;
        let Some(mut visit) = self.nodes[node].visit.take_if(|visit| visit.port == port) else {
            return;
        };
        if visit.ours.is_empty() {
            self.nodes[node].ports[port].failures = 0;
            self.say_as(here, Side::Visitor, Visiting::Close);
            let visits = &self.settings.visits;
            let pause = match visit.moved {
                0 => visits.period,
                _ => visits.again,
            };
            self.ledger.moved(visit.moved);
            self.leave_host(here, span(pause));
            return;
        }
        let batch = self.batch(&mut visit.ours);
        visit.moved += batch.len();
        self.nodes[node].visit = Some(visit);
        self.say_as(here, Side::Visitor, Visiting::Messages(batch));
    }

    fn leave_host(&mut self, (node, port): (usize, usize), pause: Time) {
        let now = self.agenda.now();
        self.nodes[node].ports[port].due = now + pause;
        self.plan_visit(node, now);
    }

    /// The first of a list, as many as go together.
    fn batch(&self, list: &mut Vec<MessageIx>) -> Vec<MessageIx> {
        let mut bytes = 0;
        let fits = list.iter().take_while(|message| {
            bytes += self.messages[**message as usize].bytes;
            bytes <= self.settings.visits.batch_bytes
        });
        let count = fits.count().max(1).min(list.len());
        list.drain(..count).collect()
    }

    fn say_as(&mut self, here: (usize, usize), side: Side, said: Visiting) {
        self.send(here, Frame::Visit(side, Box::new(said)));
    }

    fn salt(&mut self) -> Salt {
        let mut salt = Salt::default();
        for bytes in salt.as_chunks_mut::<8>().0 {
            *bytes = self.random.next().to_le_bytes();
        }
        salt
    }
}

/// What is worth fetching and offering: elements before a place in time.
fn settled(mut found: Difference, end: Element) -> (Wanted, Wanted) {
    for elements in [&mut found.theirs, &mut found.ours] {
        elements.retain(|element| *element < end);
    }
    for ranges in [&mut found.their_ranges, &mut found.our_ranges] {
        ranges.retain(|range| range.start < end);
        for range in ranges.iter_mut() {
            range.end = range.end.min(end);
        }
    }
    let theirs = Wanted {
        elements: found.theirs,
        ranges: found.their_ranges,
    };
    let ours = Wanted {
        elements: found.ours,
        ranges: found.our_ranges,
    };
    (theirs, ours)
}
