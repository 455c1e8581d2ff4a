//! The stream of frames between the node and one guest, many calls at once.
//!
//! ```text
//! run, chunk, end ─▶ queue ──▶ writer ─▶ ┌───────┐ ─▶ reader ─▶ calls (caller.rs)
//! credit, cancel ─▶ urgent ─▶            │ guest │
//!                                        └───────┘
//! ```
//!
//! The reader ends with the stream; everyone who waits then learns it, because
//! their senders are dropped.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use beth_guest::frame::{self, HEADER_BYTES, Header, Kind, member};
use rmpv::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::{Calls, Exchange};
use crate::executor::clip;
use crate::limits;

const QUEUE: usize = 64;

/// A frame as it arrived.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) payload: Value,
}

/// Both directions, before calls begin: one frame after the other.
pub(super) struct Line {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> Line {
        let (reader, writer) = stream.into_split();
        Line { reader, writer }
    }

    /// The next frame; `UnexpectedEof` when the guest has gone, `InvalidData`
    /// for nonsense.
    pub(super) async fn receive(&mut self) -> io::Result<Frame> {
        let (header, payload) = receive(&mut self.reader).await?;
        Ok(Frame {
            kind: header.kind,
            payload: decode(&payload)?,
        })
    }

    pub(super) async fn send(&mut self, kind: Kind, payload: &Value) -> io::Result<()> {
        self.writer
            .write_all(&frame::encode(kind, 0, payload))
            .await
    }

    /// From now on: calls. The tasks end with the stream; its end is announced.
    pub(super) fn open(self, tasks: &TaskTracker, ended: CancellationToken) -> Channel {
        let (queue, queued) = mpsc::channel(QUEUE);
        let calls = Arc::new(Calls::default());
        tasks.spawn(write(self.writer, queued, Arc::clone(&calls)));
        let reading = read(self.reader, Arc::clone(&calls));
        tasks.spawn(async move {
            reading.await;
            ended.cancel();
        });
        Channel {
            queue,
            calls,
            next: AtomicU32::new(1),
            tasks: tasks.clone(),
        }
    }
}

/// The stream, with calls on it.
pub(super) struct Channel {
    queue: mpsc::Sender<Vec<u8>>,
    calls: Arc<Calls>,
    next: AtomicU32,
    tasks: TaskTracker,
}

/// The stream has ended.
#[derive(Debug)]
pub(super) struct Ended;

impl Channel {
    /// A call that can be sent; `messages` for one whose chunks are messages of
    /// a WebSocket.
    pub(super) fn open_call(&self, messages: bool) -> Result<Exchange, Ended> {
        let number = self.next.fetch_add(1, Ordering::Relaxed).max(1);
        self.calls.open(number, messages, &self.queue)
    }

    /// Does something beside; it must end when its call is over.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Sends what is no call and has no answer.
    pub(super) async fn tell(&self, kind: Kind, payload: &Value) {
        // A guest that has gone will not mind.
        let _ = self.queue.send(frame::encode(kind, 0, payload)).await;
    }

    /// What the guest said last, when it said why it ends.
    pub(super) fn farewell(&self) -> Option<Value> {
        self.calls.farewell()
    }
}

/// Writes frames in order, those that are urgent first.
async fn write(mut writer: OwnedWriteHalf, mut queued: mpsc::Receiver<Vec<u8>>, calls: Arc<Calls>) {
    loop {
        let bytes = tokio::select! {
            biased;
            () = calls.urgent.notified() => calls.take_urgent(),
            bytes = queued.recv() => match bytes {
                Some(bytes) => bytes,
                None => return,
            },
        };
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read(mut reader: OwnedReadHalf, calls: Arc<Calls>) {
    let error = loop {
        if let Err(error) = pass_on(&mut reader, &calls).await {
            break error;
        }
    };
    if error.kind() == io::ErrorKind::InvalidData {
        calls.set_farewell(frame::map([("error", error.to_string().into())]));
    }
    calls.end();
}

async fn pass_on(reader: &mut OwnedReadHalf, calls: &Calls) -> io::Result<()> {
    let (header, payload) = receive(reader).await?;
    match header.kind {
        Kind::Reply | Kind::Chunk | Kind::End | Kind::Credit => {
            calls.receive(header.kind, header.call, &payload)?;
        }
        Kind::Exit => calls.set_farewell(brief(&decode(&payload)?)),
        kind => tracing::debug!("a guest sent an unexpected {kind:?}"),
    }
    Ok(())
}

/// As much of a farewell as is kept.
fn brief(farewell: &Value) -> Value {
    let error = member(farewell, "error").as_str();
    let error = error.map(|error| clip(error, limits::ERROR_BYTES_MAX));
    let status = member(farewell, "status").as_i64();
    frame::map([
        ("status", status.map_or(Value::Nil, Value::from)),
        ("error", error.map_or(Value::Nil, Value::from)),
    ])
}

pub(super) fn nonsense(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the guest sent {what}"))
}

fn decode(payload: &[u8]) -> io::Result<Value> {
    frame::decode(payload).map_err(nonsense)
}

async fn receive(reader: &mut OwnedReadHalf) -> io::Result<(Header, Vec<u8>)> {
    let mut head = [0; HEADER_BYTES];
    reader.read_exact(&mut head).await?;
    let header = Header::parse(head).map_err(nonsense)?;
    let mut payload = vec![0; header.length];
    reader.read_exact(&mut payload).await?;
    Ok((header, payload))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::microvm::caller::Event;

    fn pair() -> (Channel, UnixStream, TaskTracker) {
        let (node, guest) = UnixStream::pair().unwrap();
        let tasks = TaskTracker::new();
        (
            Line::new(node).open(&tasks, CancellationToken::new()),
            guest,
            tasks,
        )
    }

    async fn next(stream: &mut UnixStream) -> (Header, Value) {
        let mut head = [0; HEADER_BYTES];
        stream.read_exact(&mut head).await.unwrap();
        let header = Header::parse(head).unwrap();
        let mut payload = vec![0; header.length];
        stream.read_exact(&mut payload).await.unwrap();
        (header, frame::decode(&payload).unwrap())
    }

    async fn send(stream: &mut UnixStream, kind: Kind, call: u32, payload: &Value) {
        let bytes = frame::encode(kind, call, payload);
        stream.write_all(&bytes).await.unwrap();
    }

    async fn ask(channel: &Channel, payload: &Value) -> Result<Exchange, Ended> {
        let mut exchange = channel.open_call(false)?;
        exchange.send(payload).await?;
        Ok(exchange)
    }

    fn begun() -> Value {
        let body = frame::map([("more_body", true.into())]);
        frame::map([("body", body)])
    }

    #[tokio::test]
    async fn replies_find_their_callers_in_any_order() {
        let (channel, mut guest, _tasks) = pair();
        let mut one = ask(&channel, &"first".into()).await.unwrap();
        let mut two = ask(&channel, &"second".into()).await.unwrap();
        let asked = [next(&mut guest).await, next(&mut guest).await];
        for (header, payload) in asked.iter().rev() {
            send(&mut guest, Kind::Reply, header.call, payload).await;
        }
        for (exchange, text) in [(&mut one, "first"), (&mut two, "second")] {
            let Some(Event::Head(head)) = exchange.next().await else {
                panic!("no head")
            };
            assert_eq!(head.as_str(), Some(text));
        }
    }

    #[tokio::test]
    async fn a_call_given_up_is_cancelled_and_one_that_ended_is_not() {
        let (channel, mut guest, _tasks) = pair();
        let mut complete = ask(&channel, &1.into()).await.unwrap();
        send(&mut guest, Kind::Reply, 1, &Value::Nil).await;
        complete.next().await.unwrap();
        drop(complete);
        drop(ask(&channel, &2.into()).await.unwrap());
        let mut streaming = ask(&channel, &3.into()).await.unwrap();
        send(&mut guest, Kind::Reply, 3, &begun()).await;
        streaming.next().await.unwrap();
        drop(streaming);
        let mut cancelled = Vec::new();
        while cancelled.len() < 2 {
            let (header, _) = next(&mut guest).await;
            if header.kind == Kind::Cancel {
                cancelled.push(header.call);
            }
        }
        assert_eq!(cancelled, [2, 3]);
    }

    #[tokio::test]
    async fn the_end_of_the_guest_ends_every_call_and_nonsense_is_an_end() {
        let (channel, mut guest, tasks) = pair();
        let mut waiting = ask(&channel, &Value::Nil).await.unwrap();
        guest.write_all(&[0xff; 32]).await.unwrap();
        assert!(waiting.next().await.is_none());
        assert!(ask(&channel, &Value::Nil).await.is_err(), "later calls too");
        let farewell = channel.farewell().unwrap();
        let error = member(&farewell, "error").as_str().unwrap();
        assert!(error.contains("at most"), "{error}");
        drop((channel, guest, waiting));
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn guests_that_break_the_rules_are_ended() {
        let piece = |length| Value::Binary(vec![0; length]);
        let flood = frame::WINDOW_BYTES / frame::CHUNK_COST + 2;
        let cases: [(&str, Vec<(Kind, Value)>); 8] = [
            ("Chunk before the head", vec![(Kind::Chunk, piece(1))]),
            ("End before the head", vec![(Kind::End, Value::Nil)]),
            (
                "Reply after the head",
                vec![(Kind::Reply, begun()), (Kind::Reply, begun())],
            ),
            (
                "Chunk after the end",
                vec![(Kind::Reply, Value::Nil), (Kind::Chunk, piece(1))],
            ),
            (
                "at most",
                vec![
                    (Kind::Reply, begun()),
                    (Kind::Chunk, piece(frame::MAX_CHUNK_BYTES + 1)),
                ],
            ),
            (
                "no bytes",
                vec![(Kind::Reply, begun()), (Kind::Chunk, "text".into())],
            ),
            ("more credit", vec![(Kind::Credit, 1.into())]),
            ("beyond its credit", {
                let chunks = vec![(Kind::Chunk, piece(0)); flood];
                [vec![(Kind::Reply, begun())], chunks].concat()
            }),
        ];
        for (reason, frames) in cases {
            let (channel, mut guest, _tasks) = pair();
            let exchange = ask(&channel, &Value::Nil).await.unwrap();
            for (kind, payload) in frames {
                let bytes = frame::encode(kind, 1, &payload);
                if guest.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            exchange.pen().over().await;
            let farewell = channel.farewell().unwrap();
            let error = member(&farewell, "error").as_str().unwrap();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[tokio::test]
    async fn a_slow_taker_halts_its_own_call_only() {
        let (channel, mut guest, _tasks) = pair();
        let slow = ask(&channel, &Value::Nil).await.unwrap();
        let mut quick = ask(&channel, &Value::Nil).await.unwrap();
        let piece = Value::Binary(vec![7; frame::MAX_CHUNK_BYTES]);
        for call in [1, 2] {
            send(&mut guest, Kind::Reply, call, &begun()).await;
        }
        // The slow one fills its window; the quick one takes ten times as much.
        for _ in 0..frame::WINDOW_BYTES / frame::MAX_CHUNK_BYTES {
            send(&mut guest, Kind::Chunk, 1, &piece).await;
        }
        assert!(matches!(quick.next().await, Some(Event::Head(_))));
        let mut credit = frame::WINDOW_BYTES as i64;
        for _ in 0..40 {
            while credit <= 0 {
                let (header, payload) = next(&mut guest).await;
                if header.kind == Kind::Credit {
                    assert_eq!(header.call, 2);
                    credit += payload.as_i64().unwrap();
                }
            }
            send(&mut guest, Kind::Chunk, 2, &piece).await;
            credit -= (frame::MAX_CHUNK_BYTES + frame::CHUNK_COST) as i64;
            assert!(matches!(quick.next().await, Some(Event::Piece(_))));
        }
        drop(slow);
    }

    #[tokio::test]
    async fn requests_wait_for_the_credit_of_their_guest() {
        let (channel, mut guest, _tasks) = pair();
        let exchange = ask(&channel, &Value::Nil).await.unwrap();
        next(&mut guest).await;
        let pen = exchange.pen();
        let piece = Value::Binary(vec![1; frame::MAX_CHUNK_BYTES]);
        let cost = frame::MAX_CHUNK_BYTES + frame::CHUNK_COST;
        let mut sent = 0;
        let reading = async {
            for _ in 0..4 {
                next(&mut guest).await;
            }
            guest
        };
        let sending = async {
            while sent < 4 {
                pen.chunk(&piece).await.unwrap();
                sent += 1;
            }
        };
        let ((), mut guest) = tokio::join!(sending, reading);
        let fifth = pen.chunk(&piece);
        tokio::pin!(fifth);
        assert!(
            futures::poll!(&mut fifth).is_pending(),
            "its credit is spent"
        );
        send(&mut guest, Kind::Credit, 1, &(cost as u64).into()).await;
        fifth.await.unwrap();
    }
}
