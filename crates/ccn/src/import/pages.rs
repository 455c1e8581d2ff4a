//! The messages of another core node, oldest first (core-api.md §1.10, §3.1).
//!
//! By cursors, which stay fast on any depth; a node that knows none ignores the
//! parameter and answers with pages, which are followed instead.

use std::time::Duration;

use beth_protocol::json::read_written;
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::warn;

use super::source::{Batch, Body, Entry, Place};
use crate::limits;

/// Reads from a place on, into a queue.
pub(super) async fn walk(
    client: reqwest::Client,
    node: String,
    from: Place,
    batches: mpsc::Sender<Batch>,
) -> Result<(), String> {
    let total = total(&client, &node).await;
    let mut place = from;
    // Whoever misspelt the address learns it soon.
    let mut attempts = limits::IMPORT_FIRST_ATTEMPTS_MAX;
    loop {
        let page = Page::fetch(&client, &node, &place, attempts).await?;
        attempts = limits::IMPORT_ATTEMPTS_MAX;
        let first = entries_before(&place);
        let Some(next) = page.next(&place) else {
            // The last page of a node with cursors has messages of its own.
            let end = place.clone();
            let _ = batches.send(batch(page, first, end, total)).await;
            return Ok(());
        };
        let batch = batch(page, first, next.clone(), total);
        if batches.send(batch).await.is_err() {
            return Ok(());
        }
        place = next;
    }
}

fn batch(page: Page, first: u64, end: Place, total: Option<u64>) -> Batch {
    let done = first + page.messages.len() as u64;
    let entries = page.messages.into_iter().zip(first + 1..);
    Batch {
        entries: entries
            .map(|(item, number)| Entry {
                number,
                body: Body::Item(item),
            })
            .collect(),
        end,
        share: total.map(|total| (done as f64 / total.max(1) as f64).min(1.0)),
    }
}

fn entries_before(place: &Place) -> u64 {
    match place {
        Place::Cursor { entries, .. } | Place::Page { entries, .. } => *entries,
        _ => 0,
    }
}

/// How many messages the node has; for the progress alone.
async fn total(client: &reqwest::Client, node: &str) -> Option<u64> {
    let query = [("pagination", "1"), ("page", "1")];
    let answer = ask(client, node, &query).await.ok()?;
    answer["pagination_total"].as_u64()
}

/// One answer of the node.
struct Page {
    messages: Vec<Value>,
    follows: Follows,
}

enum Follows {
    /// Another page, by cursor.
    Cursor(String),
    /// Perhaps another page, by number.
    Number,
    Nothing,
}

impl Page {
    /// Asks again, with pauses, while the node is out of reach or busy.
    async fn fetch(
        client: &reqwest::Client,
        node: &str,
        place: &Place,
        attempts: u32,
    ) -> Result<Page, String> {
        let size = limits::IMPORT_PAGE.to_string();
        let mut query = vec![
            ("pagination", size.as_str()),
            ("sortOrder", "1"),
            // The envelope carries the content or its hash.
            ("contentFormat", "none"),
            ("excludeContent", "true"),
        ];
        let number;
        match place {
            Place::Page { page, .. } => {
                number = page.to_string();
                query.push(("page", &number));
            }
            Place::Cursor { cursor, .. } => query.push(("cursor", cursor)),
            _ => query.push(("cursor", "")),
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            match ask(client, node, &query).await {
                Ok(answer) => return Page::read(answer, node),
                Err(fault) if fault.is_final || attempt >= attempts => {
                    return Err(format!(
                        "{node} does not give its messages: {} (tried {attempt} times)",
                        fault.text
                    ));
                }
                Err(fault) => {
                    warn!(node, fault = fault.text, "asking again");
                    tokio::time::sleep(pause(attempt)).await;
                }
            }
        }
    }

    fn read(mut answer: Value, node: &str) -> Result<Page, String> {
        let Value::Array(messages) = answer["messages"].take() else {
            return Err(format!(
                "{node} answers without `messages`: is it a core node?"
            ));
        };
        let follows = match answer.get("next_cursor") {
            Some(Value::String(cursor)) => Follows::Cursor(cursor.clone()),
            Some(_) => Follows::Nothing,
            None if messages.is_empty() => Follows::Nothing,
            None => Follows::Number,
        };
        Ok(Page { messages, follows })
    }

    /// Where the page after this one is.
    fn next(&self, place: &Place) -> Option<Place> {
        let entries = entries_before(place) + self.messages.len() as u64;
        match &self.follows {
            Follows::Nothing => None,
            Follows::Cursor(cursor) if self.messages.is_empty() || is_at(place, cursor) => None,
            Follows::Cursor(cursor) => Some(Place::Cursor {
                cursor: cursor.clone(),
                entries,
            }),
            Follows::Number => {
                let page = match place {
                    Place::Page { page, .. } => page + 1,
                    _ => 2,
                };
                Some(Place::Page { page, entries })
            }
        }
    }
}

/// A node that gives the same cursor again would be walked for ever.
fn is_at(place: &Place, next: &str) -> bool {
    matches!(place, Place::Cursor { cursor, .. } if cursor == next)
}

fn pause(attempt: u32) -> Duration {
    limits::IMPORT_PAUSE
        .saturating_mul(1 << attempt.min(10))
        .min(limits::IMPORT_PAUSE_MAX)
}

/// A request that failed.
struct Fault {
    text: String,
    /// Asking again is of no use.
    is_final: bool,
}

async fn ask(client: &reqwest::Client, node: &str, query: &[(&str, &str)]) -> Result<Value, Fault> {
    let again = |text: String| Fault {
        text,
        is_final: false,
    };
    let request = client
        .get(format!("{node}/api/v0/messages.json"))
        .query(query)
        .timeout(limits::IMPORT_PAGE_TIMEOUT);
    let mut response = request
        .send()
        .await
        .map_err(|error| again(causes(&error)))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| again(causes(&error)))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > limits::IMPORT_PAGE_BYTES_MAX {
            return Err(Fault {
                text: format!(
                    "a page is longer than {} bytes",
                    limits::IMPORT_PAGE_BYTES_MAX
                ),
                is_final: true,
            });
        }
    }
    if !status.is_success() {
        let said = String::from_utf8_lossy(&body)
            .chars()
            .take(200)
            .collect::<String>();
        return Err(Fault {
            text: format!("{status}: {said}"),
            is_final: status.is_client_error() && status.as_u16() != 429 && status.as_u16() != 408,
        });
    }
    read_written(&body).map_err(|fault| again(fault.to_string()))
}

/// An error with what caused it: reqwest's own text is silent about that.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
