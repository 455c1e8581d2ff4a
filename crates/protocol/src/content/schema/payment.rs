//! `payment` (messages.md §8.4). Unknown members are dropped.

use serde_json::Value;

use super::scalar::{choice, text, unknown_choice};
use super::walk::Walk;
use crate::Chain;
use crate::content::{Payment, PaymentType};

/// Reads a payment.
pub(super) fn payment<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Payment> {
    let mark = walk.mark();
    let fields = walk.object(value, "Payment")?;
    let chain = fields.nullable(walk, "chain", chain);
    let receiver = fields.nullable(walk, "receiver", text);
    let payment_type = fields.required(
        walk,
        "type",
        choice(
            "enum",
            &[
                ("hold", PaymentType::Hold),
                ("superfluid", PaymentType::Superfluid),
                ("credit", PaymentType::Credit),
            ],
        ),
    );
    walk.clean(mark)?;
    Some(Payment {
        chain: chain?,
        receiver: receiver?,
        payment_type: payment_type?,
    })
}

/// Reads the name of a chain.
pub(super) fn chain<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Chain> {
    let chain = value.as_str().and_then(Chain::parse);
    if chain.is_none() {
        unknown_choice(walk, "enum", Chain::ALL.iter().map(|chain| chain.as_str()));
    }
    chain
}
