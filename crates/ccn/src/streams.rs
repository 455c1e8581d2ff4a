//! Who listens to new messages, and how each message reaches them.
//!
//! ```text
//!  writer ─announce─▶ feed (bounded) ─▶ fan-out (one task) ─▶ index: who wants it?
//!                                            │ written once a form
//!                                            ▼
//!                          line ─▶ line ─▶ line        one bounded queue a client
//!                            │       │       │
//!                          socket  socket  socket      (api/stream)
//! ```
//!
//! A stream has no holes: whoever cannot follow is told so and cut off. The
//! fan-out waits for nobody, so neither the writer nor another client notices
//! a slow one. Frames are shared: a message takes its memory once, however many
//! clients have yet to read it.

mod board;
mod counters;
mod fan_out;
mod feed;
mod index;
mod interest;
mod line;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use board::Board;
pub(crate) use counters::Open;
pub use counters::StreamCounters;
pub(crate) use feed::{Announcer, feed};
pub(crate) use interest::{Form, Interest};
pub(crate) use line::{End, Listener};

use crate::config::WebsocketConfig;
use crate::limits::DRAIN_TIMEOUT;
use fan_out::FanOut;
use feed::Feed;
use index::Index;
use line::Line;

/// Everybody who listens to this node.
pub struct Streams {
    /// What to show operators.
    pub counters: StreamCounters,
    pub(crate) board: Board,
    config: WebsocketConfig,
    messages: Arc<Semaphore>,
    status: Arc<Semaphore>,
    index: Mutex<Index>,
    announcer: Announcer,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Streams {
    /// Starts the fan-out of what the feed tells, until `cancel` or
    /// [`end`](Self::end).
    pub(crate) fn start(
        config: WebsocketConfig,
        (announcer, feed): (Announcer, Feed),
        cancel: &CancellationToken,
    ) -> Arc<Streams> {
        let streams = Arc::new(Streams {
            counters: StreamCounters::of(&config),
            messages: Arc::new(Semaphore::new(config.max_message_connections)),
            status: Arc::new(Semaphore::new(config.max_status_connections)),
            config,
            board: Board::default(),
            index: Mutex::default(),
            announcer,
            stop: cancel.child_token(),
            tasks: TaskTracker::new(),
        });
        let fan_out = FanOut::new(Arc::downgrade(&streams), feed);
        let stop = streams.stop.clone();
        streams.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = fan_out.run() => {}
            }
        });
        streams
    }

    /// Pause between two pings of a silent client.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.config.heartbeat_seconds.max(1))
    }

    /// Cancelled when the node ends.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The tasks that [`end`](Self::end) waits for.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// A place for one more stream of messages; `None` when all are taken.
    pub(crate) fn message_place(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.messages)
    }

    /// A place for one more stream of the node's figures.
    pub(crate) fn status_place(&self) -> Option<OwnedSemaphorePermit> {
        take(&self.status)
    }

    /// Everything of interest that is processed from now on.
    pub(crate) fn listen(self: &Arc<Self>, interest: Interest) -> Listener {
        // Before the index: what is committed after the listener looked at the
        // history must be announced.
        self.announcer.join();
        let (line, frames) = Line::new(interest, self.stop.child_token());
        self.index().add(&line);
        Listener::new(self.clone(), line, frames)
    }

    fn leave(&self, line: &Arc<Line>) {
        self.index().remove(line);
        self.announcer.leave();
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says goodbye to everybody, and waits for them a little.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        // Whoever does not take leave in time is cut off with the process.
        let _ = timeout(DRAIN_TIMEOUT, self.tasks.wait()).await;
    }
}

fn take(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    places.clone().try_acquire_owned().ok()
}
