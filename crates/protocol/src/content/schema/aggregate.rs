//! AGGREGATE (messages.md §8.3).

use serde_json::{Value, json};

use super::metadata::nested_tags;
use super::scalar::{Coercion, text, time};
use super::walk::Walk;
use crate::content::AggregateContent;

/// Reads the content of an AGGREGATE.
pub(super) fn read<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<AggregateContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "AggregateContent")?;
    let address = fields.required(walk, "address", text);
    let time = fields.required(walk, "time", time(Coercion::Lax));
    let key = fields.required(walk, "key", |walk, value| {
        walk.either(
            value,
            &[("str", plain_key), ("AggregateContentKey", named_key)],
        )
    });
    let content = fields.required(walk, "content", |walk, value| {
        let members = walk.table(value, usize::MAX)?;
        nested_tags(walk, value)?;
        Some(members.clone())
    });
    fields.closed(walk, &["address", "time", "key", "content"]);
    walk.clean(mark)?;
    Some(AggregateContent {
        address: address?,
        time: time?,
        key: key?,
        content: content?,
    })
}

fn plain_key<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Value> {
    text(walk, value).map(Value::String)
}

fn named_key<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Value> {
    let mark = walk.mark();
    let fields = walk.object(value, "AggregateContentKey")?;
    let name = fields.required(walk, "name", text);
    fields.closed(walk, &["name"]);
    walk.clean(mark)?;
    Some(json!({ "name": name? }))
}
