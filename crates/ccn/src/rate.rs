//! How often somebody may ask: token buckets, one for each who asked lately.
//!
//! ```text
//!  level ── refilled by `per_second` up to `burst` ── spent by each request
//!    < 0: wait until it is 0 again; what is asked for meanwhile is refused
//! ```
//!
//! A request is let in while the level is not below zero and may take it far
//! below: so an upload that is larger than the burst passes, and is paid for
//! afterwards. The table is bounded: of two generations the older one is
//! forgotten, and who is forgotten starts with a full bucket.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::RATE_CLIENTS_MAX;

/// Buckets of one kind of request.
#[derive(Debug)]
pub struct Buckets<K> {
    per_second: f64,
    burst: f64,
    tables: Mutex<Tables<K>>,
}

#[derive(Debug)]
struct Tables<K> {
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Instant,
}

impl<K: Hash + Eq> Buckets<K> {
    /// A rate of 0 is no limit.
    pub fn new(per_second: u64, burst: u64) -> Buckets<K> {
        Buckets {
            per_second: per_second as f64,
            burst: burst.max(1) as f64,
            tables: Mutex::new(Tables {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }

    /// Spends `cost` unless the bucket is empty; then answers how long to wait.
    pub fn spend(&self, key: K, cost: f64, now: Instant) -> Result<(), Duration> {
        if self.per_second <= 0.0 {
            return Ok(());
        }
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = tables.bucket(key, self.burst, now);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.level = (bucket.level + passed * self.per_second).min(self.burst);
        bucket.at = now;
        // The last one in the bucket is a whole one, unless nothing is asked.
        let needed = cost.min(1.0);
        if bucket.level < needed {
            let wait = (needed - bucket.level) / self.per_second;
            return Err(Duration::from_secs_f64(wait.min(86_400.0)));
        }
        bucket.level -= cost;
        Ok(())
    }

    /// Takes what was used after all, even from an empty bucket.
    pub fn charge(&self, key: K, cost: f64, now: Instant) {
        if self.per_second <= 0.0 {
            return;
        }
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.bucket(key, self.burst, now).level -= cost;
    }
}

impl<K: Hash + Eq> Tables<K> {
    fn bucket(&mut self, key: K, burst: f64, now: Instant) -> &mut Bucket {
        if self.young.len() >= RATE_CLIENTS_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let known = self.old.remove(&key);
        let full = Bucket {
            level: burst,
            at: now,
        };
        self.young.entry(key).or_insert(known.unwrap_or(full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let buckets = Buckets::new(2, 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.spend("a", 1.0, start), Ok(()));
        }
        assert_eq!(
            buckets.spend("a", 1.0, start),
            Err(Duration::from_millis(500))
        );
        assert_eq!(buckets.spend("b", 1.0, start), Ok(()));
        let later = start + Duration::from_millis(500);
        assert_eq!(buckets.spend("a", 1.0, later), Ok(()));
        assert!(buckets.spend("a", 1.0, later).is_err());
    }

    #[test]
    fn what_is_larger_than_the_burst_is_paid_for_afterwards() {
        let buckets = Buckets::new(10, 100);
        let start = Instant::now();
        assert_eq!(buckets.spend("a", 0.0, start), Ok(()));
        buckets.charge("a", 300.0, start);
        assert_eq!(buckets.spend("a", 0.0, start), Err(Duration::from_secs(20)));
        assert_eq!(
            buckets.spend("a", 0.0, start + Duration::from_secs(20)),
            Ok(())
        );
    }

    #[test]
    fn a_rate_of_zero_is_no_limit_and_the_table_is_bounded() {
        let now = Instant::now();
        let free = Buckets::new(0, 0);
        assert!((0..10).all(|_| free.spend("a", 1e9, now).is_ok()));
        let many = Buckets::new(1, 1);
        assert_eq!(many.spend(usize::MAX, 1.0, now), Ok(()));
        for key in 0..3 * RATE_CLIENTS_MAX {
            assert_eq!(many.spend(key, 1.0, now), Ok(()));
        }
        assert!(many.spend(3 * RATE_CLIENTS_MAX - 1, 1.0, now).is_err());
        let tables = many.tables.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(tables.young.len() + tables.old.len() <= 2 * RATE_CLIENTS_MAX);
    }
}
