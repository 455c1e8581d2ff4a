//! The set of messages as the store keeps it: sums of any range are those of
//! its elements, parts make up the whole, and two stores find their difference.

use std::ops::ControlFlow;

use beth_protocol::reconcile::{Asker, Element, PARTS, Range, Set, Step, Summary, answer};
use beth_store::{Error, State, Store};

use crate::world::{Dice, World};

/// Elements of a range, one by one.
fn elements(state: &State<'_>, range: Range) -> Vec<Element> {
    let mut found = Vec::new();
    let mut show = |element| {
        found.push(element);
        ControlFlow::Continue(())
    };
    state.each(range, &mut show).unwrap();
    found
}

/// Sums that the writer kept are those of what there is.
pub fn check(state: &State<'_>, range: Range) {
    let found = elements(state, range);
    assert!(found.is_sorted() && found.iter().all(|element| range.contains(*element)));
    let sum = |elements: &[Element]| {
        let each = elements.iter().map(|element| Summary::of(*element));
        each.fold(Summary::default(), Summary::plus)
    };
    assert_eq!(state.summary(range).unwrap(), sum(&found), "{range:?}");
    let parts = state.divide(range).unwrap();
    assert!(parts.len() <= PARTS, "{range:?}");
    assert_eq!(parts.is_empty(), found.is_empty(), "{range:?}");
    let mut start = range.start;
    for part in &parts {
        let end = part.end;
        assert_eq!(
            state.summary(Range { start, end }).unwrap(),
            part.summary,
            "{range:?}"
        );
        start = end;
    }
    if let Some(last) = parts.last() {
        assert_eq!(last.end, range.end, "{range:?}");
    }
}

fn read<T>(store: &Store, look: impl FnOnce(&State<'_>) -> T) -> T {
    let read = |state: &State<'_>| Ok::<_, Error>(look(state));
    store.readers.read(read).unwrap()
}

#[test]
fn sums_are_those_of_elements() {
    let world = World::new();
    let mut dice = Dice::new(5);
    let all = read(&world.store, |state| elements(state, Range::ALL));
    assert!(all.len() > 250);
    read(&world.store, |state| check(state, Range::ALL));
    for _ in 0..300 {
        let mut place = || match dice.below(3) {
            0 => *dice.one(&all),
            1 => Element::at(dice.one(&all).time),
            _ => Element::at((dice.one(&all).time >> 30) << 30),
        };
        let (start, end) = (place(), place());
        if start < end {
            read(&world.store, |state| check(state, Range { start, end }));
        }
    }
}

#[test]
fn two_stores_find_their_difference() {
    let (ours, mut theirs) = (World::new(), World::new());
    let known = theirs.entries.len();
    theirs.go_on(40);
    let (mut asker, mut request) = read(&ours.store, |state| Asker::begin(state, [3; 32]).unwrap());
    let difference = loop {
        let reply = read(&theirs.store, |state| answer(state, &request).unwrap());
        let step = std::cell::Cell::new(None);
        read(&ours.store, |state| {
            step.set(Some(asker.hear(state, reply.clone()).unwrap()));
        });
        match step.take().unwrap() {
            Step::Ask(next) => request = next,
            Step::Done(difference) => break difference,
        }
    };
    let new = &theirs.entries[known..];
    let mut expected: Vec<i64> = new
        .iter()
        .map(|entry| entry.message.time.micros())
        .collect();
    let mut found: Vec<i64> = difference
        .theirs
        .iter()
        .map(|element| element.time)
        .collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(difference.ours.is_empty() && difference.our_ranges.is_empty());
}
