//! How many wrong messages a peer may bring that does not check them.

use std::time::Instant;

use crate::limits::{WRONG_MESSAGES, WRONG_MESSAGES_PER_SECOND};

/// An allowance that fills up again with time.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// A full one.
    pub(crate) fn new(now: Instant) -> Allowance {
        Allowance {
            left: WRONG_MESSAGES,
            at: now,
        }
    }

    /// Takes one; false when none is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * WRONG_MESSAGES_PER_SECOND).min(WRONG_MESSAGES);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn fills_up_again() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let taken = (0..2_000).filter(|_| allowance.take(now)).count();
        assert_eq!(taken as f64, WRONG_MESSAGES);
        let later = now + Duration::from_secs(1);
        let taken = (0..2_000).filter(|_| allowance.take(later)).count();
        assert_eq!(taken as f64, WRONG_MESSAGES_PER_SECOND);
    }
}
