//! Conformance of the HTTP API: requests and answers recorded from upstream's
//! node are replayed through the real router over a real database.
//!
//! A template of the recordings is compared, or listed in
//! [`expectations`] with the reason why it is not; nothing is skipped silently.

pub mod exchange;
mod expectations;
mod failures;
mod states;
mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use beth_ccn::{CcnConfig, Context, api, node};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::openapi::described::Described;
use exchange::{Answer, differences, request_of};
use expectations::{Expectation, of_get, of_post};

/// A node without gossip, its router, and the folder it lives in.
pub struct Fixture {
    pub context: Arc<Context>,
    pub router: Router,
    _folder: TempDir,
}

impl Fixture {
    pub fn new(configure: impl FnOnce(&mut CcnConfig)) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let mut config = CcnConfig::in_folder(folder.path());
        configure(&mut config);
        let context = node::offline(config).unwrap();
        let router = api::router(context.clone());
        Fixture {
            context,
            router,
            _folder: folder,
        }
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        Answer::read(response).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let body = Body::from(body.to_string());
        self.ask(
            Request::post(path)
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .unwrap(),
        )
        .await
    }

    /// A node in the state that the recordings were made in.
    pub async fn seeded() -> Fixture {
        let seed = recorded(include_str!("../../../../vectors/api/captures/seed.json"));
        let strings = |key: &str| -> Vec<String> {
            serde_json::from_value(seed["config"][key].clone()).unwrap()
        };
        let fixture = Fixture::new(|config| {
            config.rules.balances_addresses = strings("aleph.balances.addresses");
            config.rules.credits_addresses = strings("aleph.credit_balances.addresses");
            // The key of 32 bytes 0x11.
            config.auth.public_key =
                "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa".into();
            config.rules.scoring_addresses = strings("aleph.scoring.addresses");
            config.p2p.message_topic = seed["config"]["aleph.queue_topic"]
                .as_str()
                .unwrap()
                .to_owned();
        });
        for step in seed["steps"].as_array().unwrap() {
            fixture.replay(step).await;
        }
        fixture
    }

    async fn replay(&self, step: &Value) {
        let name = step["name"].as_str().unwrap();
        let answer = self.ask(request_of(step)).await;
        let expected = step["expect"]["status"].as_u64().unwrap();
        assert_eq!(
            u64::from(answer.status.as_u16()),
            expected,
            "seed step {name}: {}",
            answer.text()
        );
    }
}

pub fn recorded(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Compares every entry; answers how many were compared and what differed.
async fn compare(
    fixture: &Fixture,
    entries: &[Value],
    expectation: fn(&Value) -> Expectation,
) -> (usize, Vec<String>) {
    let (mut compared, mut failures) = (0, Vec::new());
    let mut described = Described::new();
    for entry in entries {
        let label = format!(
            "{} {} {}",
            entry["method"].as_str().unwrap(),
            entry["template"]
                .as_str()
                .unwrap_or_else(|| entry["path"].as_str().unwrap()),
            entry["name"].as_str().unwrap_or_default(),
        );
        let (ignored, status) = match expectation(entry) {
            Expectation::Later(_) => continue,
            Expectation::Same => (&[][..], None),
            Expectation::But {
                ignored, status, ..
            } => (ignored, status),
        };
        compared += 1;
        let answer = fixture.ask(impatient(entry)).await;
        let (method, path) = (entry["method"].as_str(), entry["path"].as_str());
        let difference = described.difference(method.unwrap(), path.unwrap(), &answer);
        failures.extend(difference.map(|difference| format!("{label}: {difference}")));
        if status.is_some() {
            let found = (answer.header("content-type"), answer.text());
            let wanted = expectations::text_instead(entry["name"].as_str().unwrap_or_default());
            if found != ("text/plain; charset=utf-8", wanted.to_owned()) {
                failures.push(format!("{label}: {found:?} instead of {wanted:?}"));
            }
        }
        for difference in differences(&entry["expect"], &answer, ignored, status) {
            failures.push(format!("{label}: {difference}"));
        }
    }
    (compared, failures)
}

/// The request of an entry; but nobody will ever bring the missing file, and
/// the node would wait for it as long as a submitter may wait.
pub fn impatient(entry: &Value) -> Request<Body> {
    let mut entry = entry.clone();
    if entry["name"] == "messages: store of unknown file" {
        entry["json"]["sync"] = json!(false);
    }
    request_of(&entry)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_as_recorded() {
    let fixture = Fixture::seeded().await;
    let gets = recorded(include_str!("../../../../vectors/api/captures/get.json"));
    let posts = recorded(include_str!("../../../../vectors/api/captures/post.json"));
    let (gets, posts) = (gets.as_array().unwrap(), posts.as_array().unwrap());
    let (read, mut failures) = compare(&fixture, gets, of_get).await;
    let (written, more) = compare(&fixture, posts, of_post).await;
    failures.extend(more);
    assert!(
        failures.is_empty(),
        "{} differences:\n{}",
        failures.len(),
        failures.join("\n")
    );
    // Falls when somebody moves entries to "later" instead of mending them.
    assert!(
        read >= 190 && written >= 114,
        "only {read} reads and {written} writes were compared"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expectation_is_about_a_recording() {
    let gets = recorded(include_str!("../../../../vectors/api/captures/get.json"));
    let templates: BTreeSet<&str> = gets
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["template"].as_str().unwrap())
        .collect();
    for template in expectations::named_templates() {
        let found = templates.iter().any(|known| known.starts_with(template));

        assert!(found, "{template} is expected to differ but never recorded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_that_others_read() {
    let fixture = Fixture::seeded().await;
    let metrics = fixture.get("/metrics.json").await.json();
    assert_eq!(metrics["pyaleph_status_sync_messages_total"], json!(24));
    assert_eq!(
        metrics["pyaleph_status_sync_pending_messages_total"],
        json!(1)
    );
    assert!(metrics["pyaleph_build_info"]["version"].is_string());
    for name in [
        "pyaleph_status_sync_pending_txs_total",
        "pyaleph_status_chain_eth_height_remaining_total",
    ] {
        assert!(metrics[name].is_u64(), "{name}");
    }
    let text = fixture.get("/metrics").await.text();
    assert!(
        text.lines()
            .any(|line| line == "pyaleph_status_sync_messages_total 24"),
        "{text}"
    );
    assert!(!text.contains("null"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_tell_what_they_listen_to() {
    let fixture = Fixture::seeded().await;
    let seed = recorded(include_str!("../../../../vectors/api/captures/seed.json"));
    assert_eq!(
        fixture
            .get("/api/v0/programs/on/message?sort_order=1")
            .await
            .json(),
        json!([{
            "item_hash": seed["hashes"]["program"],
            "content": {"on": {"message": [{"sender": seed["accounts"]["A1"]["address"], "channel": "NOTES"}]}},
        }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_cursors_walk_the_same_list() {
    let fixture = Fixture::seeded().await;
    let whole = fixture
        .get("/api/v0/messages.json?pagination=0")
        .await
        .json();
    let whole: Vec<&Value> = whole["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["item_hash"])
        .collect();
    let (mut cursor, mut walked) = (String::new(), Vec::new());
    loop {
        let part = fixture
            .get(&format!(
                "/api/v0/messages.json?pagination=3&cursor={cursor}"
            ))
            .await
            .json();
        walked.extend(
            part["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| m["item_hash"].clone()),
        );
        match part["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(walked.iter().collect::<Vec<_>>(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_whole_and_in_parts() {
    let fixture = Fixture::new(|_| {});
    let content: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let upload = Request::post("/api/v0/storage/add_file")
        .body(Body::from(content.clone()))
        .unwrap();
    let hash = fixture.ask(upload).await.json()["hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v0/storage/raw/{hash}");
    let whole = fixture.get(&path).await;
    assert_eq!(whole.body, Bytes::from(content.clone()));
    assert_eq!(whole.header("content-length"), "200000");
    let head = fixture
        .ask(Request::head(&path).body(Body::empty()).unwrap())
        .await;
    assert_eq!(
        (head.header("content-length"), head.body.len()),
        ("200000", 0)
    );
    let part = Request::get(&path)
        .header(header::RANGE, "bytes=1000-1999")
        .body(Body::empty())
        .unwrap();
    let part = fixture.ask(part).await;
    assert_eq!(
        (part.status, part.header("content-range")),
        (StatusCode::PARTIAL_CONTENT, "bytes 1000-1999/200000")
    );
    assert_eq!(part.body, content[1000..2000]);
    let again = Request::get(&path)
        .header(header::IF_NONE_MATCH, whole.header("etag"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(fixture.ask(again).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_twice_is_processed_at_once() {
    let fixture = Fixture::seeded().await;
    let seed = recorded(include_str!("../../../../vectors/api/captures/seed.json"));
    let step = seed["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["name"] == "post1")
        .unwrap();
    let answer = fixture.post("/api/v0/messages", &step["json"]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["message_status"], json!("processed"));
}
