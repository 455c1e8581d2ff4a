//! Both sides over sets in memory, bytes and round trips counted.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::frame::{Reply, Request};
use super::*;

#[derive(Clone, Debug, Default)]
struct Memory(BTreeSet<Element>);

impl Set for Memory {
    type Error = Infallible;

    fn summary(&self, range: Range) -> Result<Summary, Infallible> {
        let elements = self.0.range(range.start..range.end);
        Ok(elements.fold(Summary::default(), |sum, element| {
            sum.plus(Summary::of(*element))
        }))
    }

    fn divide(&self, range: Range) -> Result<Vec<Part>, Infallible> {
        let elements: Vec<Element> = self.0.range(range.start..range.end).copied().collect();
        let size = elements.len().div_ceil(PARTS).max(1);
        let mut parts: Vec<Part> = Vec::new();
        for chunk in elements.chunks(size) {
            if let Some(last) = parts.last_mut() {
                last.end = chunk[0];
            }
            let summary = chunk.iter().map(|element| Summary::of(*element));
            parts.push(Part {
                end: range.end,
                summary: summary.fold(Summary::default(), Summary::plus),
            });
        }
        Ok(parts)
    }

    fn each(
        &self,
        range: Range,
        show: &mut dyn FnMut(Element) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        for element in self.0.range(range.start..range.end) {
            if show(*element).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// What a reconciliation took.
#[derive(Debug, Default)]
struct Spent {
    bytes: usize,
    rounds: usize,
}

fn reconcile(ours: &Memory, theirs: &Memory) -> (Difference, Spent) {
    let mut spent = Spent::default();
    let (mut asker, mut request) = Asker::begin(ours, [7; 32]).unwrap();
    loop {
        let sent = request.to_bytes();
        let read = Request::from_bytes(&sent).unwrap();
        assert_eq!(read, request);
        let reply = answer(theirs, &read).unwrap();
        let told = reply.to_bytes();
        assert_eq!(Reply::from_bytes(&told).as_ref(), Ok(&reply));
        spent.bytes += sent.len() + told.len();
        spent.rounds += 1;
        assert!(spent.rounds < 200, "it does not end");
        match asker.hear(ours, reply).unwrap() {
            Step::Ask(next) => request = next,
            Step::Done(difference) => return (difference, spent),
        }
    }
}

/// The elements that a difference speaks of, ours and theirs.
fn told(difference: &Difference, ours: &Memory, theirs: &Memory) -> [BTreeSet<Element>; 2] {
    let all = |elements: &[Element], ranges: &[Range], set: &Memory| {
        let in_ranges = ranges
            .iter()
            .flat_map(|range| set.0.range(range.start..range.end));
        elements.iter().chain(in_ranges).copied().collect()
    };
    [
        all(&difference.ours, &difference.our_ranges, ours),
        all(&difference.theirs, &difference.their_ranges, theirs),
    ]
}

fn check(ours: &Memory, theirs: &Memory) -> Spent {
    let (difference, spent) = reconcile(ours, theirs);
    let expected = [
        ours.0.difference(&theirs.0).copied().collect(),
        theirs.0.difference(&ours.0).copied().collect(),
    ];
    assert_eq!(told(&difference, ours, theirs), expected);
    spent
}

/// Numbers that look random and never change.
fn mixed(number: u64) -> u64 {
    let hash = blake3::hash(&number.to_le_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
}

fn history(count: u64) -> Memory {
    let element = |number| Element {
        time: 1_700_000_000_000_000 + number as i64 * 1_000_000,
        prefix: mixed(number) as i64,
    };
    Memory((0..count).map(element).collect())
}

#[test]
fn what_is_the_same_is_told_so_in_a_hundred_bytes() {
    let all = history(50_000);
    let spent = check(&all, &all);
    assert_eq!(spent.rounds, 1);
    assert!(spent.bytes < 100, "{spent:?}");
}

#[test]
fn a_thousand_missing_cost_less_than_three_times_their_hashes() {
    let all = history(300_000);
    let hashes = 1_000 * 32;
    // A node that was away for a while, and one that missed here and there.
    let away = |number: u64| (200_500..201_500).contains(&number);
    let here_and_there: BTreeSet<u64> = (0..1_000).map(|n| mixed(n) % 300_000).collect();
    let lately: BTreeSet<u64> = (0..1_000).map(|n| 295_000 + mixed(n) % 5_000).collect();
    type Missing = Box<dyn Fn(u64) -> bool>;
    let lists: [(&str, Missing); 3] = [
        ("away", Box::new(away)),
        (
            "here and there",
            Box::new(move |n| here_and_there.contains(&n)),
        ),
        ("lately", Box::new(move |n| lately.contains(&n))),
    ];
    for (name, is_missing) in lists {
        let numbered = all.0.iter().zip(0..);
        let kept = numbered.filter(|(_, number)| !is_missing(*number));
        let less = Memory(kept.map(|(element, _)| *element).collect());
        let spent = check(&less, &all);
        // To ask for what was found, by 16 bytes each, is one more.
        assert!(spent.bytes + 16_000 < 3 * hashes, "{name}: {spent:?}");
        assert!(spent.rounds < 4, "{name}: {spent:?}");
        check(&all, &less);
    }
}

#[test]
fn as_many_on_both_sides_and_other_ones() {
    let all = history(40_000);
    let without = |rest: u64| {
        let numbered = all.0.iter().zip(0..);
        let kept = numbered.filter(|(_, number): &(_, u64)| number % 97 != rest);
        Memory(kept.map(|(element, _)| *element).collect())
    };
    let spent = check(&without(3), &without(5));
    assert!(spent.rounds <= 4, "{spent:?}");
}

#[test]
fn nothing_and_everything() {
    let (none, all) = (Memory::default(), history(100_000));
    for (ours, theirs) in [(&none, &all), (&all, &none)] {
        let spent = check(ours, theirs);
        assert!(spent.rounds == 1 && spent.bytes < 3_000, "{spent:?}");
    }
    check(&none, &none);
}

#[test]
fn half_is_told_as_a_list() {
    let all = history(100_000);
    let half = Memory(all.0.iter().copied().step_by(2).collect());
    check(&half, &all);
    let other = Memory(all.0.difference(&half.0).copied().collect());
    check(&half, &other);
}

#[test]
fn a_peer_that_answers_nonsense_is_told_so() {
    let ours = history(1_000);
    let parts = |ends: &[Element]| {
        let piece = |end: &Element| frame::Piece {
            end: *end,
            count: 5,
            fingerprint: [1; 16],
        };
        Reply::Compared(vec![Some(ends.iter().map(piece).collect())])
    };
    let one = Element::at(1_700_000_100_000_000);
    for reply in [
        Reply::Compared(Vec::new()),
        Reply::Symbols(Vec::new()),
        parts(&[one]),
        parts(&[one, one, Element::END]),
        parts(&[Element::FIRST, Element::END]),
    ] {
        let (mut asker, _) = Asker::begin(&ours, [7; 32]).unwrap();
        let heard = asker.hear(&ours, reply.clone());
        assert!(matches!(heard, Err(AskError::Nonsense(_))), "{reply:?}");
    }
}

fn sets() -> impl Strategy<Value = (Memory, Memory)> {
    let element = (0..40_i64, 0..6_i64).prop_map(|(time, prefix)| Element { time, prefix });
    let set = || prop::collection::btree_set(element.clone(), 0..120).prop_map(Memory);
    (set(), set(), set()).prop_map(|(both, ours, theirs)| {
        let with = |own: Memory| Memory(both.0.union(&own.0).copied().collect());
        (with(ours), with(theirs))
    })
}

proptest! {
    #[test]
    fn any_two_sets((ours, theirs) in sets()) {
        check(&ours, &theirs);
    }

    #[test]
    fn sketches_tell_their_difference((ours, theirs) in sets()) {
        let sketch = |set: &Memory| {
            let mut filling = fill([9; 32], 0..600);
            set.0.iter().for_each(|element| filling.add(*element));
            filling.finish()
        };
        let mut decoder = Decoder::new([9; 32]);
        let (theirs_sketch, ours_sketch) = (sketch(&theirs), sketch(&ours));
        let mut done = false;
        for from in (0..600).step_by(50) {
            done = decoder.add(&theirs_sketch[from..from + 50], &ours_sketch[from..from + 50]);
            if done {
                break;
            }
        }
        prop_assert!(done);
        let found: BTreeSet<Element> = decoder.theirs.iter().copied().collect();
        prop_assert_eq!(found, theirs.0.difference(&ours.0).copied().collect());
        let found: BTreeSet<Element> = decoder.ours.iter().copied().collect();
        prop_assert_eq!(found, ours.0.difference(&theirs.0).copied().collect());
    }

    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = Request::from_bytes(&bytes) {
            prop_assert_eq!(Request::from_bytes(&request.to_bytes()), Ok(request));
        }
        if let Ok(reply) = Reply::from_bytes(&bytes) {
            prop_assert_eq!(Reply::from_bytes(&reply.to_bytes()), Ok(reply));
        }
    }

    #[test]
    fn forged_symbols_end(symbols in prop::collection::vec((any::<[u8; 16]>(), any::<u64>(), -2..3_i64), 64)) {
        let forged: Vec<Symbol> = symbols
            .into_iter()
            .map(|(elements, checks, count)| Symbol { elements, checks, count })
            .collect();
        let mut decoder = Decoder::new([1; 32]);
        decoder.add(&forged, &vec![Symbol::default(); 64]);
    }

    #[test]
    fn sums_are_of_sets(elements in prop::collection::vec(any::<(i64, i64)>(), 0..20)) {
        let elements: Vec<Element> = elements
            .into_iter()
            .map(|(time, prefix)| Element { time, prefix })
            .collect();
        let forth = elements.iter().fold(Summary::default(), |sum, e| sum.plus(Summary::of(*e)));
        let back = elements.iter().rev().fold(Summary::default(), |sum, e| sum.plus(Summary::of(*e)));
        prop_assert_eq!(forth, back);
        prop_assert_eq!(Summary::from_bytes(forth.count, &forth.to_bytes()), forth);
        let gone = elements.iter().fold(forth, |sum, e| sum.minus(Summary::of(*e)));
        prop_assert_eq!(gone, Summary::default());
    }
}
