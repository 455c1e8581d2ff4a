//! Room for contents that are files: how much of them may be in memory between
//! reading and writing. An envelope says nothing about the length of its file,
//! so its place at the entrance does not pay for it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use crate::limits::{BODIES_KIB, ROOM_LOOK};

/// Shared by the verifiers.
pub(crate) struct Bodies {
    free_kib: Mutex<usize>,
    returned: Condvar,
}

/// What a message takes; given back when it is dropped.
pub(crate) struct Room {
    /// At the entrance.
    _envelope: OwnedSemaphorePermit,
    /// For its file.
    _body: Option<BodyRoom>,
}

/// Room for one content.
pub(crate) struct BodyRoom {
    bodies: Arc<Bodies>,
    kib: usize,
}

impl Room {
    pub fn new(envelope: OwnedSemaphorePermit, body: Option<BodyRoom>) -> Room {
        Room {
            _envelope: envelope,
            _body: body,
        }
    }
}

impl Bodies {
    pub fn new() -> Arc<Bodies> {
        Arc::new(Bodies {
            free_kib: Mutex::new(BODIES_KIB),
            returned: Condvar::new(),
        })
    }

    /// Waits for room for the parsed content of `size_bytes`. The message whose
    /// turn it is never waits: those behind it hold the room.
    pub fn take(self: &Arc<Self>, size_bytes: u64, is_its_turn: impl Fn() -> bool) -> BodyRoom {
        // A parsed content takes up to some sixteen times its text.
        let wanted = usize::try_from(size_bytes / 64).unwrap_or(BODIES_KIB);
        let wanted = wanted.clamp(1, BODIES_KIB);
        let mut free = self.free_kib.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *free >= wanted || is_its_turn() {
                let kib = wanted.min(*free);
                *free -= kib;
                return BodyRoom {
                    bodies: self.clone(),
                    kib,
                };
            }
            let waited = self.returned.wait_timeout(free, ROOM_LOOK);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        let mut free = self
            .bodies
            .free_kib
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *free += self.kib;
        self.bodies.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_and_never_withheld_from_whose_turn_it_is() {
        let bodies = Bodies::new();
        let all = bodies.take(u64::MAX, || false);
        assert_eq!(all.kib, BODIES_KIB);
        let more = bodies.take(1_000_000, || true);
        assert_eq!(more.kib, 0);
        let waiting = {
            let bodies = bodies.clone();
            std::thread::spawn(move || bodies.take(1_000_000, || false).kib)
        };
        drop(all);
        assert_eq!(waiting.join().ok(), Some(15_625));
    }
}
