//! One open WebSocket: what both streams have in common. Control frames,
//! deadlines, taking leave (core-api.md §11.1).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket};
use futures::{FutureExt, SinkExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::limits::{STREAM_FAREWELL_TIMEOUT, STREAM_SEND_TIMEOUT};
use crate::streams::{End, Streams};

/// A socket whose client is asked now and then whether it is still there.
pub(super) struct Socket {
    socket: WebSocket,
    heartbeat: Heartbeat,
    streams: Arc<Streams>,
}

/// Why a socket is served no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The client closed the stream, or the connection is lost.
    Left,
    /// It did not answer a ping in time.
    Silent,
    /// It did not read in time.
    Stuck,
    /// We end it.
    Ended(End),
}

impl From<End> for Gone {
    fn from(end: End) -> Gone {
        Gone::Ended(end)
    }
}

/// What is said at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nothing that anybody would hear.
    Silence,
    /// The answer to a close of the client.
    Answer,
    /// A close frame of ours.
    Close(u16, &'static str),
}

impl Farewell {
    pub const TOO_MANY: Farewell = Farewell::Close(TRY_AGAIN_LATER, "Too many connections");
    pub const NO_HISTORY: Farewell = Farewell::Close(
        INTERNAL_ERROR,
        "The history could not be read; connect again",
    );
    pub const STOPPING: Farewell = Farewell::Close(GOING_AWAY, "The node is stopping");
}

const GOING_AWAY: u16 = 1001;
const INTERNAL_ERROR: u16 = 1011;
const TRY_AGAIN_LATER: u16 = 1013;

impl Gone {
    pub fn farewell(self) -> Farewell {
        match self {
            Gone::Left => Farewell::Answer,
            Gone::Silent | Gone::Stuck => Farewell::Silence,
            Gone::Ended(End::TooSlow) => Farewell::Close(
                TRY_AGAIN_LATER,
                "Too slow: messages were left out. Connect again, filter more, or read faster",
            ),
            Gone::Ended(End::Gap) => Farewell::Close(
                TRY_AGAIN_LATER,
                "The node could not follow: messages were left out. Connect again",
            ),
            Gone::Ended(End::Stopping) => Farewell::STOPPING,
        }
    }
}

impl Socket {
    pub fn new(socket: WebSocket, streams: &Arc<Streams>) -> Socket {
        Socket {
            socket,
            heartbeat: Heartbeat::new(streams.heartbeat()),
            streams: streams.clone(),
        }
    }

    /// Listens to the client until it says something, or until it is time to
    /// ask. To be called again and again; cancelling it loses nothing.
    pub async fn listen(&mut self) -> Result<(), Gone> {
        tokio::select! {
            frame = self.socket.recv() => self.heard(frame),
            () = self.heartbeat.is_due() => self.beat().await,
        }
    }

    /// Writes frames in one go.
    pub async fn write(&mut self, frames: Vec<Frame>) -> Result<(), Gone> {
        let size_bytes: usize = frames.iter().map(|frame| text_of(frame).len()).sum();
        let socket = &mut self.socket;
        let written = timeout(STREAM_SEND_TIMEOUT, async {
            for frame in frames {
                socket.feed(frame).await?;
            }
            socket.flush().await
        });
        let counters = &self.streams.counters;
        match written.await {
            Ok(Ok(())) => {
                counters.sent_bytes.fetch_add(size_bytes as u64, Relaxed);
                Ok(())
            }
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => {
                counters.dropped_slow.fetch_add(1, Relaxed);
                Err(Gone::Stuck)
            }
        }
    }

    /// Takes leave: sends the last frame and waits a little for the other side
    /// to do the same.
    pub async fn close(&mut self, farewell: Farewell) {
        let last = match farewell {
            Farewell::Silence => return,
            Farewell::Answer => None,
            Farewell::Close(code, reason) => Some(Frame::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            }))),
        };
        if let Some(last) = last {
            let sent = timeout(STREAM_SEND_TIMEOUT, self.socket.send(last));
            if !matches!(sent.await, Ok(Ok(()))) {
                return;
            }
        }
        // Reading also sends the answer to a close of the client.
        let ended = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = timeout(STREAM_FAREWELL_TIMEOUT, ended).await;
    }

    fn heard(&mut self, frame: Option<Result<Frame, axum::Error>>) -> Result<(), Gone> {
        match frame {
            // Pings are answered by the protocol itself; the rest is ignored.
            Some(Ok(Frame::Close(_)) | Err(_)) | None => Err(Gone::Left),
            Some(Ok(_)) => {
                self.heartbeat.is_alive();
                Ok(())
            }
        }
    }

    async fn beat(&mut self) -> Result<(), Gone> {
        if self.heartbeat.is_awaited() {
            // An answer may wait behind a long write.
            if let Some(frame) = self.socket.recv().now_or_never() {
                return self.heard(frame);
            }
            let counters = &self.streams.counters;
            counters.dropped_silent.fetch_add(1, Relaxed);
            return Err(Gone::Silent);
        }
        self.write(vec![Frame::Ping(Default::default())]).await?;
        self.heartbeat.asked();
        Ok(())
    }
}

fn text_of(frame: &Frame) -> &str {
    match frame {
        Frame::Text(text) => Utf8Bytes::as_str(text),
        _ => "",
    }
}

/// A ping every period; whoever says nothing for half of it is gone.
struct Heartbeat {
    period: Duration,
    next: Instant,
    /// The answer to a ping must be here then.
    answer: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
}

impl Heartbeat {
    fn new(period: Duration) -> Heartbeat {
        let next = Instant::now() + period;
        Heartbeat {
            period,
            next,
            answer: None,
            sleep: Box::pin(sleep_until(next)),
        }
    }

    async fn is_due(&mut self) {
        self.sleep.as_mut().await;
    }

    fn is_awaited(&self) -> bool {
        self.answer.is_some()
    }

    fn asked(&mut self) {
        let now = Instant::now();
        self.next = now + self.period;
        let answer = now + self.period / 2;
        self.answer = Some(answer);
        self.sleep.as_mut().reset(answer);
    }

    fn is_alive(&mut self) {
        if self.answer.take().is_some() {
            self.sleep.as_mut().reset(self.next);
        }
    }
}
