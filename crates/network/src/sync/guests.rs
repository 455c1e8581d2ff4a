//! Peers that are visiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;

use crate::limits::{SYNC_VISITORS, SYNC_VISITS_OF_PEER};

/// Who is here how often. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Guests(Arc<Mutex<HashMap<PeerId, usize>>>);

/// One visit of one peer; ends when dropped.
pub(super) struct Stay(Guests, PeerId);

impl Guests {
    /// Receives a peer; `None` when there are too many, in all or of it.
    pub(super) fn receive(&self, peer: PeerId) -> Option<Stay> {
        let mut here = self.here();
        if here.values().sum::<usize>() >= SYNC_VISITORS {
            return None;
        }
        let own = here.entry(peer).or_default();
        if *own >= SYNC_VISITS_OF_PEER {
            return None;
        }
        *own += 1;
        Some(Stay(self.clone(), peer))
    }

    /// True while the peer is visiting.
    pub(super) fn has(&self, peer: &PeerId) -> bool {
        self.here().contains_key(peer)
    }

    fn here(&self) -> MutexGuard<'_, HashMap<PeerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut here = self.0.here();
        if let Some(own) = here.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                here.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_bounded_and_end() {
        let guests = Guests::default();
        let peer = PeerId::random();
        let stays: Vec<Stay> = (0..SYNC_VISITS_OF_PEER)
            .filter_map(|_| guests.receive(peer))
            .collect();
        assert_eq!(stays.len(), SYNC_VISITS_OF_PEER);
        assert!(guests.has(&peer) && guests.receive(peer).is_none());
        drop(stays);
        assert!(!guests.has(&peer));
        let all: Vec<Option<Stay>> = (0..=SYNC_VISITORS)
            .map(|_| guests.receive(PeerId::random()))
            .collect();
        assert_eq!(all.iter().flatten().count(), SYNC_VISITORS);
    }
}
