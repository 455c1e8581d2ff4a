//! What a reconciliation found.

use super::element::{Element, Range};

/// What one side has and the other has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Only the other side has these.
    pub theirs: Vec<Element>,
    /// Here only the other side has anything.
    pub their_ranges: Vec<Range>,
    /// Only this side has these.
    pub ours: Vec<Element>,
    /// Here only this side has anything.
    pub our_ranges: Vec<Range>,
}

impl Difference {
    /// True when both sides have the same.
    pub fn is_empty(&self) -> bool {
        *self == Difference::default()
    }
}
