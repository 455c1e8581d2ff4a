//! What visits to neighbours were like: the last one of each, and all of them
//! together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use beth_network::Visit;

use crate::limits::VISITS_MAX;

/// The visits that this node paid; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Visits(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    last: HashMap<String, LastVisit>,
    totals: Totals,
}

/// The last visit to a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastVisit {
    /// When it ended.
    pub at: Instant,
    /// What it was like.
    pub visit: Visit,
    /// When both were found to have the same, the last time.
    pub same: Option<Instant>,
}

/// All visits since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Visits in which nothing was missing on either side.
    pub same: u64,
    /// Visits in which something was.
    pub different: u64,
    /// The sum of every number.
    pub sum: Visit,
}

impl LastVisit {
    /// Time since this node and the neighbour were known to have the same; a
    /// visit that found a difference made it so at its end.
    pub fn lag(&self) -> Duration {
        self.at.elapsed()
    }
}

impl Visits {
    /// A visit was paid.
    pub(crate) fn note(&self, peer: &str, visit: &Visit) {
        let mut known = self.known();
        let is_same = visit.fetched + visit.offered == 0;
        let totals = &mut known.totals;
        match is_same {
            true => totals.same += 1,
            false => totals.different += 1,
        }
        totals.sum.questions += visit.questions;
        totals.sum.question_bytes += visit.question_bytes;
        totals.sum.fetched += visit.fetched;
        totals.sum.offered += visit.offered;
        totals.sum.message_bytes += visit.message_bytes;
        let now = Instant::now();
        let before = known.last.remove(peer);
        if known.last.len() >= VISITS_MAX {
            let oldest = known.last.iter().min_by_key(|(_, last)| last.at);
            if let Some(oldest) = oldest.map(|(peer, _)| peer.clone()) {
                known.last.remove(&oldest);
            }
        }
        let same = match is_same {
            true => Some(now),
            false => before.and_then(|before| before.same),
        };
        let last = LastVisit {
            at: now,
            visit: visit.clone(),
            same,
        };
        known.last.insert(peer.to_owned(), last);
    }

    /// The last visit to a peer.
    pub fn last(&self, peer: &str) -> Option<LastVisit> {
        self.known().last.get(peer).cloned()
    }

    /// All visits together.
    pub fn totals(&self) -> Totals {
        self.known().totals.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_added_up_and_bounded() {
        let visits = Visits::default();
        let visit = |fetched| Visit {
            questions: 2,
            question_bytes: 300,
            fetched,
            ..Visit::default()
        };
        visits.note("a", &visit(0));
        let same = visits.last("a").unwrap().same;
        assert!(same.is_some());
        visits.note("a", &visit(5));
        let last = visits.last("a").unwrap();
        assert_eq!((last.visit.fetched, last.same), (5, same));
        let totals = visits.totals();
        assert_eq!((totals.same, totals.different), (1, 1));
        assert_eq!((totals.sum.questions, totals.sum.fetched), (4, 5));
        for peer in 0..2 * VISITS_MAX {
            visits.note(&peer.to_string(), &visit(0));
        }
        assert_eq!(visits.known().last.len(), VISITS_MAX);
        assert_eq!(visits.last("a"), None);
    }
}
