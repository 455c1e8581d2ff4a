//! Whatever order a history arrives in, the state ends the same.
//!
//! Every history is judged and applied for real, in a transaction that is
//! undone at the end, so that hundreds of them need one database. Which orders
//! causality allows is said in `tests/history/history.rs`.
//!
//! `BETH_SEED=n` runs one history and tells what it consists of;
//! `BETH_HISTORIES=n` runs that many.

mod circles;
mod node;

use beth_protocol::Status;
use beth_store::{Error, State, Store};

use crate::history::dump::{Dump, dump};
use crate::history::order::{self, Delivery};
use crate::history::{Dice, History};
use node::{NOW, Node};

/// Histories of one run, and orders of each.
const HISTORIES: u64 = 250;
const ORDERS: u64 = 5;
const LENGTH: usize = 45;

/// Seeds that once failed.
const REGRESSIONS: &[u64] = &[15, 25, 31];

#[test]
fn every_order_gives_the_same_state() {
    let seeds: Vec<u64> = match (number("BETH_SEED"), number("BETH_HISTORIES")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (1..=count.unwrap_or(HISTORIES))
            .chain(REGRESSIONS.iter().copied())
            .collect(),
    };
    let halves: Vec<Vec<u64>> = (0..2)
        .map(|half| seeds.iter().copied().skip(half).step_by(2).collect())
        .collect();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = halves
            .into_iter()
            .map(|seeds| {
                scope.spawn(move || {
                    let mut lab = Lab::new();
                    seeds.into_iter().for_each(|seed| lab.run(seed));
                    lab.tally
                })
            })
            .collect();
        for thread in running {
            tally.add(&thread.join().unwrap());
        }
    });
    println!("{tally:?}");
    let failed = &tally.failures;
    assert!(
        failed.is_empty(),
        "{} orders differ\n{}",
        failed.len(),
        failed
            .iter()
            .take(5)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    if number("BETH_SEED").is_none() {
        // Histories in which nothing happens would prove nothing.
        for count in [
            tally.processed,
            tally.forgotten,
            tally.rejected,
            tally.waited,
        ] {
            assert!(count > tally.histories, "{tally:?}");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What happened in all histories together, in the order of the authors.
#[derive(Clone, Debug, Default)]
struct Tally {
    histories: u64,
    orders: u64,
    processed: u64,
    forgotten: u64,
    rejected: u64,
    pending: u64,
    /// Messages that came early and were processed later.
    waited: u64,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.failures.extend(other.failures.iter().cloned());
        self.histories += other.histories;
        self.orders += other.orders;
        self.processed += other.processed;
        self.forgotten += other.forgotten;
        self.rejected += other.rejected;
        self.pending += other.pending;
        self.waited += other.waited;
    }
}

/// One database, empty between two deliveries.
struct Lab {
    store: Store,
    tally: Tally,
    _folder: tempfile::TempDir,
}

/// How a delivery ended.
struct Ending {
    dump: Dump,
    statuses: Vec<Option<Status>>,
    /// Places of FORGETs of aggregates that have no revision.
    vain: Vec<usize>,
    waited: u64,
}

/// Undoes a delivery, or is a failure of ours.
enum Undo {
    Done(Box<Ending>),
    Failed(Error),
}

impl From<Error> for Undo {
    fn from(error: Error) -> Undo {
        Undo::Failed(error)
    }
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        Lab {
            store: Store::open(&folder.path().join("state.sqlite")).unwrap(),
            tally: Tally::default(),
            _folder: folder,
        }
    }

    fn run(&mut self, seed: u64) {
        let mut history = History::new(seed, LENGTH);
        let mut first = self.deliver(&history, &order::original(&history));
        while !first.vain.is_empty() {
            for place in first.vain.iter().rev() {
                history.steps.remove(*place);
            }
            first = self.deliver(&history, &order::original(&history));
        }
        self.count(&first);
        if number("BETH_SEED").is_some() {
            tell(&history, &first);
        }
        let bonds = order::bonds(&history);
        for attempt in 0..ORDERS {
            let mut dice = Dice::new(seed.wrapping_mul(1_000) + attempt);
            let deliveries = order::shuffled(&bonds, &mut dice);
            let ending = self.deliver(&history, &deliveries);
            self.tally.orders += 1;
            self.tally.waited += ending.waited;
            let differences = first.dump.differences(&ending.dump);
            if !differences.is_empty() {
                self.tally.failures.push(format!(
                    "seed {seed}, order {attempt}: run again with BETH_SEED={seed}, keep it in REGRESSIONS\n{}\n{}",
                    differences.join("\n"),
                    arrivals(&history, &deliveries, &differences),
                ));
            }
        }
    }

    fn deliver(&mut self, history: &History, deliveries: &[Delivery]) -> Ending {
        let undone = self.store.writer.transaction(|state| {
            let ending = Node::new(state, history)?.hear(deliveries)?;
            Err::<(), Undo>(Undo::Done(Box::new(ending)))
        });
        match undone {
            Err(Undo::Done(ending)) => *ending,
            Err(Undo::Failed(error)) => panic!("{error}"),
            Ok(()) => unreachable!(),
        }
    }

    fn count(&mut self, ending: &Ending) {
        self.tally.histories += 1;
        for status in ending.statuses.iter().flatten() {
            match status {
                Status::Processed => self.tally.processed += 1,
                Status::Forgotten => self.tally.forgotten += 1,
                Status::Rejected => self.tally.rejected += 1,
                _ => self.tally.pending += 1,
            }
        }
    }
}

impl Ending {
    fn of(state: &State<'_>, history: &History, waited: u64) -> Result<Ending, Error> {
        let mut statuses = Vec::new();
        let mut vain = Vec::new();
        for (place, step) in history.steps.iter().enumerate() {
            let status = state.status(step.hash())?.map(|(status, _)| status);
            if status == Some(Status::Pending) && node::awaits_an_aggregate(state, step.hash())? {
                vain.push(place);
            }
            statuses.push(status);
        }
        Ok(Ending {
            dump: dump(state, &history.steps, &history.addresses, NOW)?,
            statuses,
            vain,
            waited,
        })
    }
}

fn tell(history: &History, ending: &Ending) {
    for (place, (step, status)) in history.steps.iter().zip(&ending.statuses).enumerate() {
        let content = step.message.item_content.as_deref().unwrap_or_default();
        let kind = step.message.message_type;
        println!("{place} {} {kind} {status:?} {content}", step.hash());
    }
}

/// The deliveries of the messages that the differences name.
fn arrivals(history: &History, deliveries: &[Delivery], differences: &[String]) -> String {
    let named = |place: usize| {
        let hash = history.steps[place].hash();
        differences.iter().any(|text| text.contains(hash))
    };
    let told = deliveries.iter().filter(|delivery| match delivery {
        Delivery::First(place) | Delivery::Again(place) | Delivery::Forged(place) => named(*place),
    });
    format!("{:?}", told.collect::<Vec<_>>())
}
