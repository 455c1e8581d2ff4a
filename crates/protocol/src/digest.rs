//! The state digest: one number that two nodes compare.
//!
//! A part of the state is a set of [`Fact`]s. Its [`SetHash`] is their sum in
//! a group (LtHash: 1024 lanes of 16 bits, each fact expanded by BLAKE3), so a
//! fact is added or taken away in about a microsecond, whatever the size of the
//! state and the order of arrival; finding another set with the same sum is as
//! hard as a lattice problem.
//!
//! ```text
//!   fact ─▶ 2048 bytes ─▶ ± lanes of its part ─▶ BLAKE3 ─▶ digest of the part
//!                                                  digests of the parts ─▶ digest of the state
//! ```
//!
//! Only what every node derives from the same messages is a fact. Absent on
//! purpose: reception times, what waits or was refused, and uploads. A removal
//! takes the facts of its message away: until the jobs of two nodes have both
//! looked, they differ. The costs have a digest of their own that
//! the state's does not cover: they depend on the prices in force when a node
//! processed a message (processing.md §17).

use std::fmt;

const LANES: usize = 1024;
// Every field begins with what it is, so no two lists of fields look alike.
const ABSENT: u8 = 0;
const TEXT: u8 = 1;
const NUMBER: u8 = 2;

/// Which part of the state a fact belongs to. The number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Part {
    /// Messages in force. What is forgotten follows from the FORGET messages.
    Messages = 0,
    /// Latest amends.
    Posts = 1,
    /// Merged aggregates.
    Aggregates = 2,
    /// Tags and pins of STORE messages.
    Files = 3,
    /// Token balances.
    Balances = 4,
    /// Lots of credits.
    Credits = 5,
    /// Bills; not covered by the state's digest.
    Costs = 6,
}

impl Part {
    /// Every part, by number.
    pub const ALL: [Part; 7] = [
        Part::Messages,
        Part::Posts,
        Part::Aggregates,
        Part::Files,
        Part::Balances,
        Part::Credits,
        Part::Costs,
    ];

    /// The name that operators see.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Messages => "messages",
            Part::Posts => "posts",
            Part::Aggregates => "aggregates",
            Part::Files => "files",
            Part::Balances => "balances",
            Part::Credits => "credits",
            Part::Costs => "costs",
        }
    }
}

/// One fact of the state: a kind and its fields in order.
#[derive(Clone, Debug)]
pub struct Fact {
    part: Part,
    hasher: blake3::Hasher,
}

impl Fact {
    /// A fact of this part; `kind` tells apart facts of different shape.
    pub fn new(part: Part, kind: &str) -> Fact {
        let hasher = blake3::Hasher::new();
        Fact { part, hasher }.text(kind)
    }

    /// Where it belongs.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Adds a text.
    pub fn text(mut self, text: &str) -> Fact {
        self.hasher.update(&[TEXT]);
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
        self
    }

    /// Adds a text that may be absent.
    pub fn optional(mut self, text: Option<&str>) -> Fact {
        match text {
            Some(text) => self.text(text),
            None => {
                self.hasher.update(&[ABSENT]);
                self
            }
        }
    }

    /// Adds a number.
    pub fn number(mut self, number: i64) -> Fact {
        self.hasher.update(&[NUMBER]);
        self.hasher.update(&number.to_le_bytes());
        self
    }
}

/// The sum of a set of facts.
#[derive(Clone, PartialEq, Eq)]
pub struct SetHash(Box<[u16; LANES]>);

impl Default for SetHash {
    fn default() -> Self {
        SetHash(Box::new([0; LANES]))
    }
}

impl fmt::Debug for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetHash({})", const_hex::encode(self.digest()))
    }
}

impl SetHash {
    /// Adds a fact.
    pub fn add(&mut self, fact: &Fact) {
        self.combine(fact, u16::wrapping_add);
    }

    /// Takes a fact away that was added before.
    pub fn remove(&mut self, fact: &Fact) {
        self.combine(fact, u16::wrapping_sub);
    }

    fn combine(&mut self, fact: &Fact, operation: fn(u16, u16) -> u16) {
        let mut bytes = [0u8; LANES * 2];
        fact.hasher.finalize_xof().fill(&mut bytes);
        for (lane, pair) in self.0.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *lane = operation(*lane, u16::from_le_bytes(*pair));
        }
    }

    /// The 32 bytes that are compared.
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.to_bytes()).as_bytes()
    }

    /// The sum itself, 2048 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect()
    }

    /// Reads [`to_bytes`](Self::to_bytes); `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<SetHash> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if pairs.len() != LANES || !rest.is_empty() {
            return None;
        }
        let mut sum = SetHash::default();
        for (lane, pair) in sum.0.iter_mut().zip(pairs) {
            *lane = u16::from_le_bytes(*pair);
        }
        Some(sum)
    }
}

/// The sums of every part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateHash([SetHash; Part::ALL.len()]);

impl StateHash {
    /// Adds a fact to its part.
    pub fn add(&mut self, fact: &Fact) {
        self.0[fact.part as usize].add(fact);
    }

    /// Takes a fact away from its part.
    pub fn remove(&mut self, fact: &Fact) {
        self.0[fact.part as usize].remove(fact);
    }

    /// The sum of one part.
    pub fn part(&self, part: Part) -> &SetHash {
        &self.0[part as usize]
    }

    /// Replaces the sum of one part.
    pub fn set(&mut self, part: Part, sum: SetHash) {
        self.0[part as usize] = sum;
    }

    /// The digest of the state: of every part but the costs.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for part in Part::ALL.into_iter().filter(|part| *part != Part::Costs) {
            hasher.update(&self.part(part).digest());
        }
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(text: &str) -> Fact {
        Fact::new(Part::Messages, "test").text(text)
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let (mut one, mut other) = (SetHash::default(), SetHash::default());
        for text in ["a", "b", "c"] {
            one.add(&fact(text));
        }
        for text in ["c", "x", "a", "b"] {
            other.add(&fact(text));
        }
        assert_ne!(one, other);
        other.remove(&fact("x"));
        assert_eq!(one, other);
        assert_eq!(SetHash::from_bytes(&one.to_bytes()), Some(one));
        assert_eq!(SetHash::from_bytes(&[0; 7]), None);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let digest = |fact: Fact| {
            let mut sum = SetHash::default();
            sum.add(&fact);
            sum.digest()
        };
        let kinds = [
            fact("ab").text("c"),
            fact("a").text("bc"),
            fact("abc").optional(None),
            fact("abc").optional(Some("")),
            fact("abc").number(0),
            fact("abc"),
        ];
        let digests: std::collections::BTreeSet<_> = kinds.into_iter().map(digest).collect();
        assert_eq!(digests.len(), 6);
    }

    #[test]
    fn parts_are_told_apart_and_costs_stay_out() {
        let empty = StateHash::default();
        for part in Part::ALL {
            let mut state = StateHash::default();
            state.add(&Fact::new(part, "test"));
            assert_eq!(state.digest() == empty.digest(), part == Part::Costs);
        }
    }
}
