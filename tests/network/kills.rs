//! A node that is killed again and again, at any moment, under load.
//!
//! ```text
//!  clients, one history each ──▶ node ◀── SIGKILL: under load, while it starts, and while it stops
//!    keep what was answered       │                and moves its log into the database
//!                                 ▼
//!   dump of its state  ==  dump of a node that heard everything once and in peace
//! ```
//!
//! Clients share nothing, so that their messages commute; each sends its
//! messages in order, and again what was cut off. `BETH_KILLS=n` sets the
//! number of kills (`scripts/kill-loop.sh` runs two hundred).

pub mod client;
pub mod process;

use std::time::{Duration, Instant};

use beth_protocol::MessageType;
use beth_protocol::judge::Rules;
use beth_protocol::time::Timestamp;
use beth_store::{Error, State, StateDigest, Store};
use client::{Answer, Client, Desk};
use process::{Place, Running, stamp};

use crate::history::authors::Authors;
use crate::history::dump::{Dump, dump};
use crate::history::{Dice, Step};

const CLIENTS: u64 = 8;
const KILLS: u64 = 25;
const SEED: u64 = 20;
/// When credits are compared.
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// What a client sent and how it was answered.
struct Sent {
    step: Step,
    answer: Answer,
}

#[test]
fn nothing_accepted_is_lost_and_nothing_is_half_done() {
    let kills = std::env::var("BETH_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let groups: Vec<Authors> = (1..=CLIENTS)
        .map(|group| Authors::new(SEED, group))
        .collect();
    let addresses: Vec<String> = groups.iter().flat_map(Authors::addresses).collect();
    let (rules, files) = (rules(&groups), groups[0].files());
    let place = Place::new(rules.clone(), &files);
    let desk = Desk::default();
    let (sent, report) = std::thread::scope(|scope| {
        let clients: Vec<_> = groups
            .into_iter()
            .map(|authors| scope.spawn(|| publish(authors, &desk)))
            .collect();
        let (running, report) = Killer::new(&place, &desk).run(kills);
        let sent: Vec<Vec<Sent>> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        running.stop();
        (sent, report)
    });
    eprintln!("{report}");

    let steps: Vec<Step> = sent
        .iter()
        .flatten()
        .map(|sent| sent.step.clone())
        .collect();
    let (killed, digest) = examine(&place, &steps, &addresses);
    for one in sent.iter().flatten() {
        let name = format!("status {}", one.step.hash());
        let status = &killed.0[&name];
        assert!(
            fits(one.answer, status),
            "{:?} became {status}: {}",
            one.answer,
            one.step.hash()
        );
    }
    let peaceful = Place::new(rules, &files);
    replay(&peaceful, &sent);
    let (expected, expected_digest) = examine(&peaceful, &steps, &addresses);
    // When the next try is, is up to each node.
    let revoked: Vec<String> = sent
        .iter()
        .flatten()
        .filter(|one| one.answer == Answer::Pending)
        .map(|one| format!("status {}", one.step.hash()))
        .filter(|name| is_revoked(&killed.0[name]) || is_revoked(&expected.0[name]))
        .collect();
    let mut differences = expected.differences(&killed);
    differences.retain(|line| !revoked.iter().any(|name| line.starts_with(name.as_str())));
    assert!(
        differences.is_empty(),
        "{} differences\n{}\n{}",
        differences.len(),
        differences.join("\n"),
        place.last_words()
    );
    assert_eq!(digest, expected_digest);
}

/// One rule book that believes the treasurer of every group.
fn rules(groups: &[Authors]) -> Rules {
    let mut all = Rules::default();
    for rules in groups.iter().map(Authors::rules) {
        all.balances_addresses.extend(rules.balances_addresses);
        all.credits_addresses.extend(rules.credits_addresses);
        all.unbuilt_aggregate_owners
            .extend(rules.unbuilt_aggregate_owners);
    }
    all
}

/// Publishes until the desk closes. Now and then an amend goes out before its
/// post, waits, and must be processed once the post is.
fn publish(mut authors: Authors, desk: &Desk) -> Vec<Sent> {
    let mut client = Client::new(desk);
    let mut sent = Vec::new();
    let mut next = authors.act();
    while !desk.is_closing() {
        let (step, after) = (next, authors.act());
        if is_own_amend(&step, &after) {
            assert_eq!(client.submit(&after), Answer::Pending);
            let answer = client.submit(&step);
            assert_eq!(answer, Answer::Processed);
            assert_eq!(client.settled(after.hash()), "processed");
            sent.push(Sent { step, answer });
            sent.push(Sent {
                step: after,
                answer: Answer::Processed,
            });
            next = authors.act();
        } else {
            let answer = client.submit(&step);
            sent.push(Sent { step, answer });
            next = after;
        }
    }
    sent
}

/// True when the second message amends the first and nothing else is needed.
fn is_own_amend(post: &Step, amend: &Step) -> bool {
    let content = |step: &Step| step.message.inline_content().unwrap().unwrap().raw;
    let is_own = |step: &Step| content(step)["address"] == step.message.sender.as_str();
    let is_post = |step: &Step| step.message.message_type == MessageType::Post;
    let amended = content(amend)["ref"].clone();
    let is_plain = content(post)["type"] == "note" || content(post)["type"] == "blog";
    let is_same = post.message.sender == amend.message.sender;
    is_same
        && is_plain
        && is_post(post)
        && is_post(amend)
        && is_own(post)
        && is_own(amend)
        && amended == post.hash()
}

/// Whether a status, as a dump tells it, keeps what the answer promised.
fn fits(answer: Answer, status: &str) -> bool {
    let status = status.trim_matches('"');
    match answer {
        Answer::Processed => status == "processed" || status == "forgotten",
        Answer::Pending => status == "waits" || is_revoked(status),
        Answer::Rejected => status.starts_with("rejected"),
    }
}

/// A message that waits for what never comes is judged anew at each try: its
/// sender may no longer act for the owner then.
fn is_revoked(status: &str) -> bool {
    status.trim_matches('"').starts_with("rejected 2 ")
}

/// The same messages once more, to a node that nobody disturbs.
fn replay(place: &Place, sent: &[Vec<Sent>]) {
    let desk = Desk::default();
    let running = place.start();
    desk.set_address(Some(running.address));
    std::thread::scope(|scope| {
        for sent in sent {
            let desk = &desk;
            scope.spawn(move || {
                let mut client = Client::new(desk);
                for one in sent {
                    assert_eq!(client.submit(&one.step), one.answer, "{}", one.step.hash());
                }
            });
        }
    });
    running.stop();
}

/// The state that a stopped node left. Its digest must be the one of its rows.
fn examine(place: &Place, steps: &[Step], addresses: &[String]) -> (Dump, StateDigest) {
    let store = Store::open(&place.database()).unwrap();
    let read = |state: &State<'_>| {
        let digest = state.digest()?;
        assert_eq!(
            digest,
            state.recompute_digest()?,
            "the digest was kept wrongly"
        );
        Ok((dump(state, steps, addresses, NOW)?, digest))
    };
    store.readers.read::<_, Error>(read).unwrap()
}

/// Starts the node, kills it at chosen moments, and leaves it stopped.
struct Killer<'a> {
    place: &'a Place,
    desk: &'a Desk,
    dice: Dice,
    starts: Vec<Duration>,
    killed_starting: u64,
    killed_moving: u64,
    began: Instant,
}

impl<'a> Killer<'a> {
    fn new(place: &'a Place, desk: &'a Desk) -> Killer<'a> {
        Killer {
            place,
            desk,
            dice: Dice::new(std::process::id().into()),
            starts: Vec::new(),
            killed_starting: 0,
            killed_moving: 0,
            began: Instant::now(),
        }
    }

    fn run(mut self, kills: u64) -> (Running, String) {
        let mut running = self.start();
        for kill in 0..kills {
            self.desk.wait_for_answers(1 + self.dice.below(150) as u64);
            self.desk.set_address(None);
            match kill % 4 {
                1 => self.kill_a_move(running),
                _ => running.kill(),
            }
            if kill % 4 == 2 {
                self.kill_a_start();
            }
            running = self.start();
        }
        self.desk.wait_for_answers(50);
        self.desk.close();
        let report = self.report(kills);
        (running, report)
    }

    fn start(&mut self) -> Running {
        let running = self.place.start();
        self.starts.push(running.start);
        self.desk.set_address(Some(running.address));
        running
    }

    /// Under load the node only appends to the log of the database. When it
    /// stops it moves the log into the database file, and is killed just then.
    fn kill_a_move(&mut self, running: Running) {
        let database = self.place.database();
        let before = stamp(&database);
        if running.kill_stopping(|| stamp(&database) != before) {
            self.killed_moving += 1;
        }
    }

    fn kill_a_start(&mut self) {
        let usual = self.starts.iter().min().copied().unwrap_or_default();
        let share = self.dice.below(100) as u32;
        match self.place.spawn().ready(usual * share / 100) {
            Err(starting) => {
                self.killed_starting += 1;
                starting.kill();
            }
            Ok(running) => running.kill(),
        }
    }

    fn report(&self, kills: u64) -> String {
        let mut starts = self.starts.clone();
        starts.sort();
        format!(
            "{} kills: {} during start, {} while the log was moved; {} requests cut off, {} answered in {:?}; \
             start {:?} median, {:?} longest",
            kills + self.killed_starting,
            self.killed_starting,
            self.killed_moving,
            self.desk.cut(),
            self.desk.answered(),
            self.began.elapsed(),
            starts[starts.len() / 2],
            starts[starts.len() - 1],
        )
    }
}
