//! Where messages come from, and batches of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use beth_protocol::json::read_written;
use beth_protocol::time::Timestamp;

use super::tally::Skipped;
use super::{lines, pages};

/// Where messages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file with one JSON object a line, perhaps compressed by gzip.
    File(PathBuf),
    /// The same on standard input; it cannot be resumed.
    Input,
    /// Base URL of another core node, without a slash at its end.
    Node(String),
}

/// How far a source was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "lowercase")]
pub(super) enum Place {
    /// Nothing was read.
    #[default]
    Start,
    /// Bytes (after decompression) and lines of a file.
    Line { bytes: u64, lines: u64 },
    /// The next page of another node that gives cursors.
    Cursor { cursor: String, entries: u64 },
    /// The next page of one that does not, from 1.
    Page { page: u64, entries: u64 },
}

/// Some entries, in the order of the source.
#[derive(Debug)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    /// What follows the last of them.
    pub end: Place,
    /// How much of the source that is.
    pub share: Option<f64>,
}

/// What may be a message, and its number in the source.
#[derive(Debug)]
pub(super) struct Entry {
    pub number: u64,
    pub body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Line(Vec<u8>),
    Item(Value),
    /// A line longer than any message.
    TooLong,
}

impl Source {
    /// Reads a path, `-`, or the URL of a core node, also with the path of its
    /// list of messages.
    pub fn parse(text: &str) -> Source {
        if text == "-" {
            return Source::Input;
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Source::File(text.into());
        }
        let base = text.split(['?', '#']).next().unwrap_or_default();
        let base = base.strip_suffix("/api/v0/messages.json").unwrap_or(base);
        Source::Node(base.trim_end_matches('/').to_owned())
    }

    /// Starts to read, from a place on, into a queue. Ends with a sentence when
    /// the source fails, and silently when nobody listens any more.
    pub(super) fn read(
        &self,
        from: Place,
        client: reqwest::Client,
        batches: mpsc::Sender<Batch>,
    ) -> JoinHandle<Result<(), String>> {
        match self {
            Source::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || lines::read_file(&path, &from, &batches))
            }
            Source::Input => tokio::task::spawn_blocking(move || lines::read_input(&batches)),
            Source::Node(url) => tokio::spawn(pages::walk(client, url.clone(), from, batches)),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Input => f.write_str("standard input"),
            Source::Node(url) => f.write_str(url),
        }
    }
}

/// Members of a message; a list shows more.
const ENVELOPE: [&str; 9] = [
    "sender",
    "chain",
    "signature",
    "type",
    "item_type",
    "item_content",
    "item_hash",
    "time",
    "channel",
];

impl Entry {
    /// The envelope, without what lists add to it; `None` for an empty line.
    pub fn message(self) -> Result<Option<Value>, Skipped> {
        let number = self.number;
        let skipped = |fault| Skipped { number, fault };
        let value = match self.body {
            Body::TooLong => return Err(skipped("longer than any message")),
            Body::Item(value) => value,
            Body::Line(line) => {
                let line = line.trim_ascii();
                if line.is_empty() {
                    return Ok(None);
                }
                read_written(line).map_err(|_| skipped("no JSON"))?
            }
        };
        let Value::Object(mut members) = value else {
            return Err(skipped("no JSON object"));
        };
        if !members.get("item_hash").is_some_and(Value::is_string) {
            return Err(skipped("no item_hash"));
        }
        let mut envelope = Map::new();
        for name in ENVELOPE {
            if let Some(member) = members.swap_remove(name) {
                envelope.insert(name.to_owned(), member);
            }
        }
        if let Some(time) = envelope.get_mut("time")
            && let Some(read) = time.as_str().and_then(Timestamp::from_iso)
        {
            *time = read.to_json();
        }
        Ok(Some(Value::Object(envelope)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sources() {
        let node = |url: &str| Source::Node(url.to_owned());
        for (text, source) in [
            ("-", Source::Input),
            ("a/b.jsonl", Source::File("a/b.jsonl".into())),
            ("http://a:1", node("http://a:1")),
            ("https://a/", node("https://a")),
            ("https://a/api/v0/messages.json?page=3", node("https://a")),
            ("https://a/x/", node("https://a/x")),
        ] {
            assert_eq!(Source::parse(text), source, "{text}");
        }
    }

    fn read(line: &str) -> Result<Option<Value>, Skipped> {
        Entry {
            number: 7,
            body: Body::Line(line.as_bytes().to_vec()),
        }
        .message()
    }

    #[test]
    fn what_lists_add_is_dropped() {
        let line = r#"{"_id": 1, "item_hash": "h", "time": 1.5, "content": {}, "confirmed": true, "sender": "s"}"#;
        assert_eq!(
            read(line).unwrap().unwrap(),
            json!({"item_hash": "h", "time": 1.5, "sender": "s"})
        );
        let line = r#"{"item_hash": "h", "time": "2026-11-01T00:01:38Z"}"#;
        assert_eq!(read(line).unwrap().unwrap()["time"], json!(1793491298.0));
    }

    #[test]
    fn other_lines_are_told_apart() {
        for line in ["", " \r"] {
            assert_eq!(read(line), Ok(None));
        }
        for (line, fault) in [
            ("{", "no JSON"),
            ("[1]", "no JSON object"),
            ("{}", "no item_hash"),
            (r#"{"item_hash": 1}"#, "no item_hash"),
        ] {
            assert_eq!(read(line), Err(Skipped { number: 7, fault }));
        }
    }
}
