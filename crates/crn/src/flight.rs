//! Turns: one worker per key, the others wait.
//!
//! Whoever takes the [`Turn`] of a key does the work; those who wait find it
//! done when their turn comes. Different keys never wait for each other. The
//! map holds only keys that somebody works on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Doors = Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>;

/// One door per key.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Doors>);

/// The right to work on a key; given back when dropped.
#[derive(Debug)]
pub struct Turn {
    doors: Arc<Doors>,
    key: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else works on `key`.
    pub async fn take(&self, key: &str) -> Turn {
        let door = {
            let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            doors.entry(key.to_owned()).or_default().clone()
        };
        let mut turn = Turn {
            doors: self.0.clone(),
            key: key.to_owned(),
            guard: None,
        };
        turn.guard = Some(door.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        // New waiters join under this lock, so a count of one means nobody is at the door.
        if doors
            .get(&self.key)
            .is_some_and(|door| Arc::strong_count(door) == 1)
        {
            doors.remove(&self.key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_left() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let other = turns.take("b").await;
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take("a").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop((first, other));
        waiting.await.unwrap();
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
