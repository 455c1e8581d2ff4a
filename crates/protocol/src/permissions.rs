//! Who may act for whom: the `security` aggregate (processing.md §8).

use serde_json::Value;

use crate::Chain;
use crate::content::Content;
use crate::message::{Message, MessageType};
use crate::view::{View, ViewError};

/// Key of the aggregate that holds an address's delegations.
pub const SECURITY_KEY: &str = "security";

/// What somebody wants to do, as far as delegations look at it.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// Chain of the message.
    pub chain: Chain,
    /// Channel of the message.
    pub channel: Option<&'a str>,
    /// Type of the message.
    pub message_type: MessageType,
    /// Type of the post, for POST.
    pub post_type: Option<&'a str>,
    /// Key of the aggregate, for AGGREGATE.
    pub aggregate_key: Option<&'a str>,
}

impl<'a> Action<'a> {
    /// The action of publishing this message.
    pub fn of(message: &'a Message, content: &'a Content) -> Action<'a> {
        Action {
            chain: message.chain,
            channel: message.channel.as_deref(),
            message_type: message.message_type,
            post_type: match content {
                Content::Post(post) => Some(&post.post_type),
                _ => None,
            },
            aggregate_key: match content {
                Content::Aggregate(aggregate) => Some(aggregate.key()),
                _ => None,
            },
        }
    }
}

/// True when `sender` is `owner` or one of its delegates for this action.
pub fn may_act<V: View>(
    view: &V,
    sender: &str,
    owner: &str,
    action: Action<'_>,
) -> Result<bool, ViewError> {
    if sender.to_lowercase() == owner.to_lowercase() {
        return Ok(true);
    }
    let Some(security) = view.aggregate(owner, SECURITY_KEY)? else {
        return Ok(false);
    };
    let Some(Value::Array(entries)) = security.get("authorizations") else {
        return Ok(false);
    };
    Ok(entries.iter().any(|entry| grants(entry, sender, action)))
}

fn grants(entry: &Value, sender: &str, action: Action<'_>) -> bool {
    let names_sender = entry
        .get("address")
        .and_then(Value::as_str)
        .is_some_and(|address| address.to_lowercase() == sender.to_lowercase());
    names_sender
        && chain_allows(entry.get("chain"), action.chain)
        && list_allows(entry.get("channels"), action.channel)
        && list_allows(entry.get("types"), Some(action.message_type.as_str()))
        && (action.message_type != MessageType::Post
            || list_allows(entry.get("post_types"), action.post_type))
        && (action.message_type != MessageType::Aggregate
            || list_allows(entry.get("aggregate_keys"), action.aggregate_key))
}

/// A text names the chain, a list those that are allowed.
fn chain_allows(filter: Option<&Value>, chain: Chain) -> bool {
    match filter {
        Some(Value::String(text)) if !text.is_empty() => text == chain.as_str(),
        other => list_allows(other, Some(chain.as_str())),
    }
}

/// An absent, null or empty filter allows everything; a value that the message
/// lacks is only allowed when the list contains null. What is no list (nor
/// empty) allows nothing: a mistake in a delegation must not widen it.
fn list_allows(filter: Option<&Value>, value: Option<&str>) -> bool {
    match filter {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) if items.is_empty() => true,
        Some(Value::Array(items)) => match value {
            Some(value) => items.iter().any(|item| item.as_str() == Some(value)),
            None => items.iter().any(Value::is_null),
        },
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_of_every_shape() {
        let post = Action {
            chain: Chain::Eth,
            channel: Some("NOTES"),
            message_type: MessageType::Post,
            post_type: Some("blog"),
            aggregate_key: None,
        };
        let aggregate = Action {
            message_type: MessageType::Aggregate,
            post_type: None,
            aggregate_key: Some("profile"),
            ..post
        };
        let lists = [
            ("channels", post, "NOTES"),
            ("types", post, "POST"),
            ("post_types", post, "blog"),
            ("aggregate_keys", aggregate, "profile"),
        ];
        let entry = |field: &str, filter: Value| json!({"address": "0xa", field: filter});
        for (field, action, value) in lists.into_iter().chain([("chain", post, "ETH")]) {
            for (filter, is_granted) in [
                (json!(null), true),
                (json!(""), true),
                (json!([]), true),
                (json!([value]), true),
                (json!(["other", 7, value]), true),
                (json!(["other"]), false),
                (json!([[value]]), false),
                (json!("other"), false),
                (json!(value), field == "chain"),
                (json!({}), false),
                (json!({value: true}), false),
                (json!(0), false),
                (json!(1), false),
                (json!(false), false),
                (json!(true), false),
            ] {
                let found = grants(&entry(field, filter.clone()), "0xA", action);
                assert_eq!(found, is_granted, "{field} {filter}");
            }
        }
        let without_channel = Action {
            channel: None,
            ..post
        };
        for (filter, is_granted) in [
            (json!(["NOTES"]), false),
            (json!([null]), true),
            (json!([]), true),
            (json!({}), false),
        ] {
            let found = grants(&entry("channels", filter.clone()), "0xA", without_channel);
            assert_eq!(found, is_granted, "no channel, {filter}");
        }
        for malformed in [json!(null), json!([]), json!("0xA"), json!({"address": 7})] {
            assert!(!grants(&malformed, "0xA", post), "{malformed}");
        }
    }
}
