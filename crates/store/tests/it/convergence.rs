//! Whatever order a history arrives in, the state ends the same.
//!
//! Every history is judged and applied for real. Which orders causality allows
//! is said in `tests/history/history.rs`.
//!
//! `BETH_SEED=n` runs one history and tells what it consists of;
//! `BETH_HISTORIES=n` runs that many.

mod circles;
mod node;

use beth_protocol::Status;
use beth_protocol::reconcile::Range;
use beth_protocol::time::Timestamp;
use beth_store::query::messages::MessageFilter;
use beth_store::query::posts::{ListedPost, PostFilter};
use beth_store::query::{Span, Window};
use beth_store::{Error, State, StateDigest, Store};
use serde_json::{Value, json};

use crate::history::dump::{Dump, dump};
use crate::history::order::{self, Delivery};
use crate::history::{Dice, History};
use crate::reconcile;
use node::{NOW, Node};

/// Histories of one run, and orders of each.
const HISTORIES: u64 = 200;
const ORDERS: u64 = 5;
const LENGTH: usize = 45;
/// Every so many, the digest is compared after every single message.
const SEEDS_PER_WALK: u64 = 12;

/// Seeds that once failed.
const REGRESSIONS: &[u64] = &[];

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
                    let mut lab = Lab::default();
                    seeds.into_iter().for_each(|seed| lab.run(seed));
                    lab.tally
                })
            })
            .collect();
        for thread in running {
            tally.add(&thread.join().unwrap());
        }
    });
    eprintln!("{tally:?}");
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

/// Runs histories, each order in a database of its own.
#[derive(Default)]
struct Lab {
    tally: Tally,
}

/// How a delivery ended.
struct Ending {
    seen: Seen,
    statuses: Vec<Option<Status>>,
    /// Places of FORGETs of aggregates that have no revision.
    vain: Vec<usize>,
    waited: u64,
}

/// A state, whole and as a digest.
struct Seen {
    dump: Dump,
    digest: StateDigest,
}

impl Lab {
    fn run(&mut self, seed: u64) {
        let mut history = History::new(seed, LENGTH);
        let mut first = deliver(&history, &order::original(&history));
        while !first.vain.is_empty() {
            for place in first.vain.iter().rev() {
                history.steps.remove(*place);
            }
            first = deliver(&history, &order::original(&history));
        }
        self.count(&first);
        if number("BETH_SEED").is_some() {
            tell(&history, &first);
        }
        let bonds = order::bonds(&history);
        for attempt in 0..ORDERS {
            let mut dice = Dice::new(seed.wrapping_mul(1_000) + attempt);
            let deliveries = order::shuffled(&bonds, &mut dice);
            let ending = deliver(&history, &deliveries);
            self.tally.orders += 1;
            self.tally.waited += ending.waited;
            let differences = first.seen.dump.differences(&ending.seen.dump);
            if !differences.is_empty() || first.seen.digest != ending.seen.digest {
                self.tally.failures.push(format!(
                    "seed {seed}, order {attempt}: run again with BETH_SEED={seed}, keep it in REGRESSIONS\n{}\n{}",
                    differences.join("\n"),
                    arrivals(&history, &deliveries, &differences),
                ));
            }
        }
        if seed.is_multiple_of(SEEDS_PER_WALK) {
            self.walk(&history);
        }
    }

    /// Two states have one digest when they are the same, and only then.
    fn walk(&mut self, history: &History) {
        let place = TempState::new(history);
        let mut node = Node::new(history);
        let mut store = Store::open(&place.0.path().join("state.sqlite")).unwrap();
        let mut before = look(&store, history);
        for delivery in order::original(history) {
            hear(&mut store, &mut node, &[delivery]);
            let now = look(&store, history);
            let is_same = covered(&before.dump) == covered(&now.dump);
            let digests_agree = before.digest.whole == now.digest.whole;
            assert_eq!(
                is_same,
                digests_agree,
                "{:?}",
                before.dump.differences(&now.dump)
            );
            before = now;
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

/// A folder with an empty state that knows the files of a history.
struct TempState(tempfile::TempDir);

impl TempState {
    fn new(history: &History) -> TempState {
        let folder = in_memory();
        let mut store = Store::open(&folder.path().join("state.sqlite")).unwrap();
        let add = |state: &State<'_>| {
            let files = history.files.iter();
            files
                .into_iter()
                .try_for_each(|(hash, bytes)| state.add_file(hash, bytes.len() as u64))
        };
        store.writer.transaction::<_, Error>(add).unwrap();
        TempState(folder)
    }
}

/// Thousands of small databases: where there is a memory disk, there.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Delivers in batches of different sizes, as the writer commits.
fn deliver(history: &History, deliveries: &[Delivery]) -> Ending {
    let place = TempState::new(history);
    let mut store = Store::open(&place.0.path().join("state.sqlite")).unwrap();
    let mut node = Node::new(history);
    let mut dice = Dice::new(deliveries.len() as u64);
    let mut rest = deliveries;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(rest.len().min(1 + dice.below(25)));
        hear(&mut store, &mut node, batch);
        rest = after;
    }
    let seen = look(&store, history);
    let read = |state: &State<'_>| Ending::of(state, seen, &node);
    store.readers.read::<_, Error>(read).unwrap()
}

fn hear(store: &mut Store, node: &mut Node<'_>, batch: &[Delivery]) {
    let work = |state: &State<'_>| node.hear(state, batch);
    store.writer.transaction::<_, Error>(work).unwrap();
}

/// Reads the state, and checks that the digest was kept rightly.
fn look(store: &Store, history: &History) -> Seen {
    let read = |state: &State<'_>| {
        let digest = state.digest()?;
        assert_eq!(
            digest,
            state.recompute_digest()?,
            "the digest was kept wrongly"
        );
        check_counts(state)?;
        reconcile::check(state, Range::ALL);
        let dump = dump(state, &history.steps, &history.addresses, NOW)?;
        Ok(Seen { dump, digest })
    };
    store.readers.read::<_, Error>(read).unwrap()
}

/// What the writer counts by time, and finds by tags, is what there is.
fn check_counts(state: &State<'_>) -> Result<(), Error> {
    let whole = Window::Page { number: 1, size: 0 };
    let span = Span {
        start: Some(Timestamp::from_seconds(0)),
        end: Some(Timestamp::from_seconds(4_000_000_000)),
    };
    let posts = PostFilter {
        span,
        ..PostFilter::default()
    };
    let page = state.posts(&posts, &whole)?;
    assert_eq!(page.total, page.rows.len() as u64, "posts");
    for tag in ["red", "green"] {
        let tagged = PostFilter {
            tags: Some(vec![tag.to_owned()]),
            ..PostFilter::default()
        };
        let found = state.posts(&tagged, &whole)?;
        let is_tagged = |post: &&ListedPost| {
            let content: Value = serde_json::from_str(&post.current().body).unwrap();
            content["content"]["tags"] == json!([tag])
        };
        let expected: Vec<&ListedPost> = page.rows.iter().filter(is_tagged).collect();
        assert_eq!(found.rows.iter().collect::<Vec<_>>(), expected, "{tag}");
        assert_eq!(found.total, expected.len() as u64, "{tag}");
    }
    let messages = MessageFilter {
        span,
        ..MessageFilter::default()
    };
    let page = state.messages(&messages, &whole)?;
    assert_eq!(page.total, page.rows.len() as u64, "messages");
    Ok(())
}

/// The part of a state that its digest speaks of: no bills, which depend on the
/// prices of the day, and nothing that waits or was refused.
fn covered(dump: &Dump) -> Vec<(&String, &String)> {
    let is_covered = |name: &str| {
        !["costs ", "owes ", "status "]
            .iter()
            .any(|part| name.starts_with(part))
    };
    dump.0.iter().filter(|(name, _)| is_covered(name)).collect()
}

impl Ending {
    fn of(state: &State<'_>, seen: Seen, node: &Node<'_>) -> Result<Ending, Error> {
        let mut statuses = Vec::new();
        let mut vain = Vec::new();
        for (place, step) in node.history.steps.iter().enumerate() {
            let status = state.status(step.hash())?.map(|(status, _)| status);
            if status == Some(Status::Pending) && node::awaits_an_aggregate(state, step.hash())? {
                vain.push(place);
            }
            statuses.push(status);
        }
        let next = state.next_due()?;
        assert!(
            next.is_none_or(|due| due > NOW),
            "what is due was not tried"
        );
        Ok(Ending {
            seen,
            statuses,
            vain,
            waited: node.waited,
        })
    }
}

fn tell(history: &History, ending: &Ending) {
    for (place, (step, status)) in history.steps.iter().zip(&ending.statuses).enumerate() {
        let content = step.message.item_content.as_deref().unwrap_or_default();
        let kind = step.message.message_type;
        eprintln!("{place} {} {kind} {status:?} {content}", step.hash());
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
