//! The stream of messages, over as many connections as it takes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::limits;

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// Messages from now on.
pub(super) struct Messages {
    url: String,
    socket: Option<Socket>,
    pause: Duration,
    is_first: bool,
}

impl Messages {
    /// Of the core node at that URL. After a break it tells again what happened
    /// since now.
    pub(super) fn new(core_url: &str) -> Messages {
        let base = match core_url.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => core_url.to_owned(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs();
        Messages {
            url: format!("{base}/api/ws0/messages?startDate={seconds}"),
            socket: None,
            pause: limits::RECONNECT_PAUSE_MIN,
            is_first: true,
        }
    }

    /// The next message; waits for it over breaks of any length.
    pub(super) async fn next(&mut self) -> Value {
        loop {
            let Some(socket) = &mut self.socket else {
                self.connect().await;
                continue;
            };
            match tokio::time::timeout(limits::STREAM_SILENCE_MAX, socket.next()).await {
                Ok(Some(Ok(Frame::Text(text)))) => {
                    self.pause = limits::RECONNECT_PAUSE_MIN;
                    if let Ok(message @ Value::Object(_)) = serde_json::from_str(&text) {
                        return message;
                    }
                    tracing::debug!("a frame of the message stream is no JSON object");
                }
                Ok(Some(Ok(Frame::Close(_)) | Err(_)) | None) => self.socket = None,
                Ok(Some(Ok(_))) => {}
                Err(_) => {
                    // Silence may be that of a network where nothing happens.
                    let ping = futures::SinkExt::send(socket, Frame::Ping(Vec::new().into()));
                    let sent = tokio::time::timeout(limits::QUERY_DEADLINE, ping).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        self.socket = None;
                    }
                }
            }
        }
    }

    async fn connect(&mut self) {
        if !self.is_first {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(limits::RECONNECT_PAUSE_MAX);
        }
        self.is_first = false;
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits::QUERY_BYTES_MAX))
            .max_frame_size(Some(limits::QUERY_BYTES_MAX));
        let connecting =
            tokio_tungstenite::connect_async_with_config(&self.url, Some(config), true);
        match tokio::time::timeout(limits::QUERY_DEADLINE, connecting).await {
            Ok(Ok((socket, _))) => {
                tracing::info!("following the messages of the core node");
                self.socket = Some(socket);
            }
            Ok(Err(error)) => tracing::debug!("the message stream does not open: {error}"),
            Err(_) => tracing::debug!("the message stream does not open in time"),
        }
    }
}
