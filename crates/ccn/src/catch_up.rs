//! What was said while this node was away: all pages of other nodes after a
//! start, then the newest ones until one has nothing new. For nodes that do not
//! reconcile; cheap when in sync (one page of hashes per node and minute).

use std::collections::HashSet;
use std::sync::Arc;

use beth_store::Readers;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::limits;
use crate::pipeline::Pipeline;

/// Asks the given nodes now and then, until cancelled.
pub(crate) async fn run(
    client: reqwest::Client,
    peers: Vec<String>,
    readers: Arc<Readers>,
    pipeline: Pipeline,
    cancel: CancellationToken,
) {
    if peers.is_empty() {
        return;
    }
    // The first look goes to the end; later ones stop where nothing is new.
    let mut complete: HashSet<&str> = HashSet::new();
    loop {
        for peer in &peers {
            let depth = if complete.contains(peer.as_str()) {
                Depth::News
            } else {
                Depth::All
            };
            let look = look(&client, peer, &readers, &pipeline, depth);
            let found = tokio::select! {
                () = cancel.cancelled() => return,
                found = look => found,
            };
            match found {
                Ok(count) => {
                    complete.insert(peer);
                    if count > 0 {
                        info!(peer, count, "messages that were missed are here now");
                    }
                }
                Err(failure) => {
                    debug!(%failure, peer, "another node could not be asked for missed messages")
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(limits::CATCH_UP_PERIOD) => {}
        }
    }
}

/// How far back a look goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Until a page has nothing new.
    News,
    /// To the oldest message.
    All,
}

async fn look(
    client: &reqwest::Client,
    peer: &str,
    readers: &Arc<Readers>,
    pipeline: &Pipeline,
    depth: Depth,
) -> Result<usize, reqwest::Error> {
    let mut found = 0;
    for page in 1..=limits::CATCH_UP_PAGES_MAX {
        let url = format!("{}/api/v0/messages.json", peer.trim_end_matches('/'));
        let query = [
            ("pagination", limits::CATCH_UP_PAGE.to_string()),
            ("page", page.to_string()),
            // The envelope carries the content or its hash.
            ("excludeContent", "true".to_owned()),
        ];
        let answer: Value = client
            .get(url)
            .query(&query)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let messages = answer["messages"].as_array().cloned().unwrap_or_default();
        let count = messages.len();
        let missing = unknown(messages, readers).await;
        // Oldest first, so that what depends comes after what it depends on.
        for message in missing.iter().rev() {
            if pipeline.offer(message.clone()).await.is_ok() {
                found += 1;
            }
        }
        let is_done = missing.is_empty() && depth == Depth::News;
        if is_done || count < limits::CATCH_UP_PAGE {
            break;
        }
    }
    Ok(found)
}

async fn unknown(messages: Vec<Value>, readers: &Arc<Readers>) -> Vec<Value> {
    let readers = readers.clone();
    let check = move || {
        readers.read(|state| {
            let mut unknown = Vec::new();
            for message in messages {
                let known = match message["item_hash"].as_str() {
                    Some(hash) => state.status(hash)?.is_some(),
                    None => true,
                };
                if !known {
                    unknown.push(message);
                }
            }
            Ok::<_, beth_store::Error>(unknown)
        })
    };
    tokio::task::spawn_blocking(check)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default()
}
