//! The queue of one client: frames that wait to be written to its socket.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use beth_protocol::ItemHash;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Streams;
use super::interest::Interest;
use crate::limits::{
    STREAM_BATCH, STREAM_BATCH_BYTES, STREAM_FRAMES_BYTES, STREAM_QUEUE, STREAM_QUEUE_BYTES,
    STREAM_QUEUE_CROWDED,
};

/// A message as it is sent, shared by everybody it is sent to.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Which message.
    pub item_hash: ItemHash,
    /// JSON text.
    pub text: Bytes,
    held: Arc<AtomicUsize>,
}

impl Frame {
    /// `held` counts the bytes of all frames that somebody has yet to read.
    pub fn new(item_hash: ItemHash, text: String, held: Arc<AtomicUsize>) -> Frame {
        held.fetch_add(text.len(), Relaxed);
        Frame {
            item_hash,
            text: text.into(),
            held,
        }
    }

    /// True when all frames together take so much memory that nobody may stay
    /// far behind.
    fn is_crowded(&self) -> bool {
        self.held.load(Relaxed) > STREAM_FRAMES_BYTES
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.held.fetch_sub(self.text.len(), Relaxed);
    }
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client does not read as fast as messages come.
    TooSlow,
    /// The node could not follow and does not know what was missed.
    Gap,
    /// The node ends.
    Stopping,
}

/// The side of the fan-out.
pub(super) struct Line {
    pub interest: Interest,
    frames: mpsc::Sender<Arc<Frame>>,
    waiting_bytes: AtomicUsize,
    /// The last message it was considered for.
    considered: AtomicU64,
    end: OnceLock<End>,
    cut: CancellationToken,
}

impl Line {
    pub fn new(
        interest: Interest,
        cut: CancellationToken,
    ) -> (Arc<Line>, mpsc::Receiver<Arc<Frame>>) {
        let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
        let line = Line {
            interest,
            frames: sender,
            waiting_bytes: AtomicUsize::new(0),
            considered: AtomicU64::new(0),
            end: OnceLock::new(),
            cut,
        };
        (Arc::new(line), receiver)
    }

    /// True the first time for this number. Only the fan-out asks.
    pub fn is_first(&self, number: u64) -> bool {
        self.considered.swap(number, Relaxed) != number
    }

    /// Appends a frame; false when the client is too far behind.
    pub fn push(&self, frame: &Arc<Frame>) -> bool {
        let waiting_bytes = self.waiting_bytes.load(Relaxed);
        let waiting = STREAM_QUEUE - self.frames.capacity();
        let is_too_far = waiting_bytes > STREAM_QUEUE_BYTES
            || (waiting > STREAM_QUEUE_CROWDED && frame.is_crowded());
        // Before the frame can be taken out again.
        self.waiting_bytes.fetch_add(frame.text.len(), Relaxed);
        !is_too_far && self.frames.try_send(frame.clone()).is_ok()
    }

    /// Ends the stream.
    pub fn cut(&self, end: End) {
        let _ = self.end.set(end);
        self.cut.cancel();
    }
}

/// The side of the socket. Dropping it ends the line.
pub(crate) struct Listener {
    streams: Arc<Streams>,
    line: Arc<Line>,
    frames: mpsc::Receiver<Arc<Frame>>,
}

impl Listener {
    pub(super) fn new(
        streams: Arc<Streams>,
        line: Arc<Line>,
        frames: mpsc::Receiver<Arc<Frame>>,
    ) -> Listener {
        Listener {
            streams,
            line,
            frames,
        }
    }

    /// The frames that wait, or the next one; never empty. Cancelling it loses
    /// nothing.
    pub async fn next(&mut self) -> Result<Vec<Arc<Frame>>, End> {
        let first = tokio::select! {
            biased;
            () = self.line.cut.cancelled() => return Err(self.end()),
            first = self.frames.recv() => first.ok_or(End::Stopping)?,
        };
        let mut size_bytes = first.text.len();
        let mut batch = vec![first];
        while batch.len() < STREAM_BATCH && size_bytes < STREAM_BATCH_BYTES {
            let Ok(frame) = self.frames.try_recv() else {
                break;
            };
            size_bytes += frame.text.len();
            batch.push(frame);
        }
        self.line.waiting_bytes.fetch_sub(size_bytes, Relaxed);
        Ok(batch)
    }

    /// Resolves when the stream has to end.
    pub async fn cut(&self) -> End {
        self.line.cut.cancelled().await;
        self.end()
    }

    fn end(&self) -> End {
        self.line.end.get().copied().unwrap_or(End::Stopping)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.streams.leave(&self.line);
    }
}
