//! Sketches of sets: as many symbols as there are differences, times 1.4, tell
//! which they are, however large the sets are ("Practical Rateless Set
//! Reconciliation", SIGCOMM 2024).
//!
//! ```text
//!   element ─▶ symbols 0, a, b, c …   ever sparser, by a generator that the element seeds
//!   symbol  =  xor of its elements, xor of their checks, their number
//!   theirs − ours ─▶ a symbol with one element in it ─▶ take that out of its others ─▶ …
//! ```
//!
//! Symbol `i` has an element with probability `1 / (1 + i/2)`; the first one has
//! all, and is empty at the end.

use std::collections::VecDeque;
use std::ops::Range as Places;

use super::element::Element;

/// What the checks of one sketch are keyed with, so that nobody makes elements
/// that spoil it.
pub type Salt = [u8; 32];

/// One symbol of a sketch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symbol {
    /// Exclusive or of the bytes of its elements.
    pub elements: [u8; 16],
    /// Exclusive or of their checks.
    pub checks: u64,
    /// Elements, those of the other side less ours.
    pub count: i64,
}

/// An element and what the salt makes of it.
#[derive(Clone, Copy)]
struct Keyed {
    element: Element,
    check: u64,
    seed: u64,
}

impl Keyed {
    fn of(element: Element, salt: &Salt) -> Keyed {
        let hash = blake3::keyed_hash(salt, &element.to_bytes());
        let lane = |from: usize| {
            let bytes = hash.as_bytes()[from..from + 8].try_into();
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        Keyed {
            element,
            check: lane(0),
            seed: lane(8),
        }
    }

    fn places(self) -> Sparse {
        Sparse {
            next: Some(0),
            state: self.seed,
        }
    }
}

/// The symbols that an element belongs to, in order.
struct Sparse {
    next: Option<u32>,
    state: u64,
}

impl Iterator for Sparse {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let place = self.next?;
        // Splitmix64: one step of a generator that passes every seed.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // In (0, 1], and exact: 53 bits fit.
        let chance = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let gap = ((f64::from(place) + 1.5) * (1.0 / chance.sqrt() - 1.0)).ceil();
        let gap = (gap as u32).max(1);
        self.next = place.checked_add(gap);
        Some(place)
    }
}

impl Symbol {
    fn change(&mut self, keyed: &Keyed, count: i64) {
        for (mine, theirs) in self.elements.iter_mut().zip(keyed.element.to_bytes()) {
            *mine ^= theirs;
        }
        self.checks ^= keyed.check;
        self.count = self.count.wrapping_add(count);
    }

    fn minus(&self, other: &Symbol) -> Symbol {
        let mut elements = self.elements;
        for (mine, theirs) in elements.iter_mut().zip(other.elements) {
            *mine ^= theirs;
        }
        Symbol {
            elements,
            checks: self.checks ^ other.checks,
            count: self.count.wrapping_sub(other.count),
        }
    }

    /// The only element in it.
    fn single(&self, salt: &Salt) -> Option<Keyed> {
        if self.count.unsigned_abs() != 1 {
            return None;
        }
        let keyed = Keyed::of(Element::from_bytes(self.elements), salt);
        (keyed.check == self.checks).then_some(keyed)
    }
}

/// Symbols in whose making elements take part one after the other.
#[derive(Debug)]
pub struct Filling {
    salt: Salt,
    places: Places<u32>,
    symbols: Vec<Symbol>,
}

/// Begins symbols of these places.
pub fn fill(salt: Salt, places: Places<u32>) -> Filling {
    Filling {
        salt,
        symbols: vec![Symbol::default(); places.len()],
        places,
    }
}

impl Filling {
    /// Another element of the set.
    pub fn add(&mut self, element: Element) {
        let keyed = Keyed::of(element, &self.salt);
        for place in keyed.places() {
            if place >= self.places.end {
                return;
            }
            let within = place.checked_sub(self.places.start);
            if let Some(symbol) = within.and_then(|place| self.symbols.get_mut(place as usize)) {
                symbol.change(&keyed, 1);
            }
        }
    }

    /// The symbols.
    pub fn finish(self) -> Vec<Symbol> {
        self.symbols
    }
}

/// Takes sketches of two sets apart.
#[derive(Debug)]
pub struct Decoder {
    salt: Salt,
    /// What is left of theirs less ours.
    rest: Vec<Symbol>,
    /// Found so far: those that only the other side has, and ours.
    pub theirs: Vec<Element>,
    /// See above.
    pub ours: Vec<Element>,
}

impl Decoder {
    /// For sketches of this salt.
    pub fn new(salt: Salt) -> Decoder {
        Decoder {
            salt,
            rest: Vec::new(),
            theirs: Vec::new(),
            ours: Vec::new(),
        }
    }

    /// Symbols so far.
    pub fn len(&self) -> u32 {
        self.rest.len() as u32
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next symbols of both sides; true when everything is found.
    pub fn add(&mut self, theirs: &[Symbol], ours: &[Symbol]) -> bool {
        let from = self.len();
        let pairs = theirs.iter().zip(ours);
        self.rest
            .extend(pairs.map(|(theirs, ours)| theirs.minus(ours)));
        let salt = self.salt;
        let end = self.len();
        for (elements, change) in [(&self.theirs, -1), (&self.ours, 1)] {
            for element in elements {
                let keyed = Keyed::of(*element, &salt);
                for place in keyed.places().take_while(|place| *place < end) {
                    if place >= from
                        && let Some(symbol) = self.rest.get_mut(place as usize)
                    {
                        symbol.change(&keyed, change);
                    }
                }
            }
        }
        self.peel();
        self.rest.first() == Some(&Symbol::default())
    }

    fn peel(&mut self) {
        let mut waiting: VecDeque<u32> = (0..self.len()).collect();
        // Each symbol tells one element at most; a forged sketch might go on.
        let most = self.rest.len();
        while let Some(place) = waiting.pop_front() {
            let Some(symbol) = self.rest.get(place as usize) else {
                continue;
            };
            let Some(keyed) = symbol.single(&self.salt) else {
                continue;
            };
            if self.theirs.len() + self.ours.len() >= most {
                return;
            }
            let is_theirs = symbol.count == 1;
            let (found, change) = match is_theirs {
                true => (&mut self.theirs, -1),
                false => (&mut self.ours, 1),
            };
            found.push(keyed.element);
            for place in keyed.places() {
                let Some(symbol) = self.rest.get_mut(place as usize) else {
                    break;
                };
                symbol.change(&keyed, change);
                waiting.push_back(place);
            }
        }
    }
}
