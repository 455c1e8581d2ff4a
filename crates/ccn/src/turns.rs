//! Messages are verified on all cores and judged in the order they came in.
//!
//! A verifier gives a number to each message it takes, and hands over exactly
//! one task for each number. What comes early waits here for its turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::writer::Task;

/// Puts tasks back in order.
#[derive(Default)]
pub(crate) struct Turns {
    early: BTreeMap<u64, Option<Box<Task>>>,
    now: Now,
}

/// Whose turn it is; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Now(Arc<AtomicU64>);

impl Now {
    /// True when nothing before this number is outstanding.
    pub fn is(&self, number: u64) -> bool {
        self.0.load(Ordering::Acquire) >= number
    }
}

impl Turns {
    /// For whoever must know whose turn it is.
    pub fn now(&self) -> Now {
        self.now.clone()
    }

    /// Takes the task of a number.
    pub fn put(&mut self, number: u64, task: Option<Box<Task>>) {
        self.early.insert(number, task);
    }

    /// The task whose turn it is, if it is here.
    pub fn next(&mut self) -> Option<Option<Box<Task>>> {
        let number = self.now.0.load(Ordering::Relaxed);
        let task = self.early.remove(&number)?;
        self.now.0.store(number + 1, Ordering::Release);
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_out_in_order() {
        let mut turns = Turns::default();
        let now = turns.now();
        turns.put(2, None);
        turns.put(1, None);
        assert!(turns.next().is_none());
        assert!(now.is(0) && !now.is(1));
        turns.put(0, Some(Box::new(Task::Stop)));
        assert!(matches!(turns.next(), Some(Some(_))));
        assert!(matches!(turns.next(), Some(None)));
        assert!(matches!(turns.next(), Some(None)));
        assert!(turns.next().is_none());
        assert!(now.is(3) && !now.is(4));
    }
}
