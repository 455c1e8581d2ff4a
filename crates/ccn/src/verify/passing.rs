//! Whether what a neighbour said is passed on to others: known as soon as the
//! signature is.

use beth_network::{Ticket, Verdict};
use beth_store::rows::Outcome;

use crate::writer::Verified;

/// Says whether a message that was heard is passed on.
pub(super) fn settle(ticket: Option<Ticket>, verdict: Verdict) {
    if let Some(ticket) = ticket {
        ticket.settle(verdict);
    }
}

/// Of a copy: it is passed on when it is in force. Of a hash that is final
/// nothing was compared, and nobody needs it.
pub(super) fn of_known(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Known => Verdict::Accept,
        _ => Verdict::Ignore,
    }
}

/// Of a message whose signature was not found right.
pub(super) fn of_unsigned(verdict: &Verified) -> Verdict {
    match verdict {
        Verified::Malformed { .. } | Verified::Invalid { .. } | Verified::Refused { .. } => {
            Verdict::Reject
        }
        _ => Verdict::Ignore,
    }
}
