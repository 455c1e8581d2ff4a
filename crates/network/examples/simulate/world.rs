//! All nodes and links, and what happens to them.
//!
//! ```text
//!   send ─▶ uplink ─▶ link ─▶ Arrive ─▶ downlink ─▶ Deliver ─▶ gossip, mesh, visits
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use super::clock::{Agenda, Time, span};
use super::ledger::Ledger;
use super::link::Link;
use super::message::{Message, MessageIx};
use super::node::{Kind, Membership, NEVER, Node, Port, Side};
use super::outcome::Outcome;
use super::random::Random;
use super::settings::Settings;
use super::wire::{Frame, on_link};

/// The network while it runs.
pub struct World {
    pub(super) settings: Settings,
    pub(super) agenda: Agenda<Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    pub(super) messages: Vec<Message>,
    pub(super) ledger: Ledger,
    pub(super) random: Random,
    /// The two halves do not hear each other.
    pub(super) is_cut: bool,
    /// Leaves that are due; whole ones happen.
    pub(super) leaving: f64,
    /// When everything was said and whole again.
    pub(super) quiet: Option<Time>,
}

/// What happens to somebody.
pub enum Event {
    /// A frame comes to an end of a link.
    Arrive(Way, Frame),
    /// It is read.
    Deliver(Way, Frame),
    /// A life of a node has a heartbeat.
    Heartbeat(usize, u32),
    /// A life of a node has checked a message that came in gossip.
    Checked(usize, u32, MessageIx),
    /// The same of one that came in a visit.
    Taken(usize, u32, MessageIx),
    /// Somebody may be due for a visit of a node, if the plan still counts.
    Visit(usize, u64),
    /// One side of a visit has checked all it was given.
    TookAll(usize, usize, Side),
    /// A link is called, or stands, if nothing happened to it since.
    Call(usize, u32),
    Connected(usize, u32),
    /// The next message is said.
    Say,
    /// Nodes leave.
    Churn,
    /// One comes back.
    Return(usize),
    /// Is it over?
    Look,
}

/// The way of a frame: link, end, connection, bytes.
#[derive(Clone, Copy)]
pub struct Way {
    link: usize,
    end: usize,
    era: u32,
    bytes: usize,
}

/// After the last message gossip has its say,
const REST: Time = 8_000_000_000;
/// and reconciliation as long as it needs, but not longer.
const PATIENCE: Time = 600_000_000_000;
const SECOND: Time = 1_000_000_000;

/// Round trips until a called neighbour can be spoken to: TCP, Noise, Yamux.
const CALL_ROUNDS: Time = 4;

impl World {
    /// The nodes of the settings, which begin to call each other.
    pub fn new(settings: Settings) -> World {
        let mut world = World {
            agenda: Agenda::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            messages: Vec::new(),
            ledger: Ledger::new(settings.nodes),
            random: Random::seeded(settings.seed),
            is_cut: false,
            leaving: 0.0,
            quiet: None,
            settings,
        };
        world.populate();
        let warm = span(world.settings.warm_up);
        world.agenda.plan(warm, Event::Say);
        world.agenda.plan(warm, Event::Churn);
        world
    }

    /// Who calls whom, and how long a word takes between them.
    pub fn links(&self) -> Vec<([usize; 2], Duration)> {
        let links = self.links.iter();
        let told = links.map(|link| (link.ends, Duration::from_nanos(link.latency)));
        told.collect()
    }

    /// Runs to the end.
    pub fn run(mut self) -> Outcome {
        while let Some(event) = self.agenda.next() {
            if matches!(event, Event::Look) && self.is_over() {
                break;
            }
            self.happen(event);
        }
        self.ledger.ended = self.agenda.now();
        Outcome::of(&self.settings, &self.ledger, self.messages.len())
    }

    fn populate(&mut self) {
        let count = self.settings.nodes;
        let upstream = (count as f64 * self.settings.upstream_share).round() as usize;
        let mut kinds: Vec<Kind> = (0..count)
            .map(|number| match number < upstream {
                true => Kind::Upstream,
                false => Kind::Ours,
            })
            .collect();
        self.random.shuffle(&mut kinds);
        self.nodes = kinds.into_iter().map(Node::new).collect();
        for (called, caller) in self.calls() {
            self.wire(caller, called);
        }
        for node in 0..count {
            self.begin(node);
        }
        for link in 0..self.links.len() {
            let at = self.random.between(0, span(self.settings.calling));
            self.agenda.plan(at, Event::Call(link, 0));
        }
    }

    /// Who calls whom.
    fn calls(&mut self) -> Vec<(usize, usize)> {
        let count = self.settings.nodes;
        let mut pairs = BTreeSet::new();
        for caller in 0..count {
            let others: Vec<usize> = (0..count).filter(|other| *other != caller).collect();
            let called = match self.settings.neighbours {
                None => others,
                Some(wanted) => self.random.some(others, wanted.div_ceil(2)),
            };
            for other in called {
                let is_caller = self.settings.neighbours.is_some() || self.random.happens(0.5);
                let pair = match is_caller {
                    true => (other, caller),
                    false => (caller, other),
                };
                if !pairs.contains(&(pair.1, pair.0)) {
                    pairs.insert(pair);
                }
            }
        }
        pairs.into_iter().collect()
    }

    fn wire(&mut self, caller: usize, called: usize) {
        let (low, high) = self.settings.latency;
        let latency = self.random.between(span(low), span(high));
        let ends = [caller, called];
        let ports = ends.map(|end| self.nodes[end].ports.len());
        let link = self.links.len();
        for (end, node) in ends.into_iter().enumerate() {
            let peer = ends[1 - end];
            let port = Port::new((link, end), peer, self.nodes[peer].kind);
            self.nodes[node].ports.push(port);
        }
        self.links.push(Link::new(ends, ports, latency));
    }

    /// A node begins a life.
    pub(super) fn begin(&mut self, node: usize) {
        self.nodes[node].begin(self.settings.gossip.history);
        let gossip = &self.settings.gossip;
        let phase = self.random.between(0, span(gossip.heartbeat));
        let first = span(gossip.heartbeat_delay + gossip.heartbeat) + phase;
        let life = self.nodes[node].life;
        let at = self.agenda.now() + first;
        self.agenda.plan(at, Event::Heartbeat(node, life));
    }

    fn happen(&mut self, event: Event) {
        let now = self.agenda.now();
        match event {
            Event::Arrive(way, frame) => self.arrive(way, frame),
            Event::Deliver(way, frame) => self.deliver(way, frame),
            Event::Heartbeat(node, life) if self.lives(node, life) => {
                self.heartbeat(node);
                let next = now + span(self.settings.gossip.heartbeat);
                self.agenda.plan(next, Event::Heartbeat(node, life));
            }
            Event::Checked(node, life, message) if self.lives(node, life) => {
                self.pass_on(node, message);
            }
            Event::Taken(node, life, message) if self.lives(node, life) => {
                self.keep(node, message, Side::Visitor);
            }
            Event::Heartbeat(..) | Event::Checked(..) | Event::Taken(..) => {}
            Event::Visit(node, plan) => self.visit_due(node, plan),
            Event::TookAll(node, port, side) => self.took_all((node, port), side),
            Event::Call(link, call) => self.call(link, call),
            Event::Connected(link, call) => self.connected(link, call),
            Event::Say => self.say(),
            Event::Churn => self.churn(),
            Event::Return(node) => self.come_back(node),
            Event::Look => self.agenda.plan(now + SECOND, Event::Look),
        }
    }

    fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].is_online && self.nodes[node].life == life
    }

    fn is_over(&self) -> bool {
        let Some(quiet) = self.quiet else {
            return false;
        };
        let rested = self.agenda.now().saturating_sub(quiet);
        rested >= PATIENCE || rested >= REST && self.ledger.is_converged()
    }

    /// Sends a frame through a port.
    pub(super) fn send(&mut self, (node, port): (usize, usize), frame: Frame) {
        let Port {
            link, end, is_up, ..
        } = self.nodes[node].ports[port];
        if !is_up {
            return;
        }
        let now = self.agenda.now();
        let bytes = frame.bytes(&self.messages);
        self.ledger.sent(node, &frame, bytes);
        let left = self.nodes[node].sends_until.max(now) + self.takes(bytes);
        self.nodes[node].sends_until = left;
        let loss = self.settings.loss;
        let way = &mut self.links[link];
        let at = way.arrival(end, left, (bytes, loss), &mut self.random);
        let way = Way {
            link,
            end: 1 - end,
            era: way.era,
            bytes,
        };
        self.agenda.plan(at, Event::Arrive(way, frame));
    }

    /// How long so many bytes take through the link of a node.
    fn takes(&self, bytes: usize) -> Time {
        on_link(bytes) as u64 * 8 * SECOND / self.settings.bandwidth
    }

    fn arrive(&mut self, way: Way, frame: Frame) {
        if self.links[way.link].era != way.era {
            return;
        }
        let now = self.agenda.now();
        let takes = self.takes(way.bytes);
        let node = &mut self.nodes[self.links[way.link].ends[way.end]];
        node.receives_until = (node.receives_until + takes).max(now);
        match node.receives_until {
            at if at == now => self.deliver(way, frame),
            at => self.agenda.plan(at, Event::Deliver(way, frame)),
        }
    }

    fn deliver(&mut self, way: Way, frame: Frame) {
        let link = &self.links[way.link];
        if link.era != way.era {
            return;
        }
        let here = (link.ends[way.end], link.ports[way.end]);
        match frame {
            Frame::Hello => self.hear_hello(here),
            Frame::Publication(message) => self.hear_message(here, message),
            Frame::Have(list) => self.hear_have(here, &list),
            Frame::Want(list) => self.hear_want(here, &list),
            Frame::DontWant(message) => self.hear_dont_want(here, message),
            Frame::Graft => self.hear_graft(here),
            Frame::Prune => self.hear_prune(here),
            Frame::Visit(Side::Visitor, said) => self.receive_visit(here, *said),
            Frame::Visit(Side::Host, said) => self.pay_visit(here, *said),
        }
    }

    fn call(&mut self, link: usize, call: u32) {
        let Link {
            ends: [caller, called],
            is_up,
            era,
            latency,
            failures,
            ..
        } = self.links[link];
        if is_up || era != call || !self.nodes[caller].is_online {
            return;
        }
        let now = self.agenda.now();
        let is_unheard = self.is_cut && self.are_apart(caller, called);
        if !is_unheard && self.nodes[called].is_online {
            let at = now + CALL_ROUNDS * 2 * latency;
            self.agenda.plan(at, Event::Connected(link, era));
            return;
        }
        let redials = &self.settings.redials;
        let failed = match is_unheard {
            true => span(redials.patience),
            false => 2 * latency,
        };
        let doubled = redials.first.saturating_mul(2_u32.saturating_pow(failures));
        let pause = span(doubled.min(redials.longest));
        self.links[link].failures += 1;
        self.agenda
            .plan(now + failed + pause, Event::Call(link, era));
    }

    fn connected(&mut self, link: usize, call: u32) {
        let Link {
            ends,
            ports,
            is_up,
            era,
            ..
        } = self.links[link];
        let [caller, called] = ends;
        if is_up || era != call {
            return;
        }
        let is_unheard = self.is_cut && self.are_apart(caller, called);
        if is_unheard || !ends.iter().all(|end| self.nodes[*end].is_online) {
            self.call(link, call);
            return;
        }
        self.links[link].is_up = true;
        self.links[link].failures = 0;
        for (node, port) in ends.into_iter().zip(ports) {
            self.nodes[node].ports[port].is_up = true;
        }
        for here in ends.into_iter().zip(ports) {
            self.send(here, Frame::Hello);
            self.meet(here);
        }
    }

    /// A connection breaks; who made it will make it again.
    pub(super) fn part(&mut self, link: usize) {
        let Link {
            ends, ports, is_up, ..
        } = self.links[link];
        if !is_up {
            return;
        }
        self.links[link].is_up = false;
        self.links[link].era += 1;
        for (node, port) in ends.into_iter().zip(ports) {
            self.nodes[node].set_mesh(port, Membership::Out);
            let away = &mut self.nodes[node].ports[port];
            away.is_up = false;
            away.is_greeted = false;
            away.unwanted.clear();
            away.due = NEVER;
            self.miss((node, port));
        }
        self.call_again(link);
    }

    fn call_again(&mut self, link: usize) {
        let at = self.agenda.now() + span(self.settings.redials.first);
        let era = self.links[link].era;
        self.agenda.plan(at, Event::Call(link, era));
    }
}
