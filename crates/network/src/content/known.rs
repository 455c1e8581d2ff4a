//! What downloads remember of neighbours, all of them together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use tokio::sync::Semaphore;

use crate::limits::{CONTENT_BAN, CONTENT_MUTE, CONTENT_WINDOW_ALL};

/// Shared by the downloads of a node.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Until when a peer is not asked.
    shunned: Arc<Mutex<HashMap<PeerId, Instant>>>,
    /// Chunks that may be on their way or wait, beside one of each download.
    pub(super) window: Arc<Semaphore>,
}

impl Default for Known {
    fn default() -> Known {
        Known {
            shunned: Arc::default(),
            window: Arc::new(Semaphore::new(CONTENT_WINDOW_ALL)),
        }
    }
}

impl Known {
    /// Whether a peer may be asked.
    pub(super) fn may_ask(&self, peer: &PeerId) -> bool {
        let shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned
            .get(peer)
            .is_none_or(|until| *until <= Instant::now())
    }

    /// It gave wrong bytes: it is asked no more for a while.
    pub(super) fn lied(&self, peer: PeerId) {
        self.shun(peer, CONTENT_BAN);
    }

    /// It does not speak the protocol, perhaps not yet.
    pub(super) fn is_mute(&self, peer: PeerId) {
        self.shun(peer, CONTENT_MUTE);
    }

    fn shun(&self, peer: PeerId, time: Duration) {
        let now = Instant::now();
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.retain(|_, until| *until > now);
        let until = shunned.entry(peer).or_insert(now);
        *until = (*until).max(now + time);
    }
}
