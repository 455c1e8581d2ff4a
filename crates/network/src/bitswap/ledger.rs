//! What one peer wants from us.
//!
//! ```text
//!   want ──▶ queued ──▶ in hand ──┬─ here: sent, forgotten
//!              ▲                  └─ not here: absent, remembered
//!              └──── new blocks came ────────────┘
//! ```
//!
//! Blocks that come while a want is in hand may be the ones that its look-up
//! just missed, so it is looked up again.
//!
//! Pure. Greater priorities come first, then earlier wants. The list is
//! bounded: a new want takes the place of the longest absent one, and is not
//! taken while none is absent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::cid::{Cid, Key};
use super::frame::Want;
use crate::limits::EXCHANGE_WANTS_OF_PEER;

/// When a want has its turn: by priority, then by number.
type Turn = (Reverse<i32>, u64);

/// The wants of a peer.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    wants: HashMap<Key, Wanted>,
    queue: BTreeMap<Turn, Key>,
    absent: BTreeMap<u64, Key>,
    /// Of the next want.
    number: u64,
    /// How often new blocks came.
    arrivals: u64,
}

#[derive(Debug)]
struct Wanted {
    want: Want,
    turn: Turn,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued,
    /// Since so many arrivals.
    Hand(u64),
    Absent(u64),
}

impl Ledger {
    /// Takes in what a message says.
    pub(super) fn apply(&mut self, full: bool, wants: Vec<Want>) {
        if full {
            self.wants.clear();
            self.queue.clear();
            self.absent.clear();
        }
        for want in wants {
            let Some(key) = Cid::parse(&want.cid).map(|cid| cid.key()) else {
                continue;
            };
            if want.cancel {
                self.remove(&key);
            } else {
                self.add(key, want);
            }
        }
    }

    /// The next want to look up.
    pub(super) fn next(&mut self) -> Option<(Key, Want)> {
        let (_, key) = self.queue.pop_first()?;
        let wanted = self.wants.get_mut(&key)?;
        wanted.place = Place::Hand(self.arrivals);
        Some((key, wanted.want.clone()))
    }

    /// The want in hand was served.
    pub(super) fn served(&mut self, key: &Key) {
        if self.in_hand(key).is_some() {
            self.wants.remove(key);
        }
    }

    /// The want in hand cannot be served yet. Its absence is told once.
    pub(super) fn missed(&mut self, key: &Key) {
        self.number += 1;
        let (number, arrivals) = (self.number, self.arrivals);
        let Some(wanted) = self.in_hand(key) else {
            return;
        };
        wanted.want.tell_absence = false;
        if wanted.place == Place::Hand(arrivals) {
            wanted.place = Place::Absent(number);
            self.absent.insert(number, key.clone());
        } else {
            wanted.place = Place::Queued;
            let turn = wanted.turn;
            self.queue.insert(turn, key.clone());
        }
    }

    /// Looks up again what was not here.
    pub(super) fn look_again(&mut self) {
        self.arrivals += 1;
        for key in std::mem::take(&mut self.absent).into_values() {
            if let Some(wanted) = self.wants.get_mut(&key) {
                wanted.place = Place::Queued;
                self.queue.insert(wanted.turn, key);
            }
        }
    }

    /// Nothing is queued.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Nothing is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    fn add(&mut self, key: Key, want: Want) {
        if self.wants.contains_key(&key) {
            self.remove(&key);
        } else if self.wants.len() >= EXCHANGE_WANTS_OF_PEER {
            let Some((_, oldest)) = self.absent.pop_first() else {
                return;
            };
            self.wants.remove(&oldest);
        }
        self.number += 1;
        let turn = (Reverse(want.priority), self.number);
        self.queue.insert(turn, key.clone());
        let place = Place::Queued;
        self.wants.insert(key, Wanted { want, turn, place });
    }

    fn remove(&mut self, key: &Key) {
        let Some(wanted) = self.wants.remove(key) else {
            return;
        };
        match wanted.place {
            Place::Queued => drop(self.queue.remove(&wanted.turn)),
            Place::Absent(number) => drop(self.absent.remove(&number)),
            Place::Hand(_) => {}
        }
    }

    /// The want, unless it was cancelled or asked anew meanwhile.
    fn in_hand(&mut self, key: &Key) -> Option<&mut Wanted> {
        self.wants
            .get_mut(key)
            .filter(|wanted| matches!(wanted.place, Place::Hand(_)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bitswap::frame::Kind;

    fn cid(number: u32) -> Vec<u8> {
        [&[1, 0x55, 0, 4], number.to_be_bytes().as_slice()].concat()
    }

    fn want(number: u32, priority: i32) -> Want {
        Want {
            cid: cid(number),
            priority,
            tell_absence: true,
            ..Want::default()
        }
    }

    fn cancel(number: u32) -> Want {
        Want {
            cancel: true,
            ..want(number, 0)
        }
    }

    fn drain(ledger: &mut Ledger) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| ledger.next())
            .map(|(_, want)| want.cid)
            .collect()
    }

    #[test]
    fn in_turn() {
        let mut ledger = Ledger::default();
        ledger.apply(false, vec![want(1, 1), want(2, 9), want(3, 1), want(4, 5)]);
        ledger.apply(false, vec![cancel(4), want(5, -3)]);
        assert_eq!(drain(&mut ledger), [2, 1, 3, 5].map(cid));
        ledger.apply(true, vec![want(7, 1)]);
        assert_eq!(drain(&mut ledger), [7].map(cid));
    }

    #[test]
    fn what_is_absent_waits() {
        let mut ledger = Ledger::default();
        ledger.apply(false, vec![want(1, 1), want(2, 1)]);
        let (first, _) = ledger.next().unwrap();
        let (second, _) = ledger.next().unwrap();
        ledger.missed(&first);
        ledger.served(&second);
        assert!(ledger.is_idle() && !ledger.is_empty());
        ledger.look_again();
        let (again, told) = ledger.next().unwrap();
        assert_eq!((again, told.tell_absence), (first.clone(), false));
        ledger.served(&first);
        assert!(ledger.is_empty());
    }

    #[test]
    fn what_comes_while_it_is_looked_up() {
        let mut ledger = Ledger::default();
        ledger.apply(false, vec![want(1, 1)]);
        let (key, _) = ledger.next().unwrap();
        ledger.look_again();
        ledger.missed(&key);
        let (again, told) = ledger.next().unwrap();
        assert_eq!((&again, told.tell_absence), (&key, false));
        ledger.missed(&key);
        assert!(ledger.is_idle() && !ledger.is_empty());
    }

    #[test]
    fn what_is_asked_anew_while_in_hand() {
        let mut ledger = Ledger::default();
        let have = Want {
            kind: Kind::Have,
            ..want(1, 1)
        };
        ledger.apply(false, vec![have]);
        let (key, _) = ledger.next().unwrap();
        ledger.apply(false, vec![want(1, 1)]);
        ledger.served(&key);
        assert_eq!(ledger.next().unwrap().1.kind, Kind::Block);
        ledger.apply(false, vec![cancel(1)]);
        ledger.missed(&key);
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut ledger = Ledger::default();
        let all = EXCHANGE_WANTS_OF_PEER as u32;
        ledger.apply(false, (0..all + 50).map(|number| want(number, 1)).collect());
        assert_eq!(ledger.wants.len(), EXCHANGE_WANTS_OF_PEER);
        let (key, _) = ledger.next().unwrap();
        ledger.missed(&key);
        ledger.apply(false, vec![want(all + 60, 9), want(all + 61, 9)]);
        assert_eq!(ledger.wants.len(), EXCHANGE_WANTS_OF_PEER);
        assert_eq!(ledger.next().unwrap().1.cid, cid(all + 60));
        ledger.look_again();
        assert!(!ledger.wants.contains_key(&key));
    }
}
