//! What streams have done so far, for operators.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::WebsocketConfig;

/// Plain counters; whoever shows them reads them with [`Self::upstream`] and
/// [`Self::own`].
#[derive(Debug, Default)]
pub struct StreamCounters {
    /// Streams of messages open now.
    pub messages_active: AtomicU64,
    /// Streams of the node's figures open now.
    pub status_active: AtomicU64,
    /// Streams of messages turned away because there were too many.
    pub messages_rejected: AtomicU64,
    /// Streams of figures turned away.
    pub status_rejected: AtomicU64,
    /// New messages looked at while somebody listened.
    pub announced: AtomicU64,
    /// Frames handed to clients' queues.
    pub delivered: AtomicU64,
    /// Bytes of the frames written to sockets.
    pub sent_bytes: AtomicU64,
    /// Clients cut off because they read too slowly.
    pub dropped_slow: AtomicU64,
    /// Clients cut off because they did not answer a ping.
    pub dropped_silent: AtomicU64,
    /// Times the fan-out fell behind and everybody had to begin again.
    pub gaps: AtomicU64,
    messages_max: u64,
    status_max: u64,
}

impl StreamCounters {
    pub(super) fn of(config: &WebsocketConfig) -> StreamCounters {
        StreamCounters {
            messages_max: config.max_message_connections as u64,
            status_max: config.max_status_connections as u64,
            ..StreamCounters::default()
        }
    }

    /// Under upstream's names, in upstream's order (core-api.md §10.3).
    pub fn upstream(&self) -> [(&'static str, u64); 8] {
        [
            (
                "pyaleph_ws_messages_connections_active",
                self.messages_active.load(Relaxed),
            ),
            ("pyaleph_ws_messages_connections_max", self.messages_max),
            (
                "pyaleph_ws_status_connections_active",
                self.status_active.load(Relaxed),
            ),
            ("pyaleph_ws_status_connections_max", self.status_max),
            (
                "pyaleph_ws_messages_broadcast_total",
                self.announced.load(Relaxed),
            ),
            (
                "pyaleph_ws_messages_connections_rejected_total",
                self.messages_rejected.load(Relaxed),
            ),
            (
                "pyaleph_ws_status_connections_rejected_total",
                self.status_rejected.load(Relaxed),
            ),
            (
                "pyaleph_ws_broadcaster_consumer_restarts_total",
                self.gaps.load(Relaxed),
            ),
        ]
    }

    /// What upstream does not count, under names of our own.
    pub fn own(&self) -> [(&'static str, u64); 5] {
        [
            ("beth_ccn_stream_frames_total", self.delivered.load(Relaxed)),
            (
                "beth_ccn_stream_sent_bytes_total",
                self.sent_bytes.load(Relaxed),
            ),
            (
                "beth_ccn_stream_dropped_slow_total",
                self.dropped_slow.load(Relaxed),
            ),
            (
                "beth_ccn_stream_dropped_silent_total",
                self.dropped_silent.load(Relaxed),
            ),
            ("beth_ccn_stream_gaps_total", self.gaps.load(Relaxed)),
        ]
    }
}

/// Counts one open stream; the count falls when this is dropped.
pub(crate) struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    /// One more.
    pub fn count(active: &'a AtomicU64) -> Open<'a> {
        active.fetch_add(1, Relaxed);
        Open(active)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
