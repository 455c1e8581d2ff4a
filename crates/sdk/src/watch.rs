//! The stream of new messages (core-api.md §11.1).
//!
//! ```text
//!   connect ──▶ history ──▶ live ──▶ … ──▶ broken ──▶ pause (0.1–30 s) ──┐
//!      ▲                                                                 │
//!      └──────────────── history since the break, known ones skipped ◀───┘
//! ```
//!
//! The WebSocket runs over the same connections as every other call, so that
//! TLS and refusals work alike. A message whose own time lies more than a
//! minute before a break, and which arrived during it, is missed: who needs
//! completeness compares with `Client::messages`.

use std::collections::VecDeque;
use std::time::Duration;

use beth_protocol::ItemHash;
use beth_protocol::time::Timestamp;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use reqwest::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Method, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::client::Client;
use crate::client::messages::{ListedMessage, MessageFilter};
use crate::error::Error;
use crate::limits;

type Socket = WebSocketStream<Upgraded>;

/// Overlap with the time before a break, against clocks that differ.
const OVERLAP_MICROS: i64 = 60_000_000;

struct Watch {
    client: Client,
    filter: MessageFilter,
    socket: Option<Socket>,
    begun: Timestamp,
    connected: Timestamp,
    pause: Duration,
    seen: VecDeque<ItemHash>,
}

impl Client {
    /// Every message that the node processes from now on and that passes the
    /// filter, after the newest `history` (fewer than 200) of the past, oldest
    /// first. An `Err` item tells that the stream broke; it connects again when
    /// it is polled further, and never ends by itself.
    ///
    /// # Errors
    /// When the first connection fails.
    pub async fn watch(
        &self,
        filter: MessageFilter,
        history: usize,
    ) -> Result<BoxStream<'static, Result<ListedMessage, Error>>, Error> {
        let filter = MessageFilter {
            page: None,
            per_page: None,
            ..filter
        };
        let socket = self.open_stream(&filter, history).await?;
        let now = crate::now();
        let watch = Watch {
            client: self.clone(),
            filter,
            socket: Some(socket),
            begun: now,
            connected: now,
            pause: limits::RECONNECT_PAUSE.0,
            seen: VecDeque::with_capacity(limits::RECONNECT_HISTORY),
        };
        Ok(stream::unfold(watch, |mut watch| async move {
            Some((watch.next().await, watch))
        })
        .boxed())
    }

    async fn open_stream(&self, filter: &MessageFilter, history: usize) -> Result<Socket, Error> {
        let key = generate_key();
        let url = self.node.url(&["api", "ws0", "messages"]);
        let request = self
            .node
            .request(Method::GET, url.clone())
            .query(&filter.query())
            .query(&[("history", history)])
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = self.node.open(request, limits::REQUEST_TIMEOUT).await?;
        if response.status().as_u16() != 101 {
            let reason = format!("{} instead of a message stream", response.status());
            return Err(self.node.malformed(url.as_str(), reason));
        }
        let accept = response
            .headers()
            .get(SEC_WEBSOCKET_ACCEPT)
            .map(|value| value.as_bytes().to_vec());
        if accept != Some(derive_accept_key(key.as_bytes()).into_bytes()) {
            return Err(self
                .node
                .malformed(url.as_str(), "wrong WebSocket handshake".into()));
        }
        let upgraded = response
            .upgrade()
            .await
            .map_err(|error| self.node.fault(error, limits::REQUEST_TIMEOUT))?;
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(limits::FRAME_BYTES_MAX);
        config.max_frame_size = Some(limits::FRAME_BYTES_MAX);
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }
}

impl Watch {
    async fn next(&mut self) -> Result<ListedMessage, Error> {
        loop {
            let Some(socket) = &mut self.socket else {
                self.reconnect().await?;
                continue;
            };
            let frame = tokio::time::timeout(limits::STREAM_IDLE_TIMEOUT, socket.next()).await;
            let text = match frame {
                Ok(Some(Ok(Frame::Text(text)))) => text,
                Ok(Some(Ok(Frame::Close(_))) | None) => {
                    return Err(self.broke("closed by the node".into()));
                }
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => return Err(self.broke(Box::new(error))),
                Err(_) => {
                    self.broke("silence".into());
                    return Err(self.client.node.timed_out(limits::STREAM_IDLE_TIMEOUT));
                }
            };
            if let Some(listed) = self.read(&text)? {
                return Ok(listed);
            }
        }
    }

    async fn reconnect(&mut self) -> Result<(), Error> {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(limits::RECONNECT_PAUSE.1);
        let overlap = Timestamp::from_micros(self.connected.micros() - OVERLAP_MICROS);
        let start = overlap
            .max(self.begun)
            .max(self.filter.start.unwrap_or_default());
        let filter = MessageFilter {
            start: Some(start),
            ..self.filter.clone()
        };
        self.socket = Some(
            self.client
                .open_stream(&filter, limits::RECONNECT_HISTORY)
                .await?,
        );
        self.pause = limits::RECONNECT_PAUSE.0;
        Ok(())
    }

    fn broke(&mut self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        self.socket = None;
        self.connected = crate::now();
        Error::Broken {
            role: self.client.node.role(),
            url: self.client.base_url().to_owned(),
            source,
        }
    }

    /// The message in a frame; `None` when it was delivered before, or is of a
    /// type that the node should not have sent.
    fn read(&mut self, text: &str) -> Result<Option<ListedMessage>, Error> {
        let listed = serde_json::from_str(text)
            .map_err(|error| error.to_string())
            .and_then(ListedMessage::parse);
        let listed =
            listed.map_err(|reason| self.client.node.malformed(self.client.base_url(), reason))?;
        let wanted = self.filter.types.is_empty()
            || self.filter.types.contains(&listed.message.message_type);
        if !wanted || self.seen.contains(&listed.message.item_hash) {
            return Ok(None);
        }
        if self.seen.len() == limits::RECONNECT_HISTORY {
            self.seen.pop_front();
        }
        self.seen.push_back(listed.message.item_hash.clone());
        Ok(Some(listed))
    }
}
