//! Nodes whose ways to others are broken: the same requests in five modes, as
//! recorded from upstream's node (core-api.md §4, §15).

use axum::Router;
use axum::body::Body;
use beth_ccn::gossip::Carriage::{self, Fails, Works};
use beth_ccn::{CcnConfig, api, node};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::exchange::{Answer, differences, request_of};
use super::recorded;

/// Answers that are meant to be other than recorded: mode, request, the
/// status, the body if it matters, why.
const MENDED: &[(&str, &str, u16, &str)] = &[
    (
        "p2p_fail+ipfs_off",
        "post message async",
        500,
        // §15 no. 20: nobody took it, so it is no warning.
        r#"{"publication_status":{"status":"error","failed":["p2p"]},"message_status":null}"#,
    ),
    (
        "p2p_fail+ipfs_off",
        "pubsub",
        500,
        // §15 no. 15 and 20.
        r#"{"status":"error","failed":["p2p"]}"#,
    ),
    (
        "p2p_fail+ipfs_fail",
        "pubsub",
        500,
        // §15 no. 15: the body says it, the status too.
        r#"{"status":"error","failed":["ipfs","p2p"]}"#,
    ),
    // §15 no. 20: a node without IPFS takes nothing for it.
    (
        "ipfs_off",
        "ipfs add_json",
        403,
        "403: IPFS is disabled on this node",
    ),
    (
        "p2p_fail+ipfs_off",
        "ipfs add_json",
        403,
        "403: IPFS is disabled on this node",
    ),
];

/// What other tests compare: no mode changes these answers.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "raw cid not local",
        "asks an IPFS daemon, which this node does not have",
    ),
    ("ipfs add_car", "compared with the other uploads"),
];

/// A node in a mode of the recordings.
fn in_mode(mode: &str) -> (Router, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = CcnConfig::in_folder(folder.path());
    config.ipfs.enabled = !mode.contains("ipfs_off");
    let carriage = |fault: &str| if mode.contains(fault) { Fails } else { Works };
    let mut carriers: Vec<(&'static str, Carriage)> = Vec::new();
    if config.ipfs.enabled {
        carriers.push(("ipfs", carriage("ipfs_fail")));
    }
    carriers.push(("p2p", carriage("p2p_fail")));
    let context = node::rehearsal(config, &carriers).unwrap();
    (api::router(context), folder)
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    Answer::read(router.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_ways_are_told_as_recorded() {
    let entries = recorded(include_str!(
        "../../../../../vectors/api/captures/failures.json"
    ));
    let entries = entries.as_array().unwrap();
    let (mut compared, mut mended, mut failures) = (0, 0, Vec::new());
    for entry in entries {
        let (mode, name) = (
            entry["node_mode"].as_str().unwrap(),
            entry["name"].as_str().unwrap(),
        );
        if ELSEWHERE.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let mut entry = entry.clone();
        entry["kind"] = json!(if entry["json"].is_object() {
            "json"
        } else {
            "multipart"
        });
        let (router, _folder) = in_mode(mode);
        let answer = ask(&router, request_of(&entry)).await;
        compared += 1;
        let found = MENDED
            .iter()
            .find(|(of, what, ..)| (*of, *what) == (mode, name));
        if let Some((_, _, status, body)) = found {
            mended += 1;
            assert_eq!(
                (answer.status.as_u16(), answer.text().as_str()),
                (*status, *body)
            );
            continue;
        }
        for difference in differences(&entry["expect"], &answer, &[], None) {
            failures.push(format!("{mode}, {name}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!((entries.len(), compared, mended), (35, 25, MENDED.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_took_is_published_when_it_is_sent_again() {
    let entries = recorded(include_str!(
        "../../../../../vectors/api/captures/failures.json"
    ));
    let message = entries[0]["json"]["message"].clone();
    let (router, _folder) = in_mode("p2p_fail+ipfs_off");
    let send = async |sync: bool| {
        let body = json!({"message": message, "sync": sync}).to_string();
        let request = Request::post("/api/v0/messages")
            .body(Body::from(body))
            .unwrap();
        ask(&router, request).await
    };
    for sync in [true, false, true] {
        let answer = send(sync).await;
        assert_eq!(
            answer.status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "tried each time"
        );
        assert_eq!(answer.json()["message_status"], Value::Null);
    }
    // What is known and was published is nobody's business any more.
    let (router, _folder) = in_mode("ipfs_off");
    for status in [StatusCode::OK, StatusCode::OK] {
        let body = json!({"message": message, "sync": true}).to_string();
        let request = Request::post("/api/v0/messages")
            .body(Body::from(body))
            .unwrap();
        assert_eq!(ask(&router, request).await.status, status);
    }
}
