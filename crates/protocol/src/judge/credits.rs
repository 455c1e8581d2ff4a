//! Posts that grant, spend and hand over credits (processing.md §14.2).

use super::rules::{
    CREDIT_DISTRIBUTION_POST_TYPE, CREDIT_EXPENSE_POST_TYPE, CREDIT_PRECISION_CUTOFF_SECONDS,
    CREDIT_PRECISION_FACTOR, CREDIT_TRANSFER_POST_TYPE,
};
use super::{Complete, Effect, Effects, Rules, Stop, content_time};
use crate::content::schema::credits as schema;
use crate::content::{PostContent, SchemaError};
use crate::credits::{CreditMessage, Handover, Movements, Source, Transfer};
use crate::decimal::Decimal;
use crate::rejection::Rejection;
use crate::time::Timestamp;
use crate::view::View;

/// Adds what a credit post moves; a post of another type, of another channel
/// or of somebody who may not is an ordinary one.
pub(super) fn judge<V: View>(
    complete: &Complete,
    post: &PostContent,
    (view, rules, now): (&V, &Rules, Timestamp),
    effects: &mut Effects,
) -> Result<(), Stop> {
    let channel = complete.message.channel.as_deref();
    let believed = rules.credits_channels.is_empty()
        || channel.is_some_and(|name| rules.credits_channels.iter().any(|known| known == name));
    if !believed || !super::payment::is_truthy(&post.content) {
        return Ok(());
    }
    let is_whitelisted = rules.credits_addresses.contains(&post.address);
    let time = content_time(&complete.content)?;
    let movements = match post.post_type.as_str() {
        CREDIT_DISTRIBUTION_POST_TYPE if is_whitelisted => {
            Movements::Distribution(read("distribution", schema::distribution(&post.content))?)
        }
        CREDIT_EXPENSE_POST_TYPE if is_whitelisted => {
            Movements::Expense(read("expense", schema::expense(&post.content))?)
        }
        CREDIT_TRANSFER_POST_TYPE => {
            let handovers = read("transfer", schema::transfer(&post.content))?;
            check_recipients(&post.address, &handovers)?;
            if !is_whitelisted {
                check_balance(&post.address, &handovers, view, now)?;
            }
            Movements::Transfer(Transfer {
                sender: post.address.clone(),
                source: if is_whitelisted {
                    Source::Created
                } else {
                    Source::Lots
                },
                handovers,
            })
        }
        _ => return Ok(()),
    };
    let movements = in_units(movements, time)?;
    effects.push(Effect::Credits(Box::new(CreditMessage { time, movements })));
    Ok(())
}

fn read<T>(kind: &str, read: Result<T, Vec<SchemaError>>) -> Result<T, Rejection> {
    read.map_err(|faults| {
        Rejection::invalid_format(format!(
            "Invalid credit {kind} content: {}",
            schema::written(&faults)
        ))
    })
}

fn check_recipients(sender: &str, handovers: &[Handover]) -> Result<(), Rejection> {
    if handovers.iter().any(|handover| handover.address == sender) {
        return Err(Rejection::invalid_format(format!(
            "Self-transfer not allowed: sender and recipient are both {sender}"
        )));
    }
    Ok(())
}

/// The sum counts as written, also where amounts count ten thousand times: the
/// network lets in more than the lots can pay, and they pay what they have.
fn check_balance<V: View>(
    sender: &str,
    handovers: &[Handover],
    view: &V,
    now: Timestamp,
) -> Result<(), Stop> {
    let required: i128 = handovers
        .iter()
        .map(|handover| i128::from(handover.amount))
        .sum();
    let available = view.credit_balance(sender, now)?;
    let enough = Decimal::parse(&required.to_string()).is_some_and(|sum| available >= sum);
    if enough {
        return Ok(());
    }
    Err(Rejection::invalid_format(format!(
        "Insufficient credit balance for transfer. Required: {required}, Available: {available}"
    ))
    .into())
}

/// Amounts in the unit of today.
fn in_units(mut movements: Movements, time: Timestamp) -> Result<Movements, Rejection> {
    if time >= Timestamp::from_seconds(CREDIT_PRECISION_CUTOFF_SECONDS) {
        return Ok(movements);
    }
    let amounts: Vec<&mut i64> = match &mut movements {
        Movements::Distribution(distribution) => distribution
            .grants
            .iter_mut()
            .map(|grant| &mut grant.amount)
            .collect(),
        Movements::Expense(charges) => charges
            .iter_mut()
            .map(|charge| &mut charge.amount)
            .collect(),
        Movements::Transfer(transfer) => transfer
            .handovers
            .iter_mut()
            .map(|handover| &mut handover.amount)
            .collect(),
    };
    for amount in amounts {
        *amount = amount.checked_mul(CREDIT_PRECISION_FACTOR).ok_or_else(|| {
            Rejection::invalid_format(format!(
                "a credit amount of {amount} before 2026-02-02 counts {CREDIT_PRECISION_FACTOR} times and is \
                 beyond 64 bits then; grant less"
            ))
        })?;
    }
    Ok(movements)
}
