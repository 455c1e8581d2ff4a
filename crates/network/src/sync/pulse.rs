//! Whether a visit moves on, seen from outside.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Since when a visit waits for the peer. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// It begins to wait.
    pub(super) fn pause(&self) {
        *self.waits() = Some(Instant::now());
    }

    /// It waits no more.
    pub(super) fn beat(&self) {
        *self.waits() = None;
    }

    /// Since when it waits; `None` while we are at work ourselves.
    pub(super) fn since(&self) -> Option<Instant> {
        *self.waits()
    }

    fn waits(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
