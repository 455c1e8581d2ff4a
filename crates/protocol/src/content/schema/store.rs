//! STORE (messages.md §8.4). Unknown members are dropped.

use serde_json::Value;

use super::metadata::tags;
use super::payment::payment;
use super::post::item_type;
use super::scalar::{Coercion, hash, integer, text, time};
use super::walk::Walk;
use crate::content::{PaymentType, StoreContent};

/// Reads the content of a STORE.
pub(super) fn read<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<StoreContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "StoreContent")?;
    let address = fields.required(walk, "address", text);
    let time = fields.required(walk, "time", time(Coercion::Lax));
    let item_type = fields.required(walk, "item_type", item_type());
    let item_hash = fields.required(walk, "item_hash", hash);
    let size = fields.nullable(walk, "size", informational_size);
    let content_type = fields.nullable(walk, "content_type", text);
    let reference = fields.nullable(walk, "ref", text);
    let tags = fields.nullable(walk, "tags", tags);
    let metadata = fields.nullable(walk, "metadata", |walk, value| {
        walk.table(value, usize::MAX).cloned()
    });
    let payment = fields.nullable(walk, "payment", |walk, value| {
        let payment = payment(walk, value)?;
        if payment.payment_type == PaymentType::Superfluid {
            walk.broken("Only 'hold' and 'credit' payment types are supported for store messages");
            return None;
        }
        Some(payment)
    });
    walk.clean(mark)?;
    Some(StoreContent {
        address: address?,
        time: time?,
        item_type: item_type?,
        item_hash: item_hash?,
        size: size?,
        content_type: content_type?,
        reference: reference?,
        tags: tags?,
        metadata: metadata?,
        payment: payment?,
    })
}

/// Nobody relies on it, so that what does not fit is the nearest that does.
fn informational_size<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<i64> {
    let size = integer(walk, value)?;
    Some(size.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}
