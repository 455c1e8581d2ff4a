//! Calls on the stream of frames: what each of them may send, and who waits.
//!
//! ```text
//!  Exchange ◀─ events ─ Entry ◀─ reader ◀──┐         ┌─ chunk, end (Pen) ◀─ request body
//!     │ took: credit, dropped: cancel      │  guest  │    while it has credit
//!     └────────▶ urgent ─▶ writer ─────────┴─────────┘
//! ```
//!
//! The reader never waits for a taker: what a guest may send ahead is bounded by
//! the credit of its call, and a guest that sends more, or out of order, is
//! ended. Credit and cancellations never wait behind bodies: the writer takes
//! them first, and there are at most two per call.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use beth_guest::frame::{
    self, CHUNK_COST, Kind, MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES, WINDOW_BYTES, member,
};
use rmpv::Value;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::channel::{Ended, nonsense};
use crate::body::BodyFault;

/// All calls under way.
#[derive(Default)]
pub(super) struct Calls {
    table: Mutex<Table>,
    /// Something urgent waits for the writer.
    pub(super) urgent: Notify,
}

#[derive(Default)]
struct Table {
    calls: HashMap<u32, Entry>,
    credits: HashMap<u32, usize>,
    cancels: Vec<u32>,
    farewell: Option<Value>,
    ended: bool,
}

struct Entry {
    events: mpsc::UnboundedSender<Event>,
    stage: Stage,
    /// Whether its chunks are messages of a WebSocket.
    messages: bool,
    /// Cost of chunks that came and were not taken yet.
    untaken: usize,
    credit: Arc<Credit>,
    _alive: DropGuard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Pieces,
    Ended,
}

/// What comes of a call.
#[derive(Debug)]
pub(super) enum Event {
    /// The payload of the reply.
    Head(Value),
    /// A chunk of the kind that the call has.
    Piece(Value),
    /// The payload of the end.
    End(Value),
    /// The request's own body broke off.
    Unasked(BodyFault),
}

impl Calls {
    /// A call that is about to be sent.
    pub(super) fn open(
        self: &Arc<Calls>,
        number: u32,
        messages: bool,
        queue: &mpsc::Sender<Vec<u8>>,
    ) -> Result<Exchange, Ended> {
        let (events, coming) = mpsc::unbounded_channel();
        let (credit, alive) = (Arc::new(Credit::default()), CancellationToken::new());
        let mut table = self.lock();
        if table.ended {
            return Err(Ended);
        }
        let entry = Entry {
            events,
            stage: Stage::Head,
            messages,
            untaken: 0,
            credit: Arc::clone(&credit),
            _alive: alive.clone().drop_guard(),
        };
        table.calls.insert(number, entry);
        drop(table);
        let pen = Pen {
            number,
            calls: Arc::clone(self),
            credit,
            alive,
            queue: queue.clone(),
        };
        Ok(Exchange {
            coming,
            pen,
            sent: false,
            ungranted: 0,
        })
    }

    /// A frame of a call; what nobody waits for is not even decoded.
    pub(super) fn receive(&self, kind: Kind, number: u32, payload: &[u8]) -> io::Result<()> {
        let mut table = self.lock();
        let Some(entry) = table.calls.get_mut(&number) else {
            return Ok(());
        };
        let value = frame::decode(payload).map_err(nonsense)?;
        let event = match (kind, entry.stage) {
            (Kind::Credit, _) => {
                let bytes = value.as_u64().and_then(|bytes| usize::try_from(bytes).ok());
                let bytes = bytes.ok_or_else(|| nonsense("credit that is no number".into()))?;
                return entry.credit.refill(bytes).map_err(nonsense);
            }
            (Kind::Reply, Stage::Head) => {
                entry.stage = if is_begun(&value) {
                    Stage::Pieces
                } else {
                    Stage::Ended
                };
                Event::Head(value)
            }
            (Kind::Chunk, Stage::Pieces) => {
                entry.count(&value).map_err(nonsense)?;
                Event::Piece(value)
            }
            (Kind::End, Stage::Pieces) => {
                entry.stage = Stage::Ended;
                Event::End(value)
            }
            (kind, stage) => {
                let when = match stage {
                    Stage::Head => "before the head of its answer",
                    Stage::Pieces => "after the head of its answer",
                    Stage::Ended => "after the end of its answer",
                };
                return Err(nonsense(format!("{kind:?} {when}")));
            }
        };
        // Who waited may go at any time.
        let _ = entry.events.send(event);
        Ok(())
    }

    /// Why the guest ends, as far as it or its nonsense said so.
    pub(super) fn farewell(&self) -> Option<Value> {
        self.lock().farewell.clone()
    }

    pub(super) fn set_farewell(&self, farewell: Value) {
        self.lock().farewell = Some(farewell);
    }

    /// The stream has ended, and so has every call.
    pub(super) fn end(&self) {
        let mut table = self.lock();
        table.ended = true;
        table.calls.clear();
    }

    /// Frames that wait for nothing.
    pub(super) fn take_urgent(&self) -> Vec<u8> {
        let mut table = self.lock();
        let mut frames = Vec::new();
        for number in table.cancels.drain(..) {
            frames.extend(frame::encode(Kind::Cancel, number, &Value::Nil));
        }
        for (number, bytes) in table.credits.drain() {
            frames.extend(frame::encode(Kind::Credit, number, &(bytes as u64).into()));
        }
        frames
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Counts a chunk against the guest's credit.
    fn count(&mut self, chunk: &Value) -> Result<(), String> {
        let (length, longest) = match chunk {
            Value::Binary(bytes) if self.messages => (bytes.len(), MAX_MESSAGE_BYTES),
            Value::String(text) if self.messages => (text.as_bytes().len(), MAX_MESSAGE_BYTES),
            Value::Binary(bytes) => (bytes.len(), MAX_CHUNK_BYTES),
            _ => return Err("a chunk that has no bytes".to_owned()),
        };
        if length > longest {
            return Err(format!(
                "a chunk of {length} bytes; at most {longest} are allowed"
            ));
        }
        if self.untaken >= WINDOW_BYTES {
            return Err("a chunk beyond its credit".to_owned());
        }
        self.untaken += length + CHUNK_COST;
        Ok(())
    }
}

/// True for a reply after which chunks come.
fn is_begun(reply: &Value) -> bool {
    let more = member(member(reply, "body"), "more_body").as_bool();
    more == Some(true) || member(reply, "accept").is_map()
}

/// What a chunk costs.
fn cost(chunk: &Value) -> usize {
    let length = match chunk {
        Value::Binary(bytes) => bytes.len(),
        Value::String(text) => text.as_bytes().len(),
        _ => 0,
    };
    length + CHUNK_COST
}

/// One call; dropped before its end, the guest is told that nobody waits.
pub(super) struct Exchange {
    coming: mpsc::UnboundedReceiver<Event>,
    pen: Pen,
    sent: bool,
    ungranted: usize,
}

impl Exchange {
    /// Sends the call.
    pub(super) async fn send(&mut self, payload: &Value) -> Result<(), Ended> {
        self.pen.queue(Kind::Run, payload).await?;
        self.sent = true;
        Ok(())
    }

    /// The writing side.
    pub(super) fn pen(&self) -> Pen {
        self.pen.clone()
    }

    /// The next event; `None` when the guest has gone.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = std::task::ready!(self.coming.poll_recv(cx));
        if let Some(Event::Piece(chunk)) = &event {
            self.took(cost(chunk));
        }
        Poll::Ready(event)
    }

    /// The next event; `None` when the guest has gone.
    pub(super) async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Gives credit back, in lumps.
    fn took(&mut self, bytes: usize) {
        self.ungranted += bytes;
        if self.ungranted < WINDOW_BYTES / 4 {
            return;
        }
        let granted = std::mem::take(&mut self.ungranted);
        let mut table = self.pen.calls.lock();
        if let Some(entry) = table.calls.get_mut(&self.pen.number) {
            entry.untaken = entry.untaken.saturating_sub(granted);
            *table.credits.entry(self.pen.number).or_default() += granted;
        }
        drop(table);
        self.pen.calls.urgent.notify_one();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let number = self.pen.number;
        let mut table = self.pen.calls.lock();
        table.credits.remove(&number);
        let entry = table.calls.remove(&number);
        if self.sent && entry.is_some_and(|entry| entry.stage != Stage::Ended) {
            table.cancels.push(number);
            drop(table);
            self.pen.calls.urgent.notify_one();
        }
    }
}

/// Writes chunks of one call.
#[derive(Clone)]
pub(super) struct Pen {
    number: u32,
    calls: Arc<Calls>,
    credit: Arc<Credit>,
    alive: CancellationToken,
    queue: mpsc::Sender<Vec<u8>>,
}

impl Pen {
    /// One chunk, when the guest has room for it.
    pub(super) async fn chunk(&self, chunk: &Value) -> Result<(), Ended> {
        tokio::select! {
            () = self.alive.cancelled() => Err(Ended),
            () = self.credit.spend(cost(chunk)) => self.queue(Kind::Chunk, chunk).await,
        }
    }

    /// No chunk follows.
    pub(super) async fn end(&self, payload: &Value) -> Result<(), Ended> {
        self.queue(Kind::End, payload).await
    }

    /// Ends the call because its own body broke off.
    pub(super) fn give_up(&self, fault: BodyFault) {
        if let Some(entry) = self.calls.lock().calls.get(&self.number) {
            let _ = entry.events.send(Event::Unasked(fault));
        }
    }

    /// Resolves when nobody takes part in the call any more.
    pub(super) async fn over(&self) {
        self.alive.cancelled().await;
    }

    async fn queue(&self, kind: Kind, payload: &Value) -> Result<(), Ended> {
        let bytes = frame::encode(kind, self.number, payload);
        tokio::select! {
            () = self.alive.cancelled() => Err(Ended),
            sent = self.queue.send(bytes) => sent.map_err(|_| Ended),
        }
    }
}

/// What may still be sent. One at a time spends it.
struct Credit {
    left: Mutex<isize>,
    refilled: Notify,
}

impl Default for Credit {
    fn default() -> Credit {
        Credit {
            left: Mutex::new(WINDOW_BYTES as isize),
            refilled: Notify::new(),
        }
    }
}

impl Credit {
    async fn spend(&self, cost: usize) {
        loop {
            let refilled = self.refilled.notified();
            {
                let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
                if *left > 0 {
                    *left -= cost as isize;
                    return;
                }
            }
            refilled.await;
        }
    }

    fn refill(&self, bytes: usize) -> Result<(), String> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = isize::try_from(bytes)
            .ok()
            .and_then(|bytes| left.checked_add(bytes));
        match sum {
            Some(sum) if sum <= WINDOW_BYTES as isize => *left = sum,
            _ => return Err("more credit than was spent".to_owned()),
        }
        drop(left);
        self.refilled.notify_one();
        Ok(())
    }
}
