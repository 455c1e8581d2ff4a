//! The first answer to each operation, for whoever sends it again.
//!
//! ```text
//!  first ──▶ work (owned, goes on when its client leaves) ──▶ answer
//!  again ──▶ waits for the same ───────────────────────────────┘ until 240 s later
//! ```
//!
//! Operations are good for two minutes before and after their time, so that
//! nothing older than that comes again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::limits;

/// An answer that can be given several times.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    /// HTTP status.
    pub(crate) status: u16,
    /// `Content-Type`.
    pub(crate) content_type: Option<Vec<u8>>,
    /// The whole body.
    pub(crate) body: Bytes,
}

type Answer = Shared<BoxFuture<'static, Replayed>>;

/// The operations of the last minutes.
#[derive(Default)]
pub(crate) struct Replays(Mutex<HashMap<[u8; 32], (Instant, Answer)>>);

impl Replays {
    /// The answer to an operation: of its first time, or of `work`, which is
    /// spawned by whoever gives it. `None` when too many are remembered.
    pub(crate) fn answer(
        &self,
        operation: [u8; 32],
        work: impl FnOnce() -> BoxFuture<'static, Replayed>,
    ) -> Option<Answer> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = seen.get(&operation) {
            return Some(answer.clone());
        }
        if seen.len() >= limits::REPLAY_KEYS_MAX {
            seen.retain(|_, (since, _)| since.elapsed() < limits::OPERATION_MEMORY);
        }
        if seen.len() >= limits::REPLAY_KEYS_MAX {
            return None;
        }
        let answer = work().shared();
        seen.insert(operation, (Instant::now(), answer.clone()));
        Some(answer)
    }
}

impl std::fmt::Debug for Replays {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Replays")
    }
}
