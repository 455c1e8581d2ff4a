//! A node: what it knows, and its connections.

use std::collections::{BTreeMap, VecDeque};

use super::clock::Time;
use super::library::Library;
use super::message::MessageIx;
use super::visits::Paid;

/// For which there is no time yet.
pub const NEVER: Time = Time::MAX;

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gossipsub 1.2, checks before it passes on, reconciles.
    Ours,
    /// Gossipsub 1.1, passes on at once, does not reconcile.
    Upstream,
}

/// Of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who pays it.
    Visitor,
    /// Who receives it.
    Host,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    pub is_online: bool,
    /// Counts its lives, so that plans of an earlier one are known.
    pub life: u32,
    /// To every node that it is or may be connected with.
    pub ports: Vec<Port>,
    /// Ports that are in the mesh.
    pub mesh: usize,
    /// When each message was first heard.
    pub heard: Vec<Time>,
    /// Messages of the last heartbeats, the present one first.
    pub history: VecDeque<Vec<MessageIx>>,
    /// Messages that are being checked, and the ports they came from.
    pub checking: BTreeMap<MessageIx, Vec<usize>>,
    /// Messages that were asked for, of whom, and until when they are awaited.
    pub promised: BTreeMap<MessageIx, (usize, Time)>,
    /// How often a message was given to a port that asked for it.
    pub given: BTreeMap<(MessageIx, usize), u32>,
    /// What it keeps.
    pub library: Library,
    /// When its uplink, its downlink and its checker have nothing to do.
    pub sends_until: Time,
    pub receives_until: Time,
    pub checks_until: Time,
    /// The visit that it pays.
    pub visit: Option<Paid>,
    /// Visits that it receives.
    pub guests: usize,
    /// Counts plans for visits; only the last one counts.
    pub plan: u64,
}

/// One end of a link.
#[derive(Clone, Debug)]
pub struct Port {
    pub link: usize,
    /// Which end of it.
    pub end: usize,
    /// The node behind it,
    pub peer: usize,
    /// and what that is.
    pub kind: Kind,
    pub is_up: bool,
    /// Said which topics it follows.
    pub is_greeted: bool,
    pub is_in_mesh: bool,
    /// Not to be taken into the mesh before.
    pub backoff: Time,
    /// Messages that it does not want, and when it said so.
    pub unwanted: Vec<(MessageIx, Time)>,
    /// Announcements and ids in this heartbeat.
    pub haves_read: usize,
    pub ids_asked: usize,
    /// When it is to be visited; `NEVER` while it is away or cannot be.
    pub due: Time,
    pub failures: u32,
    /// A visit of it is here.
    pub has_guest: bool,
}

impl Node {
    /// One that is not there yet.
    pub fn new(kind: Kind) -> Node {
        Node {
            kind,
            is_online: false,
            life: 0,
            ports: Vec::new(),
            mesh: 0,
            heard: Vec::new(),
            history: VecDeque::new(),
            checking: BTreeMap::new(),
            promised: BTreeMap::new(),
            given: BTreeMap::new(),
            library: Library::default(),
            sends_until: 0,
            receives_until: 0,
            checks_until: 0,
            visit: None,
            guests: 0,
            plan: 0,
        }
    }

    /// Begins a life: what is not stored is forgotten.
    pub fn begin(&mut self, history: usize) {
        self.is_online = true;
        self.life += 1;
        self.heard.clear();
        self.history = (0..history).map(|_| Vec::new()).collect();
        self.checking.clear();
        self.promised.clear();
        self.given.clear();
    }

    /// Has heard a message within the time for which duplicates are known.
    pub fn knows(&self, message: MessageIx, (now, duplicates): (Time, Time)) -> bool {
        match self.heard.get(message as usize) {
            Some(&at) if at != NEVER => now - at < duplicates,
            _ => false,
        }
    }

    /// Has heard a message now.
    pub fn hears(&mut self, message: MessageIx, now: Time) {
        let place = message as usize;
        if self.heard.len() <= place {
            self.heard.resize(place + 1, NEVER);
        }
        self.heard[place] = now;
        self.promised.remove(&message);
        if let Some(latest) = self.history.front_mut() {
            latest.push(message);
        }
    }

    /// Can still give a message in gossip.
    pub fn remembers(&self, message: MessageIx) -> bool {
        !self.checking.contains_key(&message)
            && self.history.iter().any(|beat| beat.contains(&message))
    }

    /// Puts a port into the mesh or takes it out.
    pub fn set_mesh(&mut self, port: usize, member: Membership) {
        let is_member = member == Membership::In;
        let port = &mut self.ports[port];
        if port.is_in_mesh != is_member {
            port.is_in_mesh = is_member;
            match member {
                Membership::In => self.mesh += 1,
                Membership::Out => self.mesh -= 1,
            }
        }
    }

    /// The ports that fit.
    pub fn ports_that(&self, fits: impl Fn(&Port) -> bool) -> Vec<usize> {
        let numbered = self.ports.iter().enumerate();
        let fitting = numbered.filter(|(_, port)| port.is_up && port.is_greeted && fits(port));
        fitting.map(|(number, _)| number).collect()
    }
}

/// Of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    In,
    Out,
}

impl Port {
    /// One that stands not yet.
    pub fn new((link, end): (usize, usize), peer: usize, kind: Kind) -> Port {
        Port {
            link,
            end,
            peer,
            kind,
            is_up: false,
            is_greeted: false,
            is_in_mesh: false,
            backoff: 0,
            unwanted: Vec::new(),
            haves_read: 0,
            ids_asked: 0,
            due: NEVER,
            failures: 0,
            has_guest: false,
        }
    }

    /// We called it.
    pub fn is_outbound(&self) -> bool {
        self.end == 0
    }

    /// It does not want this.
    pub fn refuses(&self, message: MessageIx) -> bool {
        self.unwanted
            .iter()
            .any(|(unwanted, _)| *unwanted == message)
    }
}
