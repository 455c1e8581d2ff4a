//! How fast contents are read: others want the disk too.

use std::time::{Duration, Instant};

use super::Bounds;
use crate::limits::REPAIR_PAUSE_MAX;

/// Bytes that may be read, a second.
pub(super) struct Throttle {
    bounds: Bounds,
    /// When the bytes read so far may be had.
    free: Instant,
    taken: u64,
}

impl Throttle {
    pub fn new(bounds: Bounds) -> Throttle {
        Throttle {
            bounds,
            free: Instant::now(),
            taken: 0,
        }
    }

    /// Bytes were read: waits until they may be had; false when cancelled.
    /// Blocks the thread.
    pub fn went(&mut self, bytes: usize) -> bool {
        self.taken += bytes as u64;
        let now = Instant::now();
        let seconds = bytes as f64 / self.bounds.bytes_per_second.max(1) as f64;
        self.free = self.free.max(now) + Duration::from_secs_f64(seconds);
        loop {
            if self.bounds.cancel.is_cancelled() {
                return false;
            }
            let left = self.free.saturating_duration_since(Instant::now());
            if left < Duration::from_millis(5) {
                return true;
            }
            std::thread::sleep(left.min(REPAIR_PAUSE_MAX));
        }
    }

    /// Bytes read since the last time that this was asked.
    pub fn taken(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// Until everything is to end.
    pub async fn cancelled(&self) {
        self.bounds.cancel.cancelled().await;
    }
}
