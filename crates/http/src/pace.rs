//! How fast a client takes or sends, while it is waited for.
//!
//! ```text
//!   waited for ■■■■■■     ■■■■■■■■■■■   ■■■■    = a window: bytes in it enough?
//!   own doing        ·····           ···             (not counted)
//! ```
//!
//! A deadline for the next byte is met by one byte a deadline; this is not. What
//! the server takes its time for is no fault of the client.

use std::time::{Duration, Instant};

use crate::limits;

/// The least that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    /// The time waited for the client over which bytes are counted: it is also
    /// the grace of whoever begins slowly.
    pub window: Duration,
    /// On average, over a window.
    pub bytes_per_second: u64,
}

impl Default for Least {
    fn default() -> Least {
        Least {
            window: limits::PACE_WINDOW,
            bytes_per_second: limits::PACE_BYTES_PER_SECOND_MIN,
        }
    }
}

/// The measure of one direction of one client.
#[derive(Clone, Debug)]
pub struct Pace {
    least: Least,
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Nothing has been waited for.
    pub fn new(least: Least) -> Pace {
        Pace {
            least,
            since: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// The client is waited for, if it was not before.
    pub fn wait(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// It took or sent bytes; false when that was too few for the time.
    #[must_use]
    pub fn went(&mut self, bytes: usize, now: Instant) -> bool {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < self.least.window {
            return true;
        }
        let due = self.waited.as_secs_f64() * self.least.bytes_per_second as f64;
        let enough = self.bytes as f64 >= due;
        *self = Pace::new(self.least);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until a client is too slow that is waited for as long as it takes
    /// to bring `bytes` every `pause` seconds, within an hour.
    fn cut_after(bytes: usize, pause: u32, idle: u32) -> Option<u32> {
        let (mut pace, mut now) = (Pace::new(Least::default()), Instant::now());
        (0..3600 / (pause + idle)).find_map(|turn| {
            now += SECOND * idle;
            pace.wait(now);
            now += SECOND * pause;
            (!pace.went(bytes, now)).then_some((turn + 1) * (pause + idle))
        })
    }

    #[test]
    fn drops_are_too_slow_and_slow_lines_are_not() {
        assert_eq!(cut_after(1, 29, 0), Some(87));
        assert_eq!(cut_after(1_000, 1, 0), None);
        assert_eq!(cut_after(20_000, 20, 0), None);
    }

    #[test]
    fn time_that_is_not_the_clients_does_not_count() {
        assert_eq!(cut_after(300, 1, 59), None);
        assert_eq!(cut_after(1, 0, 1), None);
    }
}
