//! Whom a node passes messages on to.

use super::clock::span;
use super::node::{Membership, Port};
use super::wire::Frame;
use super::world::World;

impl World {
    /// A neighbour follows the topic; who has too few takes it at once.
    pub(super) fn hear_hello(&mut self, here: (usize, usize)) {
        let (node, port) = here;
        self.nodes[node].ports[port].is_greeted = true;
        let is_low = self.nodes[node].mesh < self.settings.gossip.mesh.low;
        let is_free = self.is_free(&self.nodes[node].ports[port]);
        if is_low && is_free {
            self.graft(here);
        }
    }

    /// A neighbour took us into its mesh: so do we, or we tell it to forget it.
    pub(super) fn hear_graft(&mut self, here: (usize, usize)) {
        let (node, port) = here;
        let gossip = &self.settings.gossip;
        let from = &self.nodes[node].ports[port];
        if from.is_in_mesh {
            return;
        }
        let is_early = from.backoff > self.agenda.now();
        let is_full = self.nodes[node].mesh >= gossip.mesh.high && !from.is_outbound();
        match is_early || is_full {
            true => self.prune(here),
            false => self.nodes[node].set_mesh(port, Membership::In),
        }
    }

    /// A neighbour removed us from its mesh.
    pub(super) fn hear_prune(&mut self, (node, port): (usize, usize)) {
        let until = self.agenda.now() + span(self.settings.gossip.prune_backoff);
        self.nodes[node].set_mesh(port, Membership::Out);
        self.nodes[node].ports[port].backoff = until;
    }

    /// What a node does every second.
    pub(super) fn heartbeat(&mut self, node: usize) {
        let mesh = self.settings.gossip.mesh;
        let (mut grafted, mut pruned) = (Vec::new(), Vec::new());
        if self.nodes[node].mesh < mesh.low {
            let free = self.nodes[node].ports_that(|port| self.is_candidate(port));
            let missing = mesh.peers - self.nodes[node].mesh;
            grafted = self.random.some(free, missing);
        }
        if self.nodes[node].mesh >= mesh.high {
            pruned = self.excess(node);
        }
        let size = self.nodes[node].mesh - pruned.len();
        if size >= mesh.low {
            grafted.extend(self.outbound_missing(node));
        }
        for port in &grafted {
            self.nodes[node].set_mesh(*port, Membership::In);
        }
        for port in &pruned {
            self.nodes[node].set_mesh(*port, Membership::Out);
        }
        self.tell_of_history(node);
        for port in grafted {
            self.send((node, port), Frame::Graft);
        }
        for port in pruned {
            self.prune((node, port));
        }
        self.forget(node);
    }

    /// Members beyond what there should be; enough of those stay that the node
    /// has called itself, since nobody can force those upon it.
    fn excess(&mut self, node: usize) -> Vec<usize> {
        let mesh = self.settings.gossip.mesh;
        let here = &self.nodes[node];
        let members = here.ports_that(|port| port.is_in_mesh);
        let most = members.len() - mesh.peers;
        let is_outbound = |port: &usize| here.ports[*port].is_outbound();
        let mut outbound = members.iter().filter(|port| is_outbound(port)).count();
        let mut pruned = Vec::new();
        let count = members.len();
        for port in self.random.some(members, count) {
            let is_outbound = self.nodes[node].ports[port].is_outbound();
            if pruned.len() == most || is_outbound && outbound <= mesh.outbound_min {
                continue;
            }
            outbound -= usize::from(is_outbound);
            pruned.push(port);
        }
        pruned
    }

    fn outbound_missing(&mut self, node: usize) -> Vec<usize> {
        let here = &self.nodes[node];
        let members = here.ports_that(|port| port.is_in_mesh && port.is_outbound());
        let wanted = self.settings.gossip.mesh.outbound_min;
        let missing = wanted.saturating_sub(members.len());
        if missing == 0 {
            return Vec::new();
        }
        let free = here.ports_that(|port| port.is_outbound() && self.is_candidate(port));
        self.random.some(free, missing)
    }

    fn is_candidate(&self, port: &Port) -> bool {
        !port.is_in_mesh && self.is_free(port)
    }

    /// May be taken into the mesh.
    fn is_free(&self, port: &Port) -> bool {
        let gossip = &self.settings.gossip;
        let slack = span(gossip.heartbeat * gossip.backoff_slack);
        port.backoff == 0 || port.backoff + slack <= self.agenda.now()
    }

    fn graft(&mut self, here: (usize, usize)) {
        self.nodes[here.0].set_mesh(here.1, Membership::In);
        self.send(here, Frame::Graft);
    }

    fn prune(&mut self, here: (usize, usize)) {
        let until = self.agenda.now() + span(self.settings.gossip.prune_backoff);
        self.nodes[here.0].ports[here.1].backoff = until;
        self.send(here, Frame::Prune);
    }
}
