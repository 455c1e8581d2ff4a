//! Which chunk is asked of whom.
//!
//! ```text
//!   0 ......... frontier ........................ left ........ count
//!    not asked yet  │ on the way, or came and waits │  checked
//!                   ◀────── at most the window ─────▶
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One of the sources of a download.
pub(super) type SourceId = u32;

/// The chunks of a content that are not checked yet.
#[derive(Debug)]
pub(super) struct Plan {
    left: u64,
    frontier: u64,
    /// Asked of somebody who did not give it.
    again: BTreeSet<u64>,
    /// On the way.
    asked: BTreeMap<u64, Vec<(SourceId, Instant)>>,
    /// Came and not checked: how often.
    came: BTreeMap<u64, usize>,
    /// Room of chunks between frontier and `left`, but for one.
    room: BTreeMap<u64, OwnedSemaphorePermit>,
    window: u64,
    shared: Arc<Semaphore>,
}

impl Plan {
    /// Chunks below `left` are to be fetched, at most `window` at once as far
    /// as there is room in what is shared.
    pub(super) fn new(left: u64, window: u64, shared: Arc<Semaphore>) -> Plan {
        Plan {
            left,
            frontier: left,
            again: BTreeSet::new(),
            asked: BTreeMap::new(),
            came: BTreeMap::new(),
            room: BTreeMap::new(),
            window,
            shared,
        }
    }

    /// Nothing is left to be checked.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// What to ask of a source next; `None` while there is nothing.
    pub(super) fn next_for(&mut self, source: SourceId) -> Option<u64> {
        if let Some(index) = self.lost_for(source) {
            return Some(index);
        }
        let index = self.advance()?;
        self.ask(index, source);
        Some(index)
    }

    /// The same, of what was asked of somebody who did not give it.
    pub(super) fn lost_for(&mut self, source: SourceId) -> Option<u64> {
        let index = self.again.pop_last()?;
        self.ask(index, source);
        Some(index)
    }

    /// What a source that has nothing to do may fetch too, because the one that
    /// was asked takes longer than that; and who that is.
    pub(super) fn overtake(
        &mut self,
        source: SourceId,
        patience: Duration,
    ) -> Option<(u64, SourceId)> {
        let slow = self.asked.iter().rev().find_map(|(index, asked)| {
            let [(other, since)] = asked.as_slice() else {
                return None;
            };
            let is_late = since.elapsed() > patience && !self.came.contains_key(index);
            (*other != source && is_late).then_some((*index, *other))
        });
        let (index, other) = slow?;
        self.ask(index, source);
        Some((index, other))
    }

    /// A source gave a chunk; answers how long that took, `None` when it was not
    /// asked for it.
    pub(super) fn came(&mut self, index: u64, source: SourceId) -> Option<Duration> {
        let since = self.forget(index, source)?;
        *self.came.entry(index).or_default() += 1;
        Some(since.elapsed())
    }

    /// A source will not give a chunk.
    pub(super) fn failed(&mut self, index: u64, source: SourceId) {
        self.forget(index, source);
        self.ask_again_for(index);
    }

    /// A source is gone.
    pub(super) fn lost(&mut self, source: SourceId) {
        let owed: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.iter().any(|(one, _)| *one == source))
            .map(|(index, _)| *index)
            .collect();
        for index in owed {
            self.failed(index, source);
        }
    }

    /// A chunk is checked and right.
    pub(super) fn right(&mut self, index: u64) {
        self.left = self.left.min(index);
        self.unwait(index);
        self.room.split_off(&self.left);
        self.again.split_off(&self.left);
    }

    /// A chunk that came was wrong, or one too many.
    pub(super) fn dropped(&mut self, index: u64) {
        self.unwait(index);
        self.ask_again_for(index);
    }

    /// The next chunk that nobody was asked for.
    fn advance(&mut self) -> Option<u64> {
        let index = self.frontier.checked_sub(1)?;
        if self.left - index > self.window {
            return None;
        }
        // The first one needs no room, so that every download moves.
        if self.frontier < self.left {
            let room = self.shared.clone().try_acquire_owned().ok()?;
            self.room.insert(index, room);
        }
        self.frontier = index;
        Some(index)
    }

    fn ask(&mut self, index: u64, source: SourceId) {
        let asked = self.asked.entry(index).or_default();
        asked.push((source, Instant::now()));
    }

    fn forget(&mut self, index: u64, source: SourceId) -> Option<Instant> {
        let asked = self.asked.get_mut(&index)?;
        let place = asked.iter().position(|(one, _)| *one == source)?;
        let (_, since) = asked.swap_remove(place);
        if asked.is_empty() {
            self.asked.remove(&index);
        }
        Some(since)
    }

    fn unwait(&mut self, index: u64) {
        if let Some(count) = self.came.get_mut(&index) {
            *count -= 1;
            if *count == 0 {
                self.came.remove(&index);
            }
        }
    }

    fn ask_again_for(&mut self, index: u64) {
        let is_covered = self.asked.contains_key(&index) || self.came.contains_key(&index);
        if index < self.left && !is_covered {
            self.again.insert(index);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plan(left: u64, window: u64, shared: usize) -> Plan {
        Plan::new(left, window, Arc::new(Semaphore::new(shared)))
    }

    #[test]
    fn chunks_are_asked_for_from_the_end_within_the_window() {
        let mut plan = plan(10, 3, 100);
        let asked: Vec<u64> = std::iter::from_fn(|| plan.next_for(1)).collect();
        assert_eq!(asked, [9, 8, 7]);
        assert!(plan.came(8, 1).is_some() && plan.came(9, 1).is_some());
        assert!(plan.came(9, 1).is_none() && plan.came(3, 1).is_none());
        assert_eq!(plan.next_for(1), None);
        plan.right(9);
        assert_eq!((plan.next_for(2), plan.next_for(2)), (Some(6), None));
        plan.right(8);
        assert_eq!(plan.next_for(2), Some(5));
    }

    #[test]
    fn what_is_lost_or_wrong_is_asked_elsewhere() {
        let mut plan = plan(4, 4, 100);
        for source in [1, 2, 1, 2] {
            plan.next_for(source).unwrap();
        }
        plan.lost(1);
        assert_eq!((plan.next_for(2), plan.next_for(2)), (Some(3), Some(1)));
        assert_eq!(plan.next_for(2), None);
        assert!(plan.came(3, 2).is_some());
        plan.dropped(3);
        assert_eq!(plan.next_for(3), Some(3));
        for index in (0..4).rev() {
            plan.came(index, if index == 3 { 3 } else { 2 });
            plan.right(index);
        }
        assert!(plan.is_done());
        assert_eq!(plan.next_for(3), None);
    }

    #[test]
    fn a_slow_source_is_overtaken_once() {
        let mut plan = plan(2, 4, 100);
        assert_eq!((plan.next_for(1), plan.next_for(2)), (Some(1), Some(0)));
        assert_eq!(plan.overtake(2, Duration::MAX), None);
        assert_eq!(plan.overtake(2, Duration::ZERO), Some((1, 1)));
        assert_eq!(plan.overtake(2, Duration::ZERO), None);
        assert!(plan.came(1, 2).is_some());
        plan.right(1);
        // The slow one comes too; it is one too many and not asked for again.
        assert!(plan.came(1, 1).is_some());
        plan.dropped(1);
        assert_eq!(plan.next_for(3), None);
    }

    #[test]
    fn every_download_moves_however_little_room_is_shared() {
        let shared = Arc::new(Semaphore::new(1));
        let mut plans = [0, 1].map(|_| Plan::new(5, 4, shared.clone()));
        assert_eq!(plans[0].next_for(1), Some(4));
        assert_eq!(plans[0].next_for(1), Some(3));
        assert_eq!(plans[0].next_for(1), None);
        assert_eq!(
            (plans[1].next_for(1), plans[1].next_for(1)),
            (Some(4), None)
        );
        plans[0].came(4, 1);
        plans[0].right(4);
        assert_eq!(plans[0].next_for(1), None);
        plans[0].came(3, 1);
        plans[0].right(3);
        assert_eq!(plans[0].next_for(1), Some(2));
        assert_eq!(plans[1].next_for(1), Some(3));
    }
}
