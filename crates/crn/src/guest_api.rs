//! What programs in microVMs may ask their node (compute.md §15).
//!
//! ```text
//! guest ─ ask ─▶ /cache/…              ─▶ cache: files of this program, bounded
//!                /properties, /sign    ─▶ the program's own key
//!                /api/v0/…/pubsub/pub  ─▶ signed with it, given to the core node
//!                GET, HEAD /api/…      ─▶ the core node
//! ```
//!
//! The machine that asks is known by its port, so no program reaches what is
//! another's. Upstream signs for every program with one key of the node, and
//! then with an address that the network refuses; here each program has a key of
//! its own, made from the node's secret, and what it publishes is valid.
//!
//! One question of a machine is dealt with at a time, within a deadline.

mod cache;
mod http;
mod key;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use beth_guest::frame::{self, HEADER_BYTES, Header, Kind, map, member};
use beth_protocol::time::Timestamp;
use beth_protocol::{ItemHash, MessageType};
use futures::StreamExt;
use rmpv::Value;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::core_node::CoreNode;
use crate::limits;
use cache::Cache;
use key::Secret;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// The service for all machines of a node. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct GuestApi(Arc<Inner>);

struct Inner {
    cache: Cache,
    secret: Secret,
    core: CoreNode,
}

impl fmt::Debug for GuestApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestApi")
    }
}

/// A request as the guest passes it on.
struct Question<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    body: &'a [u8],
}

/// What it is answered.
struct Reply {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            content_type: content_type.to_owned(),
            body: body.into(),
        }
    }

    fn json(value: &Json) -> Reply {
        Reply::new(200, JSON, value.to_string())
    }

    fn refused(status: u16, text: &str) -> Reply {
        Reply::new(status, TEXT, text)
    }
}

impl GuestApi {
    /// The service; what it keeps lies in `folder`.
    pub fn open(folder: &Path, core: CoreNode) -> io::Result<GuestApi> {
        std::fs::create_dir_all(folder)?;
        Ok(GuestApi(Arc::new(Inner {
            cache: Cache::open(folder.join("cache"))?,
            secret: Secret::open(&folder.join("secret"))?,
            core,
        })))
    }

    /// Answers one machine until it ends or talks nonsense.
    pub(crate) async fn serve(self, mut stream: UnixStream, program: ItemHash) {
        while let Ok((number, payload)) = receive(&mut stream).await {
            let Ok(question) = frame::decode(&payload) else {
                return;
            };
            let answer = self.answer(&question, &program).await;
            let bytes = frame::encode(Kind::Answer, number, &answer);
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, asked: &Value, program: &ItemHash) -> Value {
        let text = |name: &str| member(asked, name).as_str().unwrap_or_default();
        let (path, query) = text("target")
            .split_once('?')
            .unwrap_or((text("target"), ""));
        let question = Question {
            method: text("method"),
            path,
            query,
            body: member(asked, "body").as_slice().unwrap_or_default(),
        };
        let replying = self.reply(&question, program);
        let reply = tokio::time::timeout(limits::QUERY_DEADLINE, replying).await;
        let late = |_| Reply::refused(504, "the node could not answer in time");
        let reply = reply.unwrap_or_else(late);
        map([
            ("status", reply.status.into()),
            ("type", reply.content_type.into()),
            ("body", Value::Binary(reply.body)),
            ("head", (question.method == "HEAD").into()),
        ])
    }

    async fn reply(&self, question: &Question<'_>, program: &ItemHash) -> Reply {
        let secret = &self.0.secret;
        match (question.method, question.path) {
            (method, path) if path.starts_with("/cache/") => {
                let key = path.trim_start_matches("/cache/");
                self.cached(method, key, question, program).await
            }
            ("GET", "/properties") => Reply::json(&json!({
                "chain": "ETH", "curve": "secp256k1", "address": secret.of(program).address(),
            })),
            ("POST", "/sign") => match secret.sign(program, question.body) {
                Ok(message) => Reply::json(&message),
                Err(reason) => Reply::refused(400, &reason),
            },
            ("POST", "/api/v0/ipfs/pubsub/pub" | "/api/v0/p2p/pubsub/pub") => {
                self.publish(question.body, program).await
            }
            ("GET" | "HEAD", path) if path.starts_with("/api/") => self.read(question).await,
            ("OPTIONS", _) => Reply::new(200, TEXT, ""),
            _ => Reply::refused(
                404,
                "the guest API has no such route; it has /cache/, /properties, /sign and GET /api/",
            ),
        }
    }

    async fn cached(
        &self,
        method: &str,
        key: &str,
        question: &Question<'_>,
        program: &ItemHash,
    ) -> Reply {
        let cache = self.0.cache.of(program);
        let (method, key) = (method.to_owned(), key.to_owned());
        let (query, body) = (question.query.to_owned(), question.body.to_owned());
        let working = move || match method.as_str() {
            "GET" | "HEAD" if key.is_empty() => cache.list(&pattern_of(&query)),
            _ if !cache::is_key(&key) => Ok(Reply::refused(400, "Invalid key")),
            "GET" | "HEAD" => cache.read(&key),
            "PUT" => cache.write(&key, &body),
            "DELETE" => cache.remove(&key),
            _ => Ok(Reply::refused(405, "the cache knows GET, PUT and DELETE")),
        };
        match tokio::task::spawn_blocking(working).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                tracing::warn!("the cache of a program: {error}");
                Reply::refused(500, "the node cannot use its cache")
            }
            Err(_) => Reply::refused(500, "the node failed"),
        }
    }

    /// Whatever the network may read.
    async fn read(&self, question: &Question<'_>) -> Reply {
        let core = &self.0.core;
        let Some(url) = api_url(core.url(), question) else {
            return Reply::refused(400, "the path leaves the API");
        };
        match core.client().get(url).send().await {
            Ok(response) => passed_on(response).await,
            Err(_) => Reply::refused(502, "the core node does not answer"),
        }
    }

    async fn publish(&self, body: &[u8], program: &ItemHash) -> Reply {
        let account = self.0.secret.of(program);
        let (message_type, mut content, channel) = match message_of(body) {
            Ok(parts) => parts,
            Err(reason) => return Reply::refused(400, reason),
        };
        content["address"] = account.address().into();
        let message = account.sign_message(message_type, &content, channel.as_deref(), now());
        let Ok(message) = serde_json::from_str::<Json>(&message.to_wire()) else {
            return Reply::refused(400, "the message cannot be signed");
        };
        let core = &self.0.core;
        let sent = core
            .client()
            .post(format!("{}/api/v0/messages", core.url()))
            .json(&json!({"sync": false, "message": message}))
            .send();
        match sent.await {
            Ok(response) if response.status().is_success() => {
                let item_hash = message["item_hash"].clone();
                Reply::json(&json!({"status": "success", "item_hash": item_hash}))
            }
            Ok(response) => passed_on(response).await,
            Err(_) => Reply::refused(502, "the core node does not answer"),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(since.as_micros() as i64)
}

/// Type, content and channel of the message in `{"topic", "data"}`.
fn message_of(body: &[u8]) -> Result<(MessageType, Json, Option<String>), &'static str> {
    let body: Json = serde_json::from_slice(body).map_err(|_| "the body is no JSON")?;
    let message = match &body["data"] {
        Json::String(text) => serde_json::from_str(text).map_err(|_| "data is no message")?,
        other => other.clone(),
    };
    let message_type = message["type"].as_str().and_then(MessageType::parse);
    let message_type = message_type.ok_or("the message has no type")?;
    let content = match &message["item_content"] {
        Json::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    if !content.is_object() {
        return Err("the message has no item_content");
    }
    let channel = message["channel"].as_str().map(str::to_owned);
    Ok((message_type, content, channel))
}

/// Where the core node is asked; `None` when dots, however they are written,
/// lead out of its API.
fn api_url(core: &str, question: &Question<'_>) -> Option<reqwest::Url> {
    let base = reqwest::Url::parse(core).ok()?;
    let mut url = reqwest::Url::parse(&format!("{core}{}", question.path)).ok()?;
    let below = format!("{}/api/", base.path().trim_end_matches('/'));
    if url.origin() != base.origin() || !url.path().starts_with(&below) {
        return None;
    }
    url.set_fragment(None);
    url.set_query((!question.query.is_empty()).then_some(question.query));
    Some(url)
}

/// An answer of the core node, if it is not too long.
async fn passed_on(response: reqwest::Response) -> Reply {
    let status = response.status().as_u16();
    let content_type = response.headers().get(::http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or(BYTES).to_owned();
    let (mut pieces, mut body) = (response.bytes_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            return Reply::refused(502, "the core node broke off");
        };
        body.extend_from_slice(&piece);
        if body.len() > limits::QUERY_BYTES_MAX {
            return Reply::refused(
                502,
                "the core node's answer is too long; ask for less at a time",
            );
        }
    }
    Reply::new(status, &content_type, body)
}

/// `pattern` of a query; `*` if there is none.
fn pattern_of(query: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pattern = pairs.find(|(name, _)| *name == "pattern");
    let pattern = pattern.map_or("*", |(_, value)| value);
    pattern
        .replace("%2A", "*")
        .replace("%2a", "*")
        .replace("%3F", "?")
        .replace("%3f", "?")
}

async fn receive(stream: &mut UnixStream) -> io::Result<(u32, Vec<u8>)> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).await?;
    let header = Header::parse(head).map_err(wrong)?;
    if header.kind != Kind::Ask || header.length > limits::GUEST_QUESTION_BYTES_MAX {
        return Err(wrong("no question".to_owned()));
    }
    let mut payload = vec![0; header.length];
    stream.read_exact(&mut payload).await?;
    Ok((header.call, payload))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn questions_stay_in_the_api_of_the_core_node() {
        let url = |path: &str| {
            let question = Question {
                method: "GET",
                path,
                query: "a=1&b=%2F",
                body: b"",
            };
            api_url("http://core:4024", &question).map(String::from)
        };
        let expected = "http://core:4024/api/v0/messages.json?a=1&b=%2F";
        assert_eq!(url("/api/v0/messages.json").unwrap(), expected);
        for wrong in [
            "/api/../metrics",
            "/api/%2e%2E/metrics",
            "/api/v0/..\\..\\..\\metrics",
            "@elsewhere/api/v0/x",
            "/metrics",
        ] {
            assert_eq!(url(wrong), None, "{wrong}");
        }
    }
}
