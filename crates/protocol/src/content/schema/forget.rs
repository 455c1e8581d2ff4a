//! FORGET (messages.md §8.5). `aggregates` takes any text, beyond upstream,
//! which only knows keys that look like hashes (§13).

use serde_json::Value;

use super::scalar::{Coercion, hash, short_text, text, time};
use super::walk::Walk;
use crate::content::ForgetContent;
use crate::limits;

/// Reads the content of a FORGET.
pub(super) fn read<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<ForgetContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "ForgetContent")?;
    let address = fields.required(walk, "address", text);
    let time = fields.required(walk, "time", time(Coercion::Lax));
    let hashes = fields.required(walk, "hashes", |walk, value| {
        walk.list(value, limits::FORGET_TARGETS_MAX, hash)
    });
    let aggregates = fields.optional(walk, "aggregates", |walk, value| {
        walk.list(value, limits::FORGET_TARGETS_MAX, text)
    });
    let reason = fields.nullable(walk, "reason", short_text(limits::FORGET_REASON_CHARS_MAX));
    fields.closed(walk, &["address", "time", "hashes", "aggregates", "reason"]);
    walk.clean(mark)?;
    Some(ForgetContent {
        address: address?,
        time: time?,
        hashes: hashes?,
        aggregates: aggregates?.unwrap_or_default(),
        reason: reason?,
    })
}
