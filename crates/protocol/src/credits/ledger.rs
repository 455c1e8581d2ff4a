//! Lots, and how steps change them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Handover, Move, Place, Record, RecordKind, Step};
use crate::time::Timestamp;

/// An amount granted at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Content time of the grant.
    pub granted: Timestamp,
    /// The post that granted it.
    pub credit_ref: String,
    /// Which of its records.
    pub index: u32,
    /// How much it was.
    pub amount: i64,
    /// How much is left.
    pub remaining: i64,
    /// Until when it can be used.
    pub expiration: Option<Timestamp>,
}

/// Granted, by which post, by which of its records: the order of draining.
type Key = (Timestamp, String, u32);

/// Lots of some addresses; whatever concerns others is ignored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    accounts: BTreeMap<String, Account>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    live: BTreeMap<Key, Lot>,
    /// Empty, or ended before the newest step: never drained again.
    closed: Vec<Lot>,
}

/// What a drain took from one lot or from neighbours with the same end.
struct Portion {
    amount: i64,
    expiration: Option<Timestamp>,
}

/// Carries out steps in their order, on empty lots of these addresses.
/// Answers with the lots and with the records of each transfer whose sender
/// is one of the addresses.
pub fn replay(
    mut steps: Vec<Step>,
    addresses: &BTreeSet<String>,
) -> (Ledger, Vec<(Place, Vec<Record>)>) {
    let mut ledger = Ledger::default();
    for address in addresses {
        ledger.open(address, Vec::new());
    }
    steps.sort_by(|a, b| a.place.cmp(&b.place));
    let mut shared = Vec::new();
    for step in steps {
        let records = ledger.carry_out(&step);
        if !records.is_empty() {
            shared.push((step.place, records));
        }
    }
    (ledger, shared)
}

impl Ledger {
    /// Takes an address in, with the lots it has.
    pub fn open(&mut self, address: &str, lots: Vec<Lot>) {
        let account = self.accounts.entry(address.to_owned()).or_default();
        account.live = lots.into_iter().map(|lot| (lot.key(), lot)).collect();
    }

    /// Every address with its lots, in the order of draining.
    pub fn into_lots(self) -> impl Iterator<Item = (String, Vec<Lot>)> {
        self.accounts.into_iter().map(|(address, account)| {
            let mut lots = account.closed;
            lots.extend(account.live.into_values());
            lots.sort_by_cached_key(Lot::key);
            (address, lots)
        })
    }

    /// Carries out a step, which must not be older than any carried out
    /// before. Answers with the records of its handovers: what each recipient
    /// got, then what the sender gave, numbered through the whole post.
    pub fn carry_out(&mut self, step: &Step) -> Vec<Record> {
        let mut records = Vec::new();
        for one in &step.moves {
            match one {
                Move::Grant {
                    index,
                    address,
                    amount,
                    expiration,
                } => self.grant(&step.place, address, (*index, *amount, *expiration)),
                Move::Charge { address, amount } => {
                    self.drain(address, *amount, step.place.time);
                }
                Move::Handover { sender, handover } => {
                    self.hand_over(&step.place, sender, handover, &mut records)
                }
            }
        }
        records
    }

    fn grant(
        &mut self,
        place: &Place,
        address: &str,
        (index, amount, expiration): (u32, i64, Option<Timestamp>),
    ) {
        let Some(account) = self.accounts.get_mut(address) else {
            return;
        };
        let lot = Lot {
            granted: place.time,
            credit_ref: place.credit_ref.clone(),
            index,
            amount,
            remaining: amount,
            expiration,
        };
        account.live.insert(lot.key(), lot);
    }

    fn hand_over(
        &mut self,
        place: &Place,
        sender: &str,
        handover: &Handover,
        records: &mut Vec<Record>,
    ) {
        if !self.accounts.contains_key(sender) {
            return;
        }
        let drained = self.drain(sender, handover.amount, place.time);
        let mut add = |record: Record| {
            let index = records.len() as u32;
            records.push(Record {
                index,
                kind: RecordKind::Shared,
                ..record
            });
            index
        };
        let mut grants = Vec::new();
        for portion in capped(drained, handover.expiration) {
            let record = Record::transfer(&handover.address, portion.amount, sender)
                .until(portion.expiration);
            grants.push((add(record), portion.amount, portion.expiration));
        }
        add(Record::transfer(
            sender,
            handover.amount.saturating_neg(),
            &handover.address,
        ));
        for grant in grants {
            self.grant(place, &handover.address, grant);
        }
    }

    /// Takes up to `amount` from the lots that can be used at `at`, oldest
    /// first.
    fn drain(&mut self, address: &str, amount: i64, at: Timestamp) -> Vec<Portion> {
        let Some(account) = self.accounts.get_mut(address) else {
            return Vec::new();
        };
        let (mut portions, mut closed, mut missing) = (Vec::new(), Vec::new(), amount);
        for (key, lot) in &mut account.live {
            if missing <= 0 {
                break;
            }
            if lot.expiration.is_some_and(|end| end <= at) {
                closed.push(key.clone());
                continue;
            }
            let taken = lot.remaining.min(missing);
            lot.remaining -= taken;
            missing -= taken;
            portions.push(Portion {
                amount: taken,
                expiration: lot.expiration,
            });
            if lot.remaining == 0 {
                closed.push(key.clone());
            }
        }
        for key in closed {
            account.closed.extend(account.live.remove(&key));
        }
        portions
    }
}

impl Lot {
    fn key(&self) -> Key {
        (self.granted, self.credit_ref.clone(), self.index)
    }
}

/// Nobody gets credits for longer than the giver had them.
fn capped(drained: Vec<Portion>, requested: Option<Timestamp>) -> Vec<Portion> {
    let mut portions: Vec<Portion> = Vec::new();
    for portion in drained {
        let expiration = match (portion.expiration, requested) {
            (Some(source), Some(requested)) => Some(source.min(requested)),
            (source, requested) => source.or(requested),
        };
        match portions.last_mut() {
            Some(last) if last.expiration == expiration => last.amount += portion.amount,
            _ => portions.push(Portion {
                amount: portion.amount,
                expiration,
            }),
        }
    }
    portions
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::credits::Rank;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn step(time: i64, credit_ref: &str, moves: Vec<Move>) -> Step {
        let rank = Rank::of(&moves);
        Step {
            place: Place {
                time: at(time),
                rank,
                credit_ref: credit_ref.to_owned(),
            },
            moves,
        }
    }

    fn grant(address: &str, amount: i64, until: Option<i64>) -> Vec<Move> {
        vec![Move::Grant {
            index: 0,
            address: address.to_owned(),
            amount,
            expiration: until.map(at),
        }]
    }

    fn handover(sender: &str, address: &str, amount: i64, until: Option<i64>) -> Vec<Move> {
        vec![Move::Handover {
            sender: sender.to_owned(),
            handover: Handover {
                address: address.to_owned(),
                amount,
                expiration: until.map(at),
            },
        }]
    }

    type Seen = Vec<(String, i64, Option<Timestamp>)>;

    fn run(steps: Vec<Step>) -> (Seen, Vec<i64>) {
        let addresses = ["a", "b"].map(str::to_owned).into();
        let (ledger, shared) = replay(steps, &addresses);
        let lots = ledger.into_lots().flat_map(|(address, lots)| {
            lots.into_iter()
                .map(move |lot| (address.clone(), lot.remaining, lot.expiration))
        });
        let amounts = shared
            .into_iter()
            .flat_map(|(_, records)| records.into_iter().map(|record| record.amount));
        (lots.collect(), amounts.collect())
    }

    #[test]
    fn oldest_lots_pay_first_and_ends_are_inherited() {
        let (lots, amounts) = run(vec![
            step(3, "t", handover("a", "b", 130, Some(50))),
            step(1, "g", grant("a", 100, Some(40))),
            step(2, "h", grant("a", 100, None)),
        ]);
        let expected = [
            ("a", 0, Some(40)),
            ("a", 70, None),
            ("b", 100, Some(40)),
            ("b", 30, Some(50)),
        ];
        let expected: Seen = expected
            .map(|(address, left, end)| (address.to_owned(), left, end.map(at)))
            .into();
        assert_eq!((lots, amounts), (expected, vec![100, 30, -130]));
    }

    #[test]
    fn neighbours_with_the_same_end_are_one_portion() {
        let (_, amounts) = run(vec![
            step(1, "g", grant("a", 10, None)),
            step(2, "h", grant("a", 10, None)),
            step(3, "t", handover("a", "b", 15, None)),
        ]);
        assert_eq!(amounts, [15, -15]);
    }

    #[test]
    fn nothing_is_minted_by_a_transfer_older_than_its_lots() {
        let (lots, amounts) = run(vec![
            step(2, "g", grant("a", 100, None)),
            step(1, "t", handover("a", "b", 60, None)),
        ]);
        assert_eq!(lots, [("a".to_owned(), 100, None)]);
        assert_eq!(amounts, [-60]);
    }

    #[test]
    fn what_has_ended_pays_for_nothing() {
        let (lots, amounts) = run(vec![
            step(1, "g", grant("a", 100, Some(5))),
            step(5, "t", handover("a", "b", 60, None)),
        ]);
        assert_eq!(lots, [("a".to_owned(), 100, Some(at(5)))]);
        assert_eq!(amounts, [-60]);
    }
}
