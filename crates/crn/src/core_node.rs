//! The core node this compute node belongs to, over HTTP.
//!
//! Only what resolving a program needs: a message by its hash, the file behind
//! a STORE message, and the bytes of a file (compute.md §11, core-api.md §9).
//! Answers are bounded in size and time. Nothing is retried here: whoever calls
//! a program may call again.

mod facts;

use beth_protocol::{Content, ItemHash, Message, MessageType};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;

use crate::limits;
pub use facts::{Balance, Price};

/// Why the core node gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CoreFault {
    /// No connection, no answer in time, or an answer of status 5xx.
    #[error(
        "the core node at {url} does not answer ({reason}); check that it runs and that `core_node` in the configuration is its address"
    )]
    Unreachable {
        /// Base URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It answered, but not what its API promises.
    #[error("the core node at {url} answered something unexpected: {reason}")]
    Nonsense {
        /// Base URL.
        url: String,
        /// What was wrong.
        reason: String,
    },
}

/// A client of one core node.
#[derive(Clone, Debug)]
pub struct CoreNode {
    url: String,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct FileReference {
    file_hash: String,
}

impl CoreNode {
    /// Talks to the node at `url` (scheme, host and port; a path is kept).
    pub fn new(url: &str) -> Result<CoreNode, CoreFault> {
        install_tls();
        let url = url.trim_end_matches('/').to_owned();
        let client = reqwest::Client::builder()
            .connect_timeout(limits::CONNECT_DEADLINE)
            .read_timeout(limits::READ_DEADLINE)
            .no_proxy()
            .user_agent(concat!("beth-crn/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| CoreFault::Unreachable {
                url: url.clone(),
                reason: error.to_string(),
            })?;
        Ok(CoreNode { url, client })
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The client that talks to it.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The message of this name, its hash verified; `None` when the node does
    /// not know it.
    pub async fn message(&self, item_hash: &ItemHash) -> Result<Option<Message>, CoreFault> {
        let path = format!("/api/v0/messages.json?hashes={item_hash}");
        let Some(body) = self.query(&path).await? else {
            return Ok(None);
        };
        let body: Value =
            serde_json::from_slice(&body).map_err(|error| self.nonsense(&path, error))?;
        let Some(envelope) = body.get("messages").and_then(|list| list.get(0)) else {
            return Ok(None);
        };
        let message = Message::parse(envelope)
            .map_err(|rejection| self.nonsense(&path, format!("{rejection}")))?;
        if message.item_hash != *item_hash {
            return Err(self.nonsense(&path, format!("message {}", message.item_hash)));
        }
        Ok(Some(message))
    }

    /// The file that a STORE message names: the newest version of it when
    /// `latest`, else the one of the message itself. `None` when there is none.
    pub async fn file_hash(
        &self,
        reference: &ItemHash,
        version: Version,
    ) -> Result<Option<ItemHash>, CoreFault> {
        if version == Version::Latest
            && let Some(hash) = self
                .referenced(&format!("/api/v0/storage/by-ref/{reference}"))
                .await?
        {
            return Ok(Some(hash));
        }
        if let Some(hash) = self
            .referenced(&format!("/api/v0/storage/by-message-hash/{reference}"))
            .await?
        {
            return Ok(Some(hash));
        }
        let Some(message) = self.message(reference).await? else {
            return Ok(None);
        };
        if message.message_type != MessageType::Store {
            return Ok(None);
        }
        Ok(match message.inline_content() {
            Ok(Some(content)) => match content.typed {
                Content::Store(store) => Some(store.item_hash),
                _ => None,
            },
            _ => None,
        })
    }

    /// Begins the download of a file; `None` when the node does not have it.
    pub async fn file(&self, hash: &ItemHash) -> Result<Option<reqwest::Response>, CoreFault> {
        self.request(&format!("/api/v0/storage/raw/{hash}")).await
    }

    async fn referenced(&self, path: &str) -> Result<Option<ItemHash>, CoreFault> {
        let Some(body) = self.query(path).await? else {
            return Ok(None);
        };
        let reference: FileReference =
            serde_json::from_slice(&body).map_err(|error| self.nonsense(path, error))?;
        ItemHash::parse(&reference.file_hash)
            .map(Some)
            .map_err(|error| self.nonsense(path, error))
    }

    /// A small answer, whole; `None` for 404 and other refusals.
    async fn query(&self, path: &str) -> Result<Option<Vec<u8>>, CoreFault> {
        let whole = async {
            let Some(response) = self.request(path).await? else {
                return Ok(None);
            };
            let mut body = Vec::new();
            let mut chunks = response.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|error| self.unreachable(reason(&error)))?;
                if body.len() + chunk.len() > limits::QUERY_BYTES_MAX {
                    return Err(
                        self.nonsense(path, format!("more than {} bytes", limits::QUERY_BYTES_MAX))
                    );
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Some(body))
        };
        let answer = tokio::time::timeout(limits::QUERY_DEADLINE, whole).await;
        answer.unwrap_or_else(|_| {
            Err(self.unreachable(format!(
                "no answer within {} seconds",
                limits::QUERY_DEADLINE.as_secs()
            )))
        })
    }

    async fn request(&self, path: &str) -> Result<Option<reqwest::Response>, CoreFault> {
        let sent = self.client.get(format!("{}{path}", self.url)).send().await;
        let response = sent.map_err(|error| self.unreachable(reason(&error)))?;
        let status = response.status();
        match status.as_u16() {
            200 => Ok(Some(response)),
            500.. | 429 => Err(self.unreachable(format!("status {status}"))),
            _ => Ok(None),
        }
    }

    fn unreachable(&self, reason: String) -> CoreFault {
        CoreFault::Unreachable {
            url: self.url.clone(),
            reason,
        }
    }

    fn nonsense(&self, path: &str, reason: impl std::fmt::Display) -> CoreFault {
        CoreFault::Nonsense {
            url: self.url.clone(),
            reason: format!("{path}: {reason}"),
        }
    }
}

/// Which version of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The newest update of it.
    Latest,
    /// The one of the message itself.
    Exact,
}

/// The innermost cause says what happened; the outer ones repeat the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The HTTP client takes the process-wide TLS provider; the first one stays.
pub(crate) fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
