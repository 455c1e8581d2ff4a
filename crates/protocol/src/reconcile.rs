//! Reconciliation: two nodes find out what one has and the other has not, by
//! few bytes and in few round trips (network.md §26, target 1).
//!
//! A node's messages are a set of [`Element`]s in the order of time. Who asks
//! compares sums of ranges until little is left, then takes a sketch of that:
//!
//! ```text
//!  asker                                   answerer
//!    │ ── my count and sum of all ────────────▶ │  equal: that was all
//!    │ ◀──── yours of 64 parts of it ────────── │
//!    │ ── mine of the parts that differ ──────▶ │  again, until parts are small
//!    │ ◀──── …                                  │  or most of them differ
//!    │ ── a sketch of those, please ──────────▶ │
//!    │ ◀──── symbols (more, if they are few) ── │
//!    ▼
//!  [`Difference`]: what to fetch, what to offer
//! ```
//!
//! [`Asker`] is one side, [`answer`] the other, [`Set`] what both ask of their
//! node, [`frame`] the bytes between them. None of them talks to anybody.
//!
//! A peer that lies can make the asker fetch what it knows or miss what that
//! peer has: other peers are asked as well. Every frame is bounded, and every
//! step takes a bounded number of them.

mod answer;
mod ask;
mod difference;
mod element;
pub mod frame;
mod sketch;

pub use answer::answer;
pub use ask::{AskError, Asker, Step};
pub use difference::Difference;
pub use element::{Element, Range, Summary};
pub use sketch::{Decoder, Filling, Salt, Symbol, fill};

/// Into how many parts a range is divided.
pub const PARTS: usize = 64;

/// A part of a divided range: from the end of the one before to its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first element behind it.
    pub end: Element,
    /// What is in it.
    pub summary: Summary,
}

/// What reconciliation asks of a node.
pub trait Set {
    /// Why it cannot answer.
    type Error;

    /// What is in a range.
    fn summary(&self, range: Range) -> Result<Summary, Self::Error>;

    /// Up to [`PARTS`] parts of a range, of about as many elements each; none
    /// when there is nothing in it. The last one ends where the range ends.
    fn divide(&self, range: Range) -> Result<Vec<Part>, Self::Error>;

    /// Shows the elements of a range in order, until told to stop.
    fn each(
        &self,
        range: Range,
        show: &mut dyn FnMut(Element) -> std::ops::ControlFlow<()>,
    ) -> Result<(), Self::Error>;
}

#[cfg(test)]
mod tests;
