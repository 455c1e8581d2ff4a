//! The few calls the scheduler makes, each with a deadline and a bound.

use beth_protocol::registry::{self, Registry};
use futures::StreamExt;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::{Error, limits};

const TYPES: &str = "PROGRAM,INSTANCE";
const STREAMED_TYPES: &str = "PROGRAM,INSTANCE,FORGET,AGGREGATE";

/// The live messages of a core node.
pub type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A core node, and who publishes the registry there.
#[derive(Clone, Debug)]
pub struct CoreNode {
    http: reqwest::Client,
    url: String,
    corechannel_address: String,
}

impl CoreNode {
    /// A client of the node at `url`.
    pub fn new(url: &str, corechannel_address: &str) -> Result<CoreNode, Error> {
        let url = url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::BadUrl(url));
        }
        Ok(CoreNode {
            http: http_client()?,
            url,
            corechannel_address: corechannel_address.to_owned(),
        })
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The account that publishes the registry.
    pub fn corechannel_address(&self) -> &str {
        &self.corechannel_address
    }

    /// Every program and instance, as list items (core-api.md §3.1).
    pub async fn workload_messages(&self) -> Result<Vec<Value>, Error> {
        let mut messages = Vec::new();
        let mut cursor = String::new();
        for _ in 0..limits::PAGES_MAX {
            let url = format!(
                "{}/api/v0/messages.json?msgTypes={TYPES}&pagination={}&cursor={cursor}",
                self.url,
                limits::PAGE_MESSAGES
            );
            let mut page = json(self.http.get(&url), &url).await?;
            match page.get_mut("messages").map(Value::take) {
                Some(Value::Array(items)) => messages.extend(items),
                _ => {
                    return Err(Error::Malformed {
                        url,
                        reason: "no list of messages".to_owned(),
                    });
                }
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => cursor = next.to_owned(),
                _ => break,
            }
        }
        Ok(messages)
    }

    /// The registry; empty when nobody published one.
    pub async fn registry(&self) -> Result<Registry, Error> {
        let url = format!(
            "{}/api/v0/aggregates/{}.json?keys={}",
            self.url,
            self.corechannel_address,
            registry::KEY
        );
        match json(self.http.get(&url), &url).await {
            Ok(answer) => Ok(answer
                .pointer("/data/corechannel")
                .map(Registry::parse)
                .unwrap_or_default()),
            Err(Error::Status { status: 404, .. }) => Ok(Registry::default()),
            Err(error) => Err(error),
        }
    }

    /// Opens the stream of messages that are processed from now on.
    pub async fn stream(&self) -> Result<Stream, Error> {
        let url = format!(
            "ws{}/api/ws0/messages?history=0&msgTypes={STREAMED_TYPES}",
            self.url.strip_prefix("http").unwrap_or(&self.url)
        );
        let broken = |reason: String| Error::Stream {
            url: url.clone(),
            reason,
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits::FRAME_BYTES_MAX))
            .max_frame_size(Some(limits::FRAME_BYTES_MAX));
        let connection = tokio_tungstenite::connect_async_with_config(&url, Some(config), true);
        match tokio::time::timeout(limits::REQUEST_TIMEOUT, connection).await {
            Ok(Ok((stream, _))) => Ok(stream),
            Ok(Err(error)) => Err(broken(error.to_string())),
            Err(_) => Err(broken("no answer in time".to_owned())),
        }
    }
}

/// An HTTP client with our deadlines. It asks nodes themselves, never a proxy,
/// as the stream of messages does.
pub fn http_client() -> Result<reqwest::Client, Error> {
    // Another part of the process may have chosen one already: then that one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .timeout(limits::REQUEST_TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(Error::Setup)
}

/// Sends a request and reads a JSON answer of status 200.
pub async fn json(request: reqwest::RequestBuilder, url: &str) -> Result<Value, Error> {
    let (status, body) = answer(request, url).await?;
    if status != 200 {
        return Err(refused(url, status, &body));
    }
    serde_json::from_slice(&body).map_err(|error| Error::Malformed {
        url: url.to_owned(),
        reason: error.to_string(),
    })
}

/// Sends a request and reads the answer, whatever its status.
pub async fn answer(request: reqwest::RequestBuilder, url: &str) -> Result<(u16, Vec<u8>), Error> {
    let failed = |source| Error::Http {
        url: url.to_owned(),
        source,
    };
    let response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(failed)?;
        if body.len() + chunk.len() > limits::ANSWER_BYTES_MAX {
            let reason = format!("more than {} bytes", limits::ANSWER_BYTES_MAX);
            return Err(Error::Malformed {
                url: url.to_owned(),
                reason,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// The error of an answer with another status than expected.
pub fn refused(url: &str, status: u16, body: &[u8]) -> Error {
    let body = String::from_utf8_lossy(body).chars().take(300).collect();
    Error::Status {
        url: url.to_owned(),
        status,
        body,
    }
}
