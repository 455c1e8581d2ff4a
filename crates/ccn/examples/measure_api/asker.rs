//! Asks a node in this process, through its router.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use beth_ccn::{CcnConfig, api, node};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::questions::{Dice, Questions};

/// Lists that are read in search of messages.
const SEARCHES: u64 = 40;

/// A node without gossip.
pub struct Asker(Router);

/// What is there.
pub struct Found {
    pub hashes: Vec<String>,
    /// Owner and key.
    pub aggregates: Vec<(String, String)>,
}

impl Asker {
    pub fn open(folder: &Path) -> Asker {
        let context = node::offline(CcnConfig::in_folder(folder)).unwrap();
        Asker(api::router(context))
    }

    /// Until the last byte of the answer is there.
    pub async fn timed(&self, path: &str) -> Duration {
        let begun = Instant::now();
        let (status, _) = self.bytes(path).await;
        let took = begun.elapsed();
        assert_eq!(status, StatusCode::OK, "{path}");
        took
    }

    pub async fn json(&self, path: &str) -> Value {
        let (status, body) = self.bytes(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        serde_json::from_slice(&body).unwrap()
    }

    async fn bytes(&self, path: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = self.0.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, body.to_vec())
    }

    /// Messages and aggregates to ask for.
    pub async fn find(&self, questions: &Questions) -> Found {
        let mut dice = Dice(7);
        let (mut hashes, mut aggregates) = (Vec::new(), Vec::new());
        for _ in 0..SEARCHES {
            let moment = questions.moment(&mut dice);
            let path = format!("/api/v0/messages.json?pagination=200&endDate={moment}");
            for message in rows(self.json(&path).await) {
                hashes.push(message["item_hash"].as_str().unwrap().to_owned());
                let content = &message["content"];
                let text = |key: &str| content[key].as_str().map(str::to_owned);
                if message["type"] == "AGGREGATE" {
                    aggregates.push((text("address").unwrap(), text("key").unwrap()));
                }
            }
        }
        // Neighbours in time are not neighbours in the list of questions.
        mix(&mut hashes, &mut dice);
        mix(&mut aggregates, &mut dice);
        Found { hashes, aggregates }
    }
}

fn rows(mut page: Value) -> Vec<Value> {
    match page["messages"].take() {
        Value::Array(rows) => rows,
        other => panic!("no list: {other}"),
    }
}

fn mix<T>(items: &mut [T], dice: &mut Dice) {
    for last in (1..items.len()).rev() {
        items.swap(last, dice.below(last as u64 + 1) as usize);
    }
}
