//! What a node that died still knows, and what a flood of copies costs it.

use std::time::Instant;

use beth_protocol::judge::Rules;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemHash, MessageType};
use beth_store::{Error, State, Store};
use serde_json::{Value, json};

use crate::history::Step;
use crate::kills::client::{Answer, Client, Desk};
use crate::kills::process::{Place, stamp};

const TIME: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn signed(kind: MessageType, mut content: Value) -> Step {
    let account = Account::ethereum(&"31".repeat(32)).unwrap();
    content["address"] = json!(account.address());
    content["time"] = json!(1_700_000_000);
    Step {
        message: account.sign_message(kind, &content, Some("TEST"), TIME),
        touches: Vec::new(),
    }
}

fn post(number: u64) -> Step {
    signed(
        MessageType::Post,
        json!({"type": "note", "content": {"n": number}}),
    )
}

fn amend(of: &Step) -> Step {
    signed(
        MessageType::Post,
        json!({"type": "amend", "ref": of.hash(), "content": {"n": 0}}),
    )
}

fn read<T>(place: &Place, work: impl FnOnce(&State<'_>) -> Result<T, Error>) -> T {
    let store = Store::open(&place.database()).unwrap();
    store.readers.read(work).unwrap()
}

#[test]
fn what_waits_still_waits_after_a_kill() {
    let place = Place::new(Rules::default(), &[]);
    let desk = Desk::default();
    let mut client = Client::new(&desk);
    let (original, early) = (post(1), amend(&post(1)));
    let lost = amend(&post(2));

    let running = place.start();
    desk.set_address(Some(running.address));
    assert_eq!(client.submit(&early), Answer::Pending);
    assert_eq!(client.submit(&lost), Answer::Pending);
    running.kill();
    let copies = read(&place, |state| state.pending_copies(early.hash()));
    assert_eq!(copies.len(), 1);
    assert!(copies[0].retries >= 1, "{copies:?}");
    assert_eq!(copies[0].reason.as_ref().map(|(code, _)| *code), Some(101));

    let running = place.start();
    desk.set_address(Some(running.address));
    assert_eq!(client.status(early.hash()), "pending");
    assert_eq!(client.submit(&original), Answer::Processed);
    assert_eq!(client.settled(early.hash()), "processed");
    assert_eq!(client.status(lost.hash()), "pending");
    running.stop();
}

/// A node writes a file first and its row afterwards; here it died in between.
#[test]
fn a_file_on_the_disk_that_the_state_does_not_know() {
    let bytes = vec![7; 12_345];
    let file = ItemHash::of_bytes(&bytes).to_string();
    let place = Place::new(Rules::default(), &[(file.clone(), bytes)]);
    let unfinished = place.config.blobs_path().join("incoming/1-0");
    std::fs::write(&unfinished, "half of a file").unwrap();
    let desk = Desk::default();
    let mut client = Client::new(&desk);

    let running = place.start();
    desk.set_address(Some(running.address));
    assert!(!unfinished.exists(), "what was half written is still there");
    let content = json!({"item_type": "storage", "item_hash": file});
    let store = signed(MessageType::Store, content);
    assert_eq!(client.submit(&store), Answer::Processed);
    running.stop();
    let known = read(&place, |state| state.known_file(&file)).unwrap();
    assert_eq!(known.size_bytes, 12_345);
}

#[test]
fn ten_thousand_copies_change_nothing() {
    const CONNECTIONS: usize = 4;
    let place = Place::new(Rules::default(), &[]);
    let desk = Desk::default();
    let mut client = Client::new(&desk);
    let running = place.start();
    desk.set_address(Some(running.address));
    let flood = |step: &Step, copies: usize, answer: Answer| {
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut client = Client::new(&desk);
                    for _ in 0..copies / CONNECTIONS {
                        assert_eq!(client.submit(step), answer);
                    }
                });
            }
        });
    };

    let known = post(1);
    assert_eq!(client.submit(&known), Answer::Processed);
    let digest = client.digest();
    let log = place.database().with_extension("sqlite-wal");
    let written = || stamp(&log).unwrap().0;
    let before = written();
    let began = Instant::now();
    flood(&known, 10_000, Answer::Processed);
    let rate = 10_000.0 / began.elapsed().as_secs_f64();
    eprintln!("copies of a processed message: {rate:.0} per second");
    // Only what the node notes for itself: ten thousand writes take megabytes.
    assert!(written() < before + 100_000, "copies were written");

    let waiting = amend(&post(9));
    flood(&waiting, 1_000, Answer::Pending);
    let mut forged = post(2);
    forged.message.signature = Some(format!("0x{}", "00".repeat(65)));
    flood(&forged, 1_000, Answer::Rejected);
    assert_eq!(client.digest(), digest);
    let forgotten = post(3);
    assert_eq!(client.submit(&forgotten), Answer::Processed);
    let forget = signed(MessageType::Forget, json!({"hashes": [forgotten.hash()]}));
    assert_eq!(client.submit(&forget), Answer::Processed);
    let digest = client.digest();
    flood(&forgotten, 1_000, Answer::Rejected);
    flood(&forget, 1_000, Answer::Processed);
    assert_eq!(client.digest(), digest);
    running.stop();

    let waits = read(&place, |state| state.pending_copies(waiting.hash()));
    assert_eq!(waits.len(), 1);
    assert_eq!(read(&place, |state| state.totals()).messages, 2);
}
