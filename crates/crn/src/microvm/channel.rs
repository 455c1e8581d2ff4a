//! The stream of frames between the node and one guest, many calls at once.
//!
//! ```text
//! call() ─▶ queue ─▶ writer ─▶ ┌───────┐ ─▶ reader ─▶ the caller that waits
//! call() ─▶                    │ guest │                 under this number
//!                              └───────┘
//! ```
//!
//! The reader ends with the stream; everyone who waits then learns it, because
//! their senders are dropped.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beth_guest::frame::{self, HEADER_BYTES, Header, Kind, member};
use rmpv::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
        let waiting = Arc::new(Waiting::default());
        tasks.spawn(write(self.writer, queued));
        let reading = read(self.reader, Arc::clone(&waiting));
        tasks.spawn(async move {
            reading.await;
            ended.cancel();
        });
        Channel {
            queue,
            waiting,
            next: AtomicU32::new(1),
        }
    }
}

/// The stream, with calls on it.
pub(super) struct Channel {
    queue: mpsc::Sender<Vec<u8>>,
    waiting: Arc<Waiting>,
    next: AtomicU32,
}

/// The stream has ended.
#[derive(Debug)]
pub(super) struct Ended;

impl Channel {
    /// Sends a call and waits for the payload of its reply. Dropping the future
    /// tells the guest that nobody waits any more.
    pub(super) async fn call(&self, payload: &Value) -> Result<Value, Ended> {
        let number = self.next.fetch_add(1, Ordering::Relaxed).max(1);
        let (sender, receiver) = oneshot::channel();
        let _guard = Guard {
            channel: self,
            number,
        };
        self.waiting.insert(number, sender)?;
        self.queue
            .send(frame::encode(Kind::Run, number, payload))
            .await
            .map_err(|_| Ended)?;
        receiver.await.map_err(|_| Ended)
    }

    /// Sends what is no call and has no answer.
    pub(super) async fn tell(&self, kind: Kind, payload: &Value) {
        // A guest that has gone will not mind.
        let _ = self.queue.send(frame::encode(kind, 0, payload)).await;
    }

    /// What the guest said last, when it said why it ends.
    pub(super) fn farewell(&self) -> Option<Value> {
        self.waiting.lock().farewell.clone()
    }
}

/// Removes a call that nobody waits for.
struct Guard<'a> {
    channel: &'a Channel,
    number: u32,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self
            .channel
            .waiting
            .lock()
            .calls
            .remove(&self.number)
            .is_some()
        {
            // A full queue means that the guest does not read: it will not mind.
            let _ =
                self.channel
                    .queue
                    .try_send(frame::encode(Kind::Cancel, self.number, &Value::Nil));
        }
    }
}

#[derive(Default)]
struct Waiting(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    calls: HashMap<u32, oneshot::Sender<Value>>,
    farewell: Option<Value>,
    ended: bool,
}

impl Waiting {
    fn insert(&self, number: u32, sender: oneshot::Sender<Value>) -> Result<(), Ended> {
        let mut inner = self.lock();
        if inner.ended {
            return Err(Ended);
        }
        inner.calls.insert(number, sender);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queued: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queued.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read(mut reader: OwnedReadHalf, waiting: Arc<Waiting>) {
    let error = loop {
        if let Err(error) = pass_on(&mut reader, &waiting).await {
            break error;
        }
    };
    let mut inner = waiting.lock();
    if error.kind() == io::ErrorKind::InvalidData {
        inner.farewell = Some(frame::map([("error", error.to_string().into())]));
    }
    inner.ended = true;
    inner.calls.clear();
}

/// One frame; what nobody waits for is not even decoded.
async fn pass_on(reader: &mut OwnedReadHalf, waiting: &Waiting) -> io::Result<()> {
    let (header, payload) = receive(reader).await?;
    match header.kind {
        Kind::Reply => {
            let caller = waiting.lock().calls.remove(&header.call);
            if let Some(caller) = caller {
                let _ = caller.send(decode(&payload)?);
            }
        }
        Kind::Exit => {
            let farewell = brief(&decode(&payload)?);
            waiting.lock().farewell = Some(farewell);
        }
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

fn nonsense(what: String) -> io::Error {
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

    #[tokio::test]
    async fn replies_find_their_callers_in_any_order() {
        let (channel, mut guest, _tasks) = pair();
        let (first, second) = (Value::from("first"), Value::from("second"));
        let answering = async {
            let one = next(&mut guest).await;
            let two = next(&mut guest).await;
            for (header, payload) in [two, one] {
                guest
                    .write_all(&frame::encode(Kind::Reply, header.call, &payload))
                    .await
                    .unwrap();
            }
        };
        let (one, two, ()) = tokio::join!(channel.call(&first), channel.call(&second), answering);
        assert_eq!((one.unwrap(), two.unwrap()), (first, second));
    }

    #[tokio::test]
    async fn a_call_given_up_is_cancelled() {
        let (channel, mut guest, _tasks) = pair();
        let payload = Value::from(1);
        let mut call = Box::pin(channel.call(&payload));
        tokio::select! {
            _ = &mut call => panic!("nobody answered"),
            (header, _) = next(&mut guest) => assert_eq!((header.kind, header.call), (Kind::Run, 1)),
        }
        drop(call);
        let (header, _) = next(&mut guest).await;
        assert_eq!((header.kind, header.call), (Kind::Cancel, 1));
    }

    #[tokio::test]
    async fn the_end_of_the_guest_ends_every_call_and_nonsense_is_an_end() {
        let (channel, mut guest, tasks) = pair();
        let payload = Value::Nil;
        let ending = async {
            next(&mut guest).await;
            guest.write_all(&[0xff; 32]).await.unwrap();
        };
        let (answer, ()) = tokio::join!(channel.call(&payload), ending);
        assert!(answer.is_err());
        assert!(channel.call(&payload).await.is_err(), "later calls too");
        let farewell = channel.farewell().unwrap();
        assert!(
            member(&farewell, "error")
                .as_str()
                .unwrap()
                .contains("at most")
        );
        drop((channel, guest));
        tasks.close();
        tasks.wait().await;
    }
}
