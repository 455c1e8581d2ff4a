//! Totals that took long to count, kept for a while (core-api.md §14.1).
//!
//! A total that is counted in no time is counted again each time and is exact;
//! one that is not may be up to [`COUNT_SECONDS`] old.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::limits::{COUNT_ENTRIES_MAX, COUNT_SECONDS, COUNTS_MAX};
use crate::state::State;

const KEPT: Duration = Duration::from_secs(COUNT_SECONDS);

/// Totals by what was asked for.
#[derive(Default)]
pub(crate) struct Counts(Mutex<HashMap<Key, (u64, Instant)>>);

/// What was asked for, as the SHA-256 of its text: a filter may be long.
type Key = [u8; 32];

impl Counts {
    fn find(&self, key: &Key) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, at) = known.get(key)?;
        (at.elapsed() < KEPT).then_some(*total)
    }

    fn keep(&self, key: Key, total: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= COUNTS_MAX {
            known.retain(|_, (_, at)| at.elapsed() < KEPT);
        }
        if known.len() >= COUNTS_MAX {
            return;
        }
        known.insert(key, (total, Instant::now()));
    }
}

impl State<'_> {
    /// A total, counted now or not long ago. `count` answers with it and with
    /// about how many entries of an index it read.
    pub(super) fn remembered(
        &self,
        key: impl FnOnce() -> String,
        count: impl FnOnce() -> Result<(u64, f64), Error>,
    ) -> Result<u64, Error> {
        let Some(counts) = self.counts() else {
            return Ok(count()?.0);
        };
        let key = Sha256::digest(key().as_bytes()).into();
        if let Some(total) = counts.find(&key) {
            return Ok(total);
        }
        let (total, entries) = count()?;
        if entries > COUNT_ENTRIES_MAX {
            counts.keep(key, total);
        }
        Ok(total)
    }
}
