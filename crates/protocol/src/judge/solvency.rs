//! Whether an address still pays for everything it has (processing.md §18).
//!
//! What it has is taken in the order of processing, each from what the earlier
//! ones left; so the newest go first, and come back first-served.

use super::rules::{COST_CUTOFF_HEIGHT, CREDIT_ONLY_CUTOFF_SECONDS};
use crate::content::PaymentType;
use crate::decimal::Decimal;
use crate::limits::FREE_STORE_BYTES_MAX;
use crate::status::Status;
use crate::time::Timestamp;

/// A message that must be paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The message.
    pub item_hash: String,
    /// What must be there for it, in the unit of the balance.
    pub cost: Decimal,
    /// Height of its first confirmation on ETH.
    pub height: Option<i64>,
    /// What is known of it.
    pub status: Option<Status>,
}

/// What must happen to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not paid for: removal begins.
    Remove(String),
    /// It is paid for again: its removal is cancelled.
    Recover(String),
}

/// Compares what an address holds with what is claimed of it. Messages that no
/// transaction confirms yet hold nothing back and are left alone.
pub fn of_holder(available: Decimal, claims: &[Claim]) -> Vec<Change> {
    let counted: Vec<(&Claim, bool)> = claims
        .iter()
        .filter_map(|claim| Some((claim, claim.height? >= COST_CUTOFF_HEIGHT)))
        .collect();
    weigh(available, counted)
}

/// Compares credits with what is claimed of them.
pub fn of_credits(available: Decimal, claims: &[Claim]) -> Vec<Change> {
    weigh(
        available,
        claims.iter().map(|claim| (claim, true)).collect(),
    )
}

/// Pairs a claim with whether it may be removed.
fn weigh(mut available: Decimal, claims: Vec<(&Claim, bool)>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (claim, is_removable) in claims {
        let is_paid = available >= claim.cost || !is_removable;
        available = available.minus(&claim.cost).max(Decimal::zero());
        let item_hash = claim.item_hash.clone();
        match claim.status {
            Some(Status::Processed) if !is_paid => changes.push(Change::Remove(item_hash)),
            Some(Status::Removing) if is_paid => changes.push(Change::Recover(item_hash)),
            _ => {}
        }
    }
    changes
}

/// True for a file that is kept without payment: at most 25 MiB, and (paid with
/// credits) of a message from before everything must be paid with credits.
pub fn is_free_file(size_bytes: u64, payment: PaymentType, time: Timestamp) -> bool {
    let is_early = time < Timestamp::from_seconds(CREDIT_ONLY_CUTOFF_SECONDS);
    (1..=FREE_STORE_BYTES_MAX).contains(&size_bytes) && (payment != PaymentType::Credit || is_early)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, cost: u64, height: Option<i64>, status: Status) -> Claim {
        Claim {
            item_hash: name.to_owned(),
            cost: Decimal::from(cost),
            height,
            status: Some(status),
        }
    }

    #[test]
    fn earlier_messages_are_paid_first() {
        let late = Some(COST_CUTOFF_HEIGHT);
        let claims = [
            claim("old", 5, Some(1), Status::Processed),
            claim("a", 4, late, Status::Removing),
            claim("unconfirmed", 100, None, Status::Processed),
            claim("b", 4, late, Status::Processed),
            claim("c", 1, late, Status::Processed),
        ];
        let changes = of_holder(Decimal::from(10u64), &claims);
        let (remove, recover) = (Change::Remove("b".into()), Change::Recover("a".into()));
        // What b took cannot pay for c.
        assert_eq!(changes, [recover, remove, Change::Remove("c".into())]);
        assert_eq!(of_holder(Decimal::zero(), &claims[..1]), []);
    }

    #[test]
    fn credits_need_no_confirmation() {
        let claims = [
            claim("a", 5, None, Status::Processed),
            claim("gone", 5, None, Status::Removed),
        ];
        let changes = of_credits(Decimal::from(4u64), &claims);
        assert_eq!(changes, [Change::Remove("a".into())]);
    }

    #[test]
    fn small_files_are_free() {
        let (early, late) = (
            Timestamp::from_seconds(1_700_000_000),
            Timestamp::from_seconds(CREDIT_ONLY_CUTOFF_SECONDS),
        );
        for (size, payment, time, free) in [
            (FREE_STORE_BYTES_MAX, PaymentType::Hold, late, true),
            (FREE_STORE_BYTES_MAX + 1, PaymentType::Hold, early, false),
            (0, PaymentType::Hold, early, false),
            (1, PaymentType::Credit, early, true),
            (1, PaymentType::Credit, late, false),
        ] {
            assert_eq!(
                is_free_file(size, payment, time),
                free,
                "{size} {payment:?}"
            );
        }
    }
}
