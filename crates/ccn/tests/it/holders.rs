//! What everybody has, got, did and granted: pages and cursors over states
//! that change.

use beth_protocol::judge::{Complete, Verdict, judge};
use beth_protocol::time::Timestamp;
use beth_protocol::{Chain, ItemHash, ItemType, Message, MessageType};
use beth_store::{Error, State};
use serde_json::{Value, json};

use crate::api::{Fixture, recorded};

const CHIEF: &str = "0xChief";

/// A node that believes the chief, with these messages in force.
async fn node(messages: Vec<(MessageType, &'static str, Value)>) -> Fixture {
    let fixture = Fixture::new(|config| {
        config.rules.balances_addresses = vec![CHIEF.into()];
        config.rules.credits_addresses = vec![CHIEF.into()];
    });
    for (kind, sender, content) in messages {
        accept(&fixture, kind, sender, content).await;
    }
    fixture
}

/// Judges and applies one message whose signature nobody asks for.
async fn accept(fixture: &Fixture, kind: MessageType, sender: &str, content: Value) -> ItemHash {
    let text = content.to_string();
    let message = Message {
        sender: sender.to_owned(),
        chain: Chain::Eth,
        signature: Some("0x".into()),
        message_type: kind,
        item_type: ItemType::Inline,
        item_hash: ItemHash::of_bytes(text.as_bytes()),
        item_content: Some(text),
        time: Timestamp::from_seconds(1_793_000_000),
        channel: Some("ALEPH_CREDIT".into()),
    };
    let hash = message.item_hash.clone();
    let content = message.inline_content().unwrap().unwrap();
    let complete = Complete::new(message, content);
    let rules = fixture.context.config.rules.clone();
    let work = move |state: &State<'_>| -> Result<(), Error> {
        let now = Timestamp::from_seconds(1_793_000_001);
        match judge(&complete, state, &rules, now).unwrap() {
            Verdict::Accept(effects) => state.apply(&complete, &effects, &rules, now),
            verdict => panic!("{verdict:?}"),
        }
    };
    fixture.context.pipeline.work(work).await.unwrap();
    hash
}

fn security(owner: &str, time: i64, grantees: &[&str]) -> Value {
    let entries: Vec<Value> = grantees
        .iter()
        .map(|grantee| json!({"address": grantee, "types": ["POST"]}))
        .collect();
    json!({"address": owner, "time": time, "key": "security", "content": {"authorizations": entries}})
}

async fn granters(fixture: &Fixture, query: &str) -> Value {
    let path = format!("/api/v0/authorizations/received/0xG.json{query}");
    let answer = fixture.get(&path).await.json();
    let names: Vec<&String> = answer["authorizations"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    json!([names, answer["pagination_total"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_found_by_who_has_them() {
    let fixture = node(Vec::new()).await;
    let kind = MessageType::Aggregate;
    for owner in ["0xC", "0xA", "0xB"] {
        accept(&fixture, kind, owner, security(owner, 1, &["0xG", "0xH"])).await;
    }
    assert_eq!(
        granters(&fixture, "").await,
        json!([["0xA", "0xB", "0xC"], 3])
    );
    assert_eq!(
        granters(&fixture, "?pagination=2&page=2").await,
        json!([["0xC"], 3])
    );
    assert_eq!(
        granters(&fixture, "?granter=0xB").await,
        json!([["0xB"], 1])
    );
    assert_eq!(
        granters(&fixture, "?types=POST&pagination=2").await,
        json!([["0xA", "0xB"], 3])
    );
    assert_eq!(granters(&fixture, "?types=STORE").await, json!([[], 0]));
    // A newer revision names somebody else, and is forgotten again.
    let newer = accept(&fixture, kind, "0xB", security("0xB", 2, &["0xH"])).await;
    assert_eq!(granters(&fixture, "").await, json!([["0xA", "0xC"], 2]));
    let forget = json!({"address": "0xB", "time": 3, "hashes": [newer]});
    accept(&fixture, MessageType::Forget, "0xB", forget).await;
    assert_eq!(
        granters(&fixture, "").await,
        json!([["0xA", "0xB", "0xC"], 3])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_senders_follow_their_messages() {
    let fixture = node(Vec::new()).await;
    let post =
        |number: i64| json!({"address": "0xAb", "time": number, "type": "t", "content": number});
    let first = accept(&fixture, MessageType::Post, "0xAb", post(1)).await;
    for number in 2..5 {
        accept(&fixture, MessageType::Post, "0xAb", post(number)).await;
    }
    accept(
        &fixture,
        MessageType::Aggregate,
        "0xC%",
        security("0xC%", 1, &["0xG"]),
    )
    .await;
    let forget = json!({"address": "0xAb", "time": 9, "hashes": [first]});
    accept(&fixture, MessageType::Forget, "0xAb", forget).await;
    let ask = async |query: &str| {
        fixture
            .get(&format!("/api/v1/addresses/stats.json{query}"))
            .await
            .json()
    };
    let all = ask("").await;
    assert_eq!(
        all["data"]["0xAb"],
        json!({"messages": 4, "aggregate": 0, "forget": 1, "instance": 0, "post": 3, "program": 0, "store": 0})
    );
    assert_eq!(all["pagination_total"], json!(2));
    for (part, found) in [("XAB", 1), ("%25", 1), ("_", 0), ("0x", 2)] {
        let found_now = ask(&format!("?addressContains={part}")).await["pagination_total"].clone();
        assert_eq!(found_now, json!(found), "{part}");
    }
    for (sort, first, second) in [("post", "0xAb", "0xC%"), ("aggregate", "0xC%", "0xAb")] {
        let query = format!("?sortBy={sort}&pagination=1&cursor=");
        let page = ask(&query).await;
        assert!(page["data"][first].is_object(), "{page}");
        let cursor = page["next_cursor"].as_str().unwrap();
        let page = ask(&format!("{query}{cursor}")).await;
        assert!(page["data"][second].is_object(), "{page}");
        assert_eq!(page["next_cursor"], Value::Null);
    }
    let old = fixture.get("/api/v0/addresses/stats.json").await.json();
    assert_eq!(old["data"]["0xAb"], all["data"]["0xAb"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_of_one_address_are_never_skipped() {
    let balances = |chain: &str, dapp: Value| {
        json!({"address": CHIEF, "time": 1, "type": "balances-update", "content": {"chain": chain,
            "main_height": 1, "dapp": dapp, "balances": {"0xA": 10, "0xB": 20}}})
    };
    let fixture = node(vec![
        (MessageType::Post, CHIEF, balances("ETH", Value::Null)),
        (MessageType::Post, CHIEF, balances("ETH", json!("dex"))),
        (MessageType::Post, CHIEF, balances("SOL", Value::Null)),
    ])
    .await;
    let whole = fixture.get("/api/v0/balances?pagination=0").await.json();
    let whole = whole["balances"].as_array().unwrap().clone();
    assert_eq!(whole.len(), 6);
    let walked = walk(&fixture, "/api/v0/balances?pagination=1", "balances").await;
    assert_eq!(walked, whole);
    // What an older node wrote: everything of the address was seen.
    let older = "eyJhIjoiMHhBIn0";
    let rest = fixture
        .get(&format!("/api/v0/balances?cursor={older}"))
        .await
        .json();
    assert_eq!(rest["balances"], json!(whole[3..]));
    let some = fixture
        .get("/api/v0/balances?minBalance=11&chains=SOL")
        .await
        .json();
    assert_eq!(
        some["balances"],
        json!([{"address": "0xB", "balance": 20.0, "chain": "SOL"}])
    );
}

/// Every item of a list, by cursors.
async fn walk(fixture: &Fixture, path: &str, member: &str) -> Vec<Value> {
    let (mut cursor, mut walked) = (String::new(), Vec::new());
    loop {
        let page = fixture.get(&format!("{path}&cursor={cursor}")).await.json();
        walked.extend(page[member].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return walked,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_are_walked_in_every_order() {
    let grant = |time: i64, credits: Value| {
        json!({"address": CHIEF, "time": time, "type": "aleph_credit_distribution",
            "content": {"distribution": {"token": "ALEPH", "chain": "ETH", "credits": credits}}})
    };
    let credit = |amount: i64, more: Value| {
        let mut credit = json!({"address": "0xA", "amount": amount, "price": "0.5", "tx_hash": format!("tx{amount}"),
            "provider": "TEST"});
        for (key, value) in more.as_object().unwrap() {
            credit[key] = value.clone();
        }
        credit
    };
    let expense = json!({"address": CHIEF, "time": 1_792_000_009, "type": "aleph_credit_expense",
        "content": {"expense": {"credits": [{"address": "0xA", "amount": 3, "ref": "f".repeat(64)}]}}});
    let expiring = json!({"expiration": 1_900_000_000_000i64, "payment_method": "card"});
    let fixture = node(vec![
        (
            MessageType::Post,
            CHIEF,
            grant(
                1_792_000_001,
                json!([
                    credit(5, json!({})),
                    credit(7, expiring),
                    credit(9, json!({}))
                ]),
            ),
        ),
        (
            MessageType::Post,
            CHIEF,
            grant(1_792_000_002, json!([credit(7, json!({"origin": "x"}))])),
        ),
        (MessageType::Post, CHIEF, expense),
    ])
    .await;
    let path = "/api/v0/addresses/0xA/credit_history";
    let places = |rows: &[Value]| -> Vec<Value> {
        rows.iter()
            .map(|row| json!([row["credit_ref"], row["credit_index"]]))
            .collect()
    };
    for sort in [
        "message_timestamp",
        "expiration_date",
        "payment_method",
        "amount",
        "origin",
        "tx_hash",
        "provider",
    ] {
        for order in [-1, 1] {
            let query = format!("{path}?sort_by={sort}&sortOrder={order}");
            let whole = fixture.get(&query).await.json();
            let whole = places(whole["credit_history"].as_array().unwrap());
            assert_eq!(whole.len(), 5);
            let walked = walk(&fixture, &format!("{query}&pagination=2"), "credit_history").await;
            assert_eq!(places(&walked), whole, "{query}");
        }
    }
    for (filter, count) in [
        ("has_expiration=true", 1),
        ("has_expiration=false", 4),
        ("exclude_payment_method=card", 1),
        ("direction=incoming", 4),
        ("origin=x", 1),
        ("startDate=1792000002&endDate=1792000002", 1),
        ("endDate=0", 0),
        (
            "resource=ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            1,
        ),
        ("resourceTypes=INSTANCE", 0),
    ] {
        let summary = fixture
            .get(&format!("{path}/summary?{filter}"))
            .await
            .json();
        assert_eq!(summary["entry_count"], json!(count), "{filter}");
        let answer = fixture.get(&format!("{path}?{filter}")).await;
        assert_eq!(answer.status.is_success(), count > 0, "{filter}");
    }
    let next = fixture
        .get(&format!(
            "{path}?sort_by=amount&sort_order=1&pagination=1&cursor="
        ))
        .await
        .json();
    let cursor = next["next_cursor"].as_str().unwrap();
    let ask = async |query: &str| {
        fixture
            .get(&format!("{path}?pagination=1&cursor={cursor}&{query}"))
            .await
            .text()
    };
    assert_eq!(
        ask("").await,
        "Cursor sort field mismatch: cursor was created with sort_by=amount, but request has \
         sort_by=message_timestamp"
    );
    assert_eq!(
        ask("sort_by=amount").await,
        "Cursor sort order mismatch: cursor was created with sort_order=1, but request has sort_order=-1"
    );
}

/// The seeded node pays for an instance and a program: types are found.
#[tokio::test(flavor = "multi_thread")]
async fn histories_know_the_types_of_resources() {
    let fixture = Fixture::seeded().await;
    let seed = recorded(include_str!("../../../../vectors/api/captures/seed.json"));
    let owner = seed["accounts"]["A0"]["address"].as_str().unwrap();
    for (types, count) in [("INSTANCE", 1), ("PROGRAM,STORE", 0), ("STORE,INSTANCE", 1)] {
        let path =
            format!("/api/v0/addresses/{owner}/credit_history/summary?resource_types={types}");
        assert_eq!(
            fixture.get(&path).await.json()["entry_count"],
            json!(count),
            "{types}"
        );
    }
}
