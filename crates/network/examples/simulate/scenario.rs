//! What is said, who leaves, and what is cut.

use super::clock::Time;
use super::message::Message;
use super::settings::Scenario;
use super::world::{Event, World};

const SECOND: Time = 1_000_000_000;
/// Nodes that leave in a second: a tenth of them in a minute.
const LEAVING: f64 = 0.1 / 60.0;
/// How long they stay away.
const AWAY: (Time, Time) = (10 * SECOND, 40 * SECOND);
/// One of so many has lost what it had.
const EMPTY: usize = 4;

impl World {
    /// Somebody says the next message.
    pub(super) fn say(&mut self) {
        let now = self.agenda.now();
        let number = self.messages.len();
        if number == self.settings.messages {
            self.end();
            return;
        }
        if number == 0 {
            self.ledger.begin(now);
        }
        let is_partition = self.settings.scenario == Scenario::Partition;
        if is_partition && number == self.settings.messages / 4 {
            self.cut();
        }
        let here: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].is_online)
            .collect();
        if let Some(&author) = here.get(self.random.below(here.len().max(1))) {
            let message = Message::compose(number as u32, author, now, self.settings.bytes);
            self.ledger.born(&self.nodes, author);
            self.messages.push(message);
            self.publish(author, number as u32);
        }
        let longest = (2.0 * SECOND as f64 / self.settings.rate) as u64;
        let pause = self.random.between(0, longest);
        self.agenda.plan(now + pause, Event::Say);
    }

    /// Everything is said, and what was cut or away is whole again.
    fn end(&mut self) {
        let now = self.agenda.now();
        self.quiet = Some(now);
        self.ledger.quiet(now);
        self.is_cut = false;
        for node in 0..self.nodes.len() {
            self.come_back(node);
        }
        self.agenda.plan(now + SECOND, Event::Look);
    }

    fn cut(&mut self) {
        self.is_cut = true;
        for link in 0..self.links.len() {
            let [caller, called] = self.links[link].ends;
            if self.are_apart(caller, called) {
                self.part(link);
            }
        }
    }

    /// Are in different halves.
    pub(super) fn are_apart(&self, one: usize, other: usize) -> bool {
        let half = self.nodes.len() / 2;
        (one < half) != (other < half)
    }

    /// Some leave, while messages are said.
    pub(super) fn churn(&mut self) {
        if self.settings.scenario != Scenario::Churn || self.quiet.is_some() {
            return;
        }
        let now = self.agenda.now();
        self.leaving += self.nodes.len() as f64 * LEAVING;
        while self.leaving >= 1.0 {
            self.leaving -= 1.0;
            let node = self.random.below(self.nodes.len());
            if self.nodes[node].is_online {
                self.leave(node);
                let back = now + self.random.between(AWAY.0, AWAY.1);
                self.agenda.plan(back, Event::Return(node));
            }
        }
        self.agenda.plan(now + SECOND, Event::Churn);
    }

    fn leave(&mut self, node: usize) {
        self.nodes[node].is_online = false;
        let links: Vec<usize> = self.nodes[node]
            .ports
            .iter()
            .map(|port| port.link)
            .collect();
        for link in links {
            self.part(link);
        }
    }

    /// A node that was away begins again and calls whom it called before.
    pub(super) fn come_back(&mut self, node: usize) {
        if self.nodes[node].is_online {
            return;
        }
        if self.random.below(EMPTY) == 0 {
            self.empty(node);
        }
        self.begin(node);
        let now = self.agenda.now();
        let calls: Vec<usize> = self.nodes[node]
            .ports
            .iter()
            .filter(|port| port.is_outbound())
            .map(|port| port.link)
            .collect();
        for link in calls {
            self.links[link].era += 1;
            self.links[link].failures = 0;
            let era = self.links[link].era;
            self.agenda.plan(now, Event::Call(link, era));
        }
    }
}
