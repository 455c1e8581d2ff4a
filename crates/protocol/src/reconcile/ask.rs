//! The side that asks, step by step.

use std::ops::ControlFlow;

use super::difference::Difference;
use super::element::{Element, Range};
use super::frame::{Claim, Piece, Reply, Request};
use super::sketch::{Decoder, Salt, Symbol, fill};
use super::{PARTS, Set};
use crate::limits::{RECONCILE_CLAIMS_MAX, RECONCILE_DIFFERENCE_MAX, RECONCILE_SYMBOL_PLACES_MAX};

/// Elements of both sides that are few enough for a sketch of all of them.
const FEW: u64 = 20_000;
/// How often ranges are divided.
const DEPTH_MAX: u32 = 5;
/// Symbols of the first sketch, beside one and a half for each difference that
/// is certain.
const SYMBOLS_LEAST: u64 = 64;
/// The same where most parts differ.
const SYMBOLS_SPREAD: u64 = 2_048;
/// Bytes of a symbol and of an element in a frame.
const SYMBOL_BYTES: u64 = 26;
const ELEMENT_BYTES: u64 = 16;

/// Finds the difference between the own set and another one.
#[derive(Debug)]
pub struct Asker {
    salt: Salt,
    asked: Asked,
    depth: u32,
    found: Difference,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Ask this, and pass the reply to [`Asker::hear`].
    Ask(Request),
    /// All is known, or as much of it as is told at once.
    Done(Difference),
}

/// Why a reconciliation ended without a result.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError<E> {
    /// The other side does not keep to the protocol.
    #[error("the peer answered {0}")]
    Nonsense(&'static str),
    /// The own set could not be read.
    #[error(transparent)]
    Set(#[from] E),
}

#[derive(Debug)]
enum Asked {
    Compare(Vec<Claim>),
    Sketch {
        ranges: Vec<Range>,
        decoder: Decoder,
        asked: u32,
        theirs: u64,
    },
    Elements(Vec<Range>),
}

/// A range that is not the same on both sides.
#[derive(Clone, Copy)]
struct Differing {
    range: Range,
    ours: u64,
    theirs: u64,
}

impl Asker {
    /// Begins with everything. The salt is random, and nobody knows it before.
    pub fn begin<S: Set>(set: &S, salt: Salt) -> Result<(Asker, Request), S::Error> {
        let claim = claim(set, Range::ALL)?;
        let asker = Asker {
            salt,
            asked: Asked::Compare(vec![claim]),
            depth: 1,
            found: Difference::default(),
        };
        Ok((asker, Request::Compare(vec![claim])))
    }

    /// Goes on with the reply to what was asked last.
    pub fn hear<S: Set>(&mut self, set: &S, reply: Reply) -> Result<Step, AskError<S::Error>> {
        match (&mut self.asked, reply) {
            (Asked::Compare(claims), Reply::Compared(compared)) => {
                let claims = std::mem::take(claims);
                self.compare(set, &claims, compared)
            }
            (Asked::Sketch { .. }, Reply::Symbols(symbols)) => self.decode(set, &symbols),
            (Asked::Elements(ranges), Reply::Elements { found, is_end }) => {
                let ranges = std::mem::take(ranges);
                self.list(set, ranges, (&found, is_end))
            }
            _ => Err(AskError::Nonsense("something that was not asked")),
        }
    }

    fn compare<S: Set>(
        &mut self,
        set: &S,
        claims: &[Claim],
        compared: Vec<Option<Vec<Piece>>>,
    ) -> Result<Step, AskError<S::Error>> {
        if compared.len() != claims.len() {
            return Err(AskError::Nonsense("another number of ranges"));
        }
        let (mut differing, mut seen) = (Vec::new(), 0);
        for (claim, pieces) in claims.iter().zip(compared) {
            let Some(pieces) = pieces else { continue };
            seen += pieces.len();
            self.differing(set, claim, &pieces, &mut differing)?;
        }
        let Some(whole) = Totals::of(&differing) else {
            return Ok(self.done());
        };
        let is_spread = differing.len() * 2 > seen && seen >= PARTS / 2;
        let is_few = whole.ours + whole.theirs <= FEW;
        self.depth += 1;
        if is_few || is_spread || self.depth > DEPTH_MAX || differing.len() > RECONCILE_CLAIMS_MAX {
            let ranges = merged(differing.iter().map(|one| one.range));
            return Ok(self.sketch(ranges, &whole, is_spread && !is_few));
        }
        let mut claims = Vec::with_capacity(differing.len());
        for one in &differing {
            claims.push(claim(set, one.range)?);
        }
        self.asked = Asked::Compare(claims.clone());
        Ok(Step::Ask(Request::Compare(claims)))
    }

    /// Finds the pieces of a range that differ; those that only one side has
    /// are found with that.
    fn differing<S: Set>(
        &mut self,
        set: &S,
        claim: &Claim,
        pieces: &[Piece],
        differing: &mut Vec<Differing>,
    ) -> Result<(), AskError<S::Error>> {
        if pieces.is_empty() {
            self.found.our_ranges.push(claim.range);
            return Ok(());
        }
        let mut start = claim.range.start;
        for piece in pieces {
            if piece.end <= start || piece.end > claim.range.end {
                return Err(AskError::Nonsense("parts that are not in order"));
            }
            let range = Range {
                start,
                end: piece.end,
            };
            start = piece.end;
            let own = set.summary(range)?;
            match (own.count, piece.count) {
                (0, 0) => {}
                (0, _) => self.found.their_ranges.push(range),
                (_, 0) => self.found.our_ranges.push(range),
                (ours, theirs) => {
                    if ours != theirs || own.fingerprint() != piece.fingerprint {
                        differing.push(Differing {
                            range,
                            ours,
                            theirs,
                        });
                    }
                }
            }
        }
        if start != claim.range.end {
            return Err(AskError::Nonsense("parts that end too early"));
        }
        Ok(())
    }

    fn sketch(&mut self, ranges: Vec<Range>, whole: &Totals, is_spread: bool) -> Step {
        let least = match is_spread {
            true => SYMBOLS_SPREAD,
            false => SYMBOLS_LEAST,
        };
        let symbols = (whole.certain + whole.certain / 2 + SYMBOLS_LEAST).max(least);
        if symbols * SYMBOL_BYTES >= whole.theirs * ELEMENT_BYTES {
            return self.elements(ranges);
        }
        let asked = symbols.min(u64::from(RECONCILE_SYMBOL_PLACES_MAX)) as u32;
        let step = Step::Ask(Request::Sketch {
            ranges: ranges.clone(),
            salt: self.salt,
            places: 0..asked,
        });
        self.asked = Asked::Sketch {
            ranges,
            decoder: Decoder::new(self.salt),
            asked,
            theirs: whole.theirs,
        };
        step
    }

    fn decode<S: Set>(&mut self, set: &S, symbols: &[Symbol]) -> Result<Step, AskError<S::Error>> {
        let Asked::Sketch {
            ranges,
            decoder,
            asked,
            theirs,
        } = &mut self.asked
        else {
            return Err(AskError::Nonsense("something that was not asked"));
        };
        let places = decoder.len()..*asked;
        if symbols.len() != places.len() {
            return Err(AskError::Nonsense("another number of symbols"));
        }
        let mut filling = fill(self.salt, places);
        for range in ranges.iter() {
            set.each(*range, &mut |element| {
                filling.add(element);
                ControlFlow::Continue(())
            })?;
        }
        if decoder.add(symbols, &filling.finish()) {
            self.found.theirs.append(&mut decoder.theirs);
            self.found.ours.append(&mut decoder.ours);
            return Ok(self.done());
        }
        let next = (*asked).saturating_mul(2);
        let next = next.min(decoder.len() + RECONCILE_SYMBOL_PLACES_MAX);
        if u64::from(next) * SYMBOL_BYTES >= *theirs * ELEMENT_BYTES {
            let ranges = std::mem::take(ranges);
            return Ok(self.elements(ranges));
        }
        let (places, ranges) = (*asked..next, ranges.clone());
        *asked = next;
        let salt = self.salt;
        Ok(Step::Ask(Request::Sketch {
            ranges,
            salt,
            places,
        }))
    }

    fn elements(&mut self, ranges: Vec<Range>) -> Step {
        self.asked = Asked::Elements(ranges.clone());
        Step::Ask(Request::Elements(ranges))
    }

    /// Compares a page of elements with the own ones up to its last.
    fn list<S: Set>(
        &mut self,
        set: &S,
        ranges: Vec<Range>,
        (theirs, is_end): (&[Element], bool),
    ) -> Result<Step, AskError<S::Error>> {
        let mut theirs = theirs.iter().copied().peekable();
        let mut left = Vec::new();
        let mut last = None;
        for range in ranges {
            let mut told = Vec::new();
            while let Some(element) = theirs.next_if(|element| range.contains(*element)) {
                if last.is_some_and(|last| last >= element) {
                    return Err(AskError::Nonsense("elements that are not in order"));
                }
                last = Some(element);
                told.push(element);
            }
            let known_to = match is_end || theirs.peek().is_some() {
                true => range.end,
                // The page may end within this range.
                false => told.last().map_or(range.start, |last| last.after()),
            };
            let known = Range {
                start: range.start,
                end: known_to,
            };
            self.merge(set, known, &told)?;
            if known_to < range.end {
                left.push(Range {
                    start: known_to,
                    end: range.end,
                });
            }
        }
        if theirs.next().is_some() {
            return Err(AskError::Nonsense("elements of other ranges"));
        }
        let is_much = self.found.theirs.len() + self.found.ours.len() >= RECONCILE_DIFFERENCE_MAX;
        if left.is_empty() || is_much {
            return Ok(self.done());
        }
        if last.is_none() {
            return Err(AskError::Nonsense("an empty page before the end"));
        }
        Ok(self.elements(left))
    }

    /// Both are in order: what is in one alone?
    fn merge<S: Set>(&mut self, set: &S, range: Range, theirs: &[Element]) -> Result<(), S::Error> {
        let mut theirs = theirs.iter().copied().peekable();
        let found = &mut self.found;
        set.each(range, &mut |own| {
            while let Some(element) = theirs.next_if(|element| *element < own) {
                found.theirs.push(element);
            }
            if theirs.next_if_eq(&own).is_none() {
                found.ours.push(own);
            }
            ControlFlow::Continue(())
        })?;
        found.theirs.extend(theirs);
        Ok(())
    }

    fn done(&mut self) -> Step {
        let mut found = std::mem::take(&mut self.found);
        found.their_ranges = merged(found.their_ranges);
        found.our_ranges = merged(found.our_ranges);
        Step::Done(found)
    }
}

/// Of all ranges that differ.
struct Totals {
    ours: u64,
    theirs: u64,
    /// Differences that there are at least.
    certain: u64,
}

impl Totals {
    /// `None` when there are none.
    fn of(differing: &[Differing]) -> Option<Totals> {
        let sum = |of: fn(&Differing) -> u64| {
            let counts = differing.iter().map(of);
            counts.fold(0, u64::saturating_add)
        };
        (!differing.is_empty()).then(|| Totals {
            // Counts of the other side may be anything.
            ours: sum(|one| one.ours).min(u64::MAX >> 8),
            theirs: sum(|one| one.theirs).min(u64::MAX >> 8),
            certain: sum(|one| one.ours.abs_diff(one.theirs)).min(u64::MAX >> 8),
        })
    }
}

fn claim<S: Set>(set: &S, range: Range) -> Result<Claim, S::Error> {
    let summary = set.summary(range)?;
    Ok(Claim {
        range,
        count: summary.count,
        fingerprint: summary.fingerprint(),
    })
}

/// Neighbours become one.
fn merged(ranges: impl IntoIterator<Item = Range>) -> Vec<Range> {
    let mut all: Vec<Range> = ranges.into_iter().collect();
    all.sort_by_key(|range| range.start);
    let mut merged: Vec<Range> = Vec::with_capacity(all.len());
    for range in all {
        match merged.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => merged.push(range),
        }
    }
    merged
}
