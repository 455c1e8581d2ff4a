//! POST (messages.md §8.2).

use serde_json::{Value, json};

use super::metadata::nested_tags;
use super::payment::chain;
use super::scalar::{Coercion, choice, hash, number, short_text, text, time};
use super::walk::Walk;
use crate::content::PostContent;
use crate::{ItemType, limits};

/// Reads the content of a POST.
pub(super) fn read<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<PostContent> {
    let mark = walk.mark();
    let fields = walk.object(value, "PostContent")?;
    let address = fields.required(walk, "address", text);
    let time = fields.required(walk, "time", time(Coercion::Lax));
    let content = fields.optional(walk, "content", |walk, value| {
        nested_tags(walk, value)?;
        Some(value.clone())
    });
    let reference = fields.nullable(walk, "ref", |walk, value| {
        walk.either(
            value,
            &[("str", plain_reference), ("ChainRef", chain_reference)],
        )
    });
    let post_type = fields.required(walk, "type", |walk, value| {
        let post_type = text(walk, value)?;
        let refers = matches!(&reference, Some(Some(reference)) if *reference != json!(""));
        if post_type == "amend" && !refers {
            walk.broken("A 'ref' is required for POST type 'amend'");
            return None;
        }
        Some(post_type)
    });
    fields.closed(walk, &["address", "time", "content", "ref", "type"]);
    walk.clean(mark)?;
    Some(PostContent {
        address: address?,
        time: time?,
        content: content?.unwrap_or_default(),
        reference: reference?.unwrap_or_default(),
        post_type: post_type?,
    })
}

fn plain_reference<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Value> {
    text(walk, value).map(Value::String)
}

/// A whole message in place of its hash; kept as an object, counts as its
/// `item_hash`.
fn chain_reference<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Value> {
    let mark = walk.mark();
    let fields = walk.object(value, "ChainRef")?;
    let chain = fields.required(walk, "chain", chain);
    let channel = fields.nullable(
        walk,
        "channel",
        short_text(limits::CHAIN_REF_CHANNEL_CHARS_MAX),
    );
    let item_content = fields.required(walk, "item_content", text);
    let item_hash = fields.required(walk, "item_hash", hash);
    let item_type = fields.required(walk, "item_type", item_type());
    let sender = fields.required(walk, "sender", text);
    let signature = fields.required(walk, "signature", text);
    let time = fields.required(walk, "time", number);
    let message_type = fields.optional(walk, "type", choice("literal_error", &[("POST", "POST")]));
    walk.clean(mark)?;
    Some(json!({
        "chain": chain?, "channel": channel?, "item_content": item_content?, "item_hash": item_hash?,
        "item_type": item_type?, "sender": sender?, "signature": signature?, "time": time?,
        "type": message_type?.unwrap_or("POST"),
    }))
}

/// `inline`, `storage` or `ipfs`.
pub(super) fn item_type<'v>() -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<ItemType> + Copy {
    choice(
        "enum",
        &[
            ("inline", ItemType::Inline),
            ("storage", ItemType::Storage),
            ("ipfs", ItemType::Ipfs),
        ],
    )
}
