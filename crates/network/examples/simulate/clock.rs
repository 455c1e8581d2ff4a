//! Virtual time, and what is to happen when.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Nanoseconds since the beginning.
pub type Time = u64;

/// A duration as a span of virtual time.
pub fn span(duration: Duration) -> Time {
    Time::try_from(duration.as_nanos()).unwrap_or(Time::MAX)
}

/// Milliseconds of a span.
pub fn milliseconds(span: Time) -> f64 {
    span as f64 / 1e6
}

/// What is to happen, the earliest first; of two at one time the one that was
/// planned first.
pub struct Agenda<E> {
    now: Time,
    planned: u64,
    waiting: BinaryHeap<Entry<E>>,
}

struct Entry<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Agenda<E> {
    /// Nothing yet.
    pub fn new() -> Agenda<E> {
        Agenda {
            now: 0,
            planned: 0,
            waiting: BinaryHeap::new(),
        }
    }

    /// The time of what happened last.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Plans an event; what is late happens now.
    pub fn plan(&mut self, at: Time, event: E) {
        self.planned += 1;
        self.waiting.push(Entry {
            at: at.max(self.now),
            number: self.planned,
            event,
        });
    }

    /// What happens next.
    pub fn next(&mut self) -> Option<E> {
        let entry = self.waiting.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its greatest first.
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Entry<E> {}
