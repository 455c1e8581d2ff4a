//! What happened to connections, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that a server keeps; shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) accepted: AtomicU64,
    pub(crate) accept_failures: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_client: AtomicU64,
    pub(crate) cut_head: AtomicU64,
    pub(crate) cut_write: AtomicU64,
}

/// The counters at one moment; all but `open` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections taken.
    pub accepted: u64,
    /// Times that the system could not accept.
    pub accept_failures: u64,
    /// Connections open now, WebSockets among them.
    pub open: u64,
    /// Refused because the server is full.
    pub refused_full: u64,
    /// Refused because the client has too many.
    pub refused_client: u64,
    /// Cut because the head of a request did not end in time.
    pub cut_head: u64,
    /// Cut because the client did not read its answer.
    pub cut_write: u64,
}

impl Stats {
    /// The counters now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            accepted: read(&self.accepted),
            accept_failures: read(&self.accept_failures),
            open: read(&self.open),
            refused_full: read(&self.refused_full),
            refused_client: read(&self.refused_client),
            cut_head: read(&self.cut_head),
            cut_write: read(&self.cut_write),
        }
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
