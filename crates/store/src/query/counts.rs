//! Totals that took long to count, kept for a while (core-api.md §14.1).
//!
//! A total that is counted in no time is counted again each time and is exact;
//! one that is not may be up to [`COUNT_SECONDS`] old.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::limits::{COUNT_ENTRIES_MAX, COUNT_SECONDS, COUNTS_MAX};
use crate::state::State;

/// Totals by what was asked for.
#[derive(Default)]
pub(crate) struct Counts(Mutex<HashMap<String, (u64, Instant)>>);

impl Counts {
    fn find(&self, key: &str) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, at) = known.get(key)?;
        (at.elapsed() < Duration::from_secs(COUNT_SECONDS)).then_some(*total)
    }

    fn keep(&self, key: String, total: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= COUNTS_MAX {
            known.clear();
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
        let key = key();
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
