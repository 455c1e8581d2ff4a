//! Random histories: what a handful of people publish, and in which orders a
//! node may hear of it.
//!
//! A history is made in one order, the one in which its authors acted: each of
//! them has seen everything before. Nodes hear of it in other orders. Which of
//! those must lead to the same state is a question of what a message *touches*:
//!
//! ```text
//!   hash X        a message exists, or no longer     amends X     amends of a post
//!   auth A        delegations of an address          elements A/k revisions of an aggregate
//!   tag T         which file a name means            uses X       machines that need a file
//!   funds A       what an address owns and owes      price        what resources cost
//! ```
//!
//! A message *looks at*, *adds to* or *changes* such a thing. Two messages may
//! swap places unless one of them looks at or changes what the other adds to or
//! changes; two additions always may: that is what the rules for equal times
//! are for. In prose, an order is one that causality allows when
//!
//! * an amend, an update of a file, a machine and a FORGET come after the
//!   messages they name, and a FORGET after the amends, the revisions and the
//!   machines that its author has seen; what the author had not seen comes
//!   after it, as does whatever names a forgotten message;
//! * a delegate's message, also a refused one, comes after the delegations that
//!   its author has seen and before those that came later;
//! * a resource comes after the balances, credits, prices and files it was
//!   judged by, and before those published later; resources of one address that
//!   is short of funds keep their order;
//! * of two FORGETs of one message the first wins (the second names nothing any
//!   more and waits in vain), so they keep their order.
//!
//! Some causes need no order, because a node waits for them by itself: the
//! message named by an amend, an update, a machine or a FORGET. Such a message
//! may arrive early, and is processed at the moment its cause arrives.
//!
//! Two things are left out, because no rule could make them converge without
//! refusing what the network accepts: a FORGET of an aggregate that has no
//! revision (it waits, and forgets what is there when it is tried again), and
//! two different signed copies of one item hash (the first one stays).

#![allow(dead_code)]

pub mod authors;
pub mod dump;
pub mod order;
pub mod resources;
pub mod touch;

use beth_protocol::Message;
use beth_protocol::judge::Rules;
use serde_json::Value;
use touch::Touch;

/// One message of a history, and what it touches.
#[derive(Clone)]
pub struct Step {
    pub message: Message,
    pub touches: Vec<Touch>,
}

impl Step {
    pub fn hash(&self) -> &str {
        self.message.item_hash.as_str()
    }

    /// As a client sends it.
    pub fn raw(&self) -> Value {
        serde_json::from_str(&self.message.to_wire()).unwrap()
    }
}

/// Messages in the order in which their authors acted.
pub struct History {
    pub steps: Vec<Step>,
    pub rules: Rules,
    /// Files that STORE messages name: hash and bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// Everybody, for asking what they own.
    pub addresses: Vec<String>,
}

impl History {
    /// `length` messages; the same ones for the same seed.
    pub fn new(seed: u64, length: usize) -> History {
        let mut authors = authors::Authors::new(seed, 0);
        let steps = (0..length).map(|_| authors.act()).collect();
        History {
            steps,
            rules: authors.rules(),
            files: authors.files(),
            addresses: authors.addresses(),
        }
    }
}

/// Numbers that look random and never change.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d | 1);
        for _ in 0..4 {
            dice.below(2);
        }
        dice
    }

    pub fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }

    /// True `times` in a hundred.
    pub fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    pub fn one<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
