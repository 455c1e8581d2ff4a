//! Messages that name themselves or each other, or very many others.
//!
//! No honest hash makes such a circle; a broken one, or a file that is not what
//! its name says, might. Each waits like any message whose cause is missing,
//! and is refused in the end.

use beth_protocol::judge::{Complete, Rules, judge};
use beth_protocol::{Account, Chain, ItemHash, ItemType, Message, MessageType, Verdict};
use beth_store::limits::ATTEMPTS_MAX;
use beth_store::pending::Arrival;
use beth_store::rows::Outcome;
use beth_store::{Error, State, Store};
use serde_json::{Value, json};

use super::node::NOW;

const OWNER: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";

/// Contents that name the hashes `own` and `other`, by the code they end with.
fn circles(own: &str, other: &str) -> Vec<(MessageType, i32, Value)> {
    let program = |code: &str, replaces: Option<&str>| {
        json!({
            "type": "vm-function", "allow_amend": true, "replaces": replaces,
            "code": {"encoding": "zip", "entrypoint": "main:app", "ref": code, "use_latest": code == own},
            "runtime": {"ref": code, "use_latest": true, "comment": ""}, "on": {"http": true},
            "environment": {"reproducible": false, "internet": false, "aleph_api": false, "shared_cache": false},
            "resources": {"vcpus": 1, "memory": 128, "seconds": 30}, "volumes": [],
        })
    };
    let file = ItemHash::of_bytes(b"a file").to_string();
    let amend = |of: &str| json!({"type": "amend", "ref": of, "content": {"a": 1}});
    let store = |of: &str| json!({"item_type": "storage", "item_hash": file, "ref": of});
    let mut circles = Vec::new();
    for named in [own, other] {
        circles.push((MessageType::Post, 101, amend(named)));
        circles.push((MessageType::Store, 200, store(named)));
        circles.push((MessageType::Forget, 501, json!({"hashes": [named]})));
        circles.push((MessageType::Program, 301, program(named, None)));
        circles.push((MessageType::Program, 301, program(named, Some(named))));
    }
    circles
}

fn complete(kind: MessageType, hash: &str, mut content: Value) -> Complete {
    content["address"] = json!(OWNER);
    content["time"] = json!(1_700_000_000);
    let text = content.to_string();
    let mut message = Message {
        sender: OWNER.into(),
        chain: Chain::Eth,
        signature: Some("0x".into()),
        message_type: kind,
        item_type: ItemType::Inline,
        item_hash: ItemHash::of_bytes(text.as_bytes()),
        item_content: Some(text),
        time: NOW,
        channel: None,
    };
    let content = message.inline_content().unwrap().unwrap();
    message.item_hash = ItemHash::parse(hash).unwrap();
    Complete::new(message, content)
}

/// Tries a message until it is no longer waiting; answers with its code.
fn try_to_the_end(state: &State<'_>, complete: &Complete) -> Result<(i32, i64), Error> {
    let hash = complete.message.item_hash.as_str();
    for attempt in 1.. {
        let retry_of = state.pending_copies(hash)?.first().map(|copy| copy.id);
        let arrival = Arrival {
            raw: serde_json::from_str(&complete.message.to_wire()).unwrap(),
            reception_time: NOW,
            origin: "p2p",
            retry_of,
            transaction: None,
            gone: Vec::new(),
        };
        let verdict = judge(complete, state, &Rules::default(), NOW).unwrap();
        let Verdict::Wait(rejection) = verdict else {
            panic!("{verdict:?}");
        };
        let outcome = state.wait(&complete.message, &arrival, rejection, 0.0, NOW)?;
        if let Outcome::Rejected(rejection) = outcome {
            return Ok((rejection.code.number(), attempt));
        }
        // Nobody who waits for himself is woken by himself.
        assert_eq!(state.wake("0", NOW)?, 0);
    }
    unreachable!()
}

#[test]
fn circles_end_with_the_code_of_a_missing_cause() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("state.sqlite")).unwrap();
    let (own, other) = ("a".repeat(64), "b".repeat(64));
    store
        .writer
        .transaction(|state| {
            for (kind, code, content) in circles(&own, &other) {
                let there = complete(kind, &own, content);
                assert_eq!(
                    try_to_the_end(state, &there)?,
                    (code, ATTEMPTS_MAX),
                    "{there:?}"
                );
            }
            // The other half of each circle, while the first half is waiting.
            for ((kind, _, first), (_, code, second)) in circles(&own, &other)
                .into_iter()
                .skip(5)
                .zip(circles(&other, &own).into_iter().skip(5))
            {
                let first = complete(kind, &own, first);
                let second = complete(kind, &other, second);
                for half in [&first, &second, &first, &second] {
                    let verdict = judge(half, state, &Rules::default(), NOW).unwrap();
                    assert!(matches!(verdict, Verdict::Wait(r) if r.code.number() == code));
                }
            }
            Ok::<_, Error>(())
        })
        .unwrap();
}

#[test]
fn a_forget_waits_for_more_targets_than_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(&folder.path().join("state.sqlite")).unwrap();
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    let post = |number: i64| {
        let content = json!({"address": account.address(), "time": number, "type": "t", "content": {"n": number}});
        let message = account.sign_message(MessageType::Post, &content, None, NOW);
        let content = message.inline_content().unwrap().unwrap();
        Complete::new(message, content)
    };
    let targets: Vec<Complete> = (0..3 * ATTEMPTS_MAX).map(post).collect();
    let hashes: Vec<&str> = targets
        .iter()
        .map(|t| t.message.item_hash.as_str())
        .collect();
    let content = json!({"address": account.address(), "time": 1, "hashes": hashes});
    let message = account.sign_message(MessageType::Forget, &content, None, NOW);
    let content = message.inline_content().unwrap().unwrap();
    let forget = Complete::new(message, content);
    store
        .writer
        .transaction(|state| {
            let hash = forget.message.item_hash.as_str();
            for target in [None].into_iter().chain(targets.iter().map(Some)) {
                if let Some(target) = target {
                    let rules = Rules::default();
                    let Verdict::Accept(effects) = judge(target, state, &rules, NOW).unwrap()
                    else {
                        panic!("a post was not accepted");
                    };
                    state.apply(target, &effects, &rules, NOW)?;
                    assert_eq!(state.wake(target.message.item_hash.as_str(), NOW)?, 1);
                }
                let arrival = Arrival {
                    raw: serde_json::from_str(&forget.message.to_wire()).unwrap(),
                    reception_time: NOW,
                    origin: "p2p",
                    retry_of: state.pending_copies(hash)?.first().map(|copy| copy.id),
                    gone: Vec::new(),
                    transaction: None,
                };
                match judge(&forget, state, &Rules::default(), NOW).unwrap() {
                    Verdict::Wait(rejection) => {
                        let outcome = state.wait(&forget.message, &arrival, rejection, 1.0, NOW)?;
                        assert!(matches!(outcome, Outcome::Pending(_)), "{outcome:?}");
                    }
                    Verdict::Accept(effects) => assert_eq!(effects.len(), targets.len()),
                    other => panic!("{other:?}"),
                }
            }
            Ok::<_, Error>(())
        })
        .unwrap();
}
