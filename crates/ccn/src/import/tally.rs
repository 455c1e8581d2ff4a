//! What became of the messages of an import.

use std::collections::BTreeMap;

use beth_protocol::Rejection;
use beth_store::rows::Outcome;

use crate::limits;

/// Counts of an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Applied by this import.
    pub processed: u64,
    /// Applied, forgotten or removed before.
    pub known: u64,
    /// Refused, by the number of the code.
    pub refused: BTreeMap<i32, Refused>,
    /// Lines that are no messages.
    pub skipped: u64,
    /// The first of them.
    pub first_skipped: Vec<Skipped>,
    /// Hashes that waited when they were submitted.
    pub late: Vec<String>,
    /// Such messages beyond [`limits::IMPORT_LATE_MAX`]: not followed.
    pub unfollowed: u64,
}

/// Refusals with one code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub item_hash: String,
    /// What was said about it.
    pub reason: String,
}

/// A line that is no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Line of a file from 1, or place in the list of another node.
    pub number: u64,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl Tally {
    /// Everything that is dealt with.
    pub fn entries(&self) -> u64 {
        let refused: u64 = self.refused.values().map(|one| one.count).sum();
        self.processed + self.known + refused + self.skipped + self.waiting()
    }

    /// Messages that wait.
    pub fn waiting(&self) -> u64 {
        self.late.len() as u64 + self.unfollowed
    }

    pub(super) fn add(&mut self, item_hash: String, outcome: Outcome) {
        match outcome {
            Outcome::Processed => self.processed += 1,
            Outcome::Known | Outcome::Final(_) => self.known += 1,
            Outcome::Pending(_) => self.wait(item_hash),
            Outcome::Rejected(rejection) => self.refuse(item_hash, &rejection),
        }
    }

    pub(super) fn refuse(&mut self, item_hash: String, rejection: &Rejection) {
        self.refuse_as(
            rejection.code.number(),
            Refused {
                count: 1,
                item_hash,
                reason: rejection.to_string(),
            },
        );
    }

    pub(super) fn refuse_as(&mut self, code: i32, refused: Refused) {
        match self.refused.get_mut(&code) {
            Some(known) => known.count += refused.count,
            None => drop(self.refused.insert(code, refused)),
        }
    }

    pub(super) fn skip(&mut self, skipped: Skipped) {
        self.skipped += 1;
        if self.first_skipped.len() < limits::IMPORT_EXAMPLES_MAX {
            self.first_skipped.push(skipped);
        }
    }

    pub(super) fn join(&mut self, other: Tally) {
        self.processed += other.processed;
        self.known += other.known;
        self.unfollowed += other.unfollowed;
        for (code, refused) in other.refused {
            self.refuse_as(code, refused);
        }
        self.skipped += other.skipped;
        let room = limits::IMPORT_EXAMPLES_MAX.saturating_sub(self.first_skipped.len());
        self.first_skipped
            .extend(other.first_skipped.into_iter().take(room));
        for hash in other.late {
            self.wait(hash);
        }
    }

    fn wait(&mut self, item_hash: String) {
        if self.late.len() < limits::IMPORT_LATE_MAX {
            self.late.push(item_hash);
        } else {
            self.unfollowed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beth_protocol::rejection::Code;

    #[test]
    fn tallies_add_up_and_keep_the_first_example() {
        let mut one = Tally::default();
        one.add("a".into(), Outcome::Processed);
        one.add(
            "b".into(),
            Outcome::Rejected(Rejection::bare(Code::InvalidSignature)),
        );
        let mut two = Tally::default();
        two.add(
            "c".into(),
            Outcome::Rejected(Rejection::bare(Code::InvalidSignature)),
        );
        two.add(
            "d".into(),
            Outcome::Pending(Rejection::bare(Code::FileUnavailable)),
        );
        for number in 1..=100 {
            two.skip(Skipped {
                number,
                fault: "no JSON",
            });
        }
        one.join(two);
        assert_eq!((one.entries(), one.waiting(), one.skipped), (104, 1, 100));
        assert_eq!(one.first_skipped.len(), limits::IMPORT_EXAMPLES_MAX);
        let refused = &one.refused[&1];
        assert_eq!((refused.count, refused.item_hash.as_str()), (2, "b"));
    }
}
