//! Reading an envelope: every check that needs nothing but the message
//! (messages.md §1, §3, §5, §6).
//!
//! ```text
//!  object? ─▶ type ─▶ item_hash, item_type, item_content ─▶ every other field
//!                       first fault ends the reading          all faults told
//! ```
//!
//! Faults are objects `{"type", "loc", "msg", "ctx"}` as the network writes
//! them (processing.md §7). Nothing here costs more than the length of a field:
//! the inline text is hashed once and not parsed.

use serde_json::{Map, Value, json};

use super::{ItemType, Message, MessageType};
use crate::content::{Content, SchemaError};
use crate::hash::{classify_loosely, excerpt};
use crate::limits;
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;
use crate::{Chain, ItemHash};

/// Reads an envelope; the first group of faults wins.
pub(super) fn read(value: &Value) -> Result<Message, Rejection> {
    let Value::Object(fields) = value else {
        return Err(Rejection::invalid_format("a message is a JSON object"));
    };
    let message_type = message_type(fields)?;
    let (item_type, item_hash) = item(fields)?;
    let mut faults = Faults::default();
    let sender = required_text(fields, "sender", limits::SENDER_BYTES_MAX, &mut faults);
    let chain = chain(fields, &mut faults);
    let signature = signature(fields, &mut faults);
    let item_content = fields.get("item_content").and_then(Value::as_str);
    let item_hash = match item_content {
        Some(text) => inline_hash(text, item_hash, &mut faults),
        None => strict_hash(item_hash, &mut faults),
    };
    let time = time(fields, &mut faults);
    let channel = optional_text(fields, "channel", limits::CHANNEL_BYTES_MAX, &mut faults);
    if item_type != ItemType::Inline {
        stated_content(fields, message_type, &mut faults);
    }
    match (sender, chain, item_hash, time) {
        (Some(sender), Some(chain), Some(item_hash), Some(time)) if faults.0.is_empty() => {
            Ok(Message {
                sender,
                chain,
                signature,
                message_type,
                item_type,
                item_content: item_content.map(str::to_owned),
                item_hash,
                time,
                channel,
            })
        }
        _ => Err(Rejection::with(Code::InvalidFormat, faults.0)),
    }
}

/// What is wrong with the fields, in their order.
#[derive(Default)]
struct Faults(Vec<Value>);

impl Faults {
    fn note(&mut self, kind: &str, field: &str, msg: impl Into<String>) {
        let msg: String = msg.into();
        self.0
            .push(json!({"type": kind, "loc": format!("('{field}',)"), "msg": msg}));
    }

    fn broken(&mut self, field: &str, rule: &str) {
        self.note("value_error", field, format!("Value error, {rule}"));
        self.explain("error", rule);
    }

    /// Adds a parameter of the sentence to the last fault.
    fn explain(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(fault) = self.0.last_mut() {
            fault["ctx"][name] = value.into();
        }
    }
}

/// A fault of the envelope as a whole.
pub(super) fn broken(rule: &str) -> Rejection {
    let fault = json!({
        "type": "value_error", "loc": "()", "msg": format!("Value error, {rule}"), "ctx": {"error": rule}
    });
    Rejection::with(Code::InvalidFormat, vec![fault])
}

/// The text of an inline content is no JSON; `cause` says where.
pub(super) fn not_json(cause: &str) -> Rejection {
    let mut rejection = broken("Message content is not valid JSON data");
    if let Some(fault) = rejection.errors.first_mut() {
        fault["ctx"]["cause"] = cause.into();
    }
    rejection
}

fn message_type(fields: &Map<String, Value>) -> Result<MessageType, Rejection> {
    let shown = match fields.get("type") {
        Some(Value::String(text)) => match MessageType::parse(text) {
            Some(message_type) => return Ok(message_type),
            None => text.clone(),
        },
        None | Some(Value::Null) => "None".to_owned(),
        Some(other) => other.to_string(),
    };
    Err(Rejection::invalid_format(format!(
        "Invalid message_type: '{}'",
        excerpt(&shown)
    )))
}

/// Where the content is and under which name.
fn item(fields: &Map<String, Value>) -> Result<(ItemType, &str), Rejection> {
    let single = |kind: &str, field: &str, msg: &str| {
        let mut faults = Faults::default();
        faults.note(kind, field, msg);
        Rejection::with(Code::InvalidFormat, faults.0)
    };
    let not_text = |field| single("string_type", field, "Input should be a valid string");
    let hash = match fields.get("item_hash") {
        Some(Value::String(text)) => text,
        None | Some(Value::Null) => return Err(single("missing", "item_hash", "Field required")),
        Some(_) => return Err(not_text("item_hash")),
    };
    let content = match fields.get("item_content") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => return Err(not_text("item_content")),
    };
    let stated = match fields.get("item_type") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => return Err(not_text("item_type")),
    };
    if stated == Some(ItemType::Inline.as_str()) || (stated.is_none() && content.is_some()) {
        check_inline(content)?;
        return Ok((ItemType::Inline, hash));
    }
    if content.is_some() {
        let stated = excerpt(stated.unwrap_or_default());
        return Err(broken(&format!(
            "{stated} messages cannot define item_content"
        )));
    }
    let class = match classify_loosely(hash) {
        Some(kind) => ItemType::from(kind),
        None => {
            return Err(broken(&format!(
                "Unexpected hash type: '{}'",
                excerpt(hash)
            )));
        }
    };
    match stated {
        Some(stated) if stated != class.as_str() => Err(broken(&format!(
            "Expected {} based on item hash, got {}",
            class.as_str(),
            excerpt(stated)
        ))),
        _ => Ok((class, hash)),
    }
}

fn check_inline(content: Option<&str>) -> Result<(), Rejection> {
    let Some(text) = content else {
        return Err(broken("Could not find inline item content"));
    };
    // A text of n bytes has at most n characters: count only when it matters.
    let too_long = text.len() > limits::INLINE_CONTENT_CHARS_MAX
        && text.chars().count() > limits::INLINE_CONTENT_CHARS_MAX;
    if too_long {
        return Err(broken("Message too long"));
    }
    Ok(())
}

fn inline_hash(text: &str, stated: &str, faults: &mut Faults) -> Option<ItemHash> {
    let computed = ItemHash::of_bytes(text.as_bytes());
    if computed.as_str() == stated {
        return Some(computed);
    }
    let rule = format!("'item_hash' does not match 'sha256(item_content)', expecting {computed}");
    faults.broken("item_hash", &rule);
    None
}

fn strict_hash(stated: &str, faults: &mut Faults) -> Option<ItemHash> {
    ItemHash::parse(stated)
        .map_err(|error| faults.broken("item_hash", &error.to_string()))
        .ok()
}

fn chain(fields: &Map<String, Value>, faults: &mut Faults) -> Option<Chain> {
    let Some(stated) = fields.get("chain") else {
        faults.note("missing", "chain", "Field required");
        return None;
    };
    let chain = stated.as_str().and_then(Chain::parse);
    if chain.is_none() {
        let quoted = |chain: &Chain| format!("'{chain}'");
        let mut names: Vec<String> = Chain::ALL.iter().map(quoted).collect();
        let last = names.pop().unwrap_or_default();
        let expected = format!("{} or {last}", names.join(", "));
        faults.note("enum", "chain", format!("Input should be {expected}"));
        faults.explain("expected", expected);
    }
    chain
}

fn time(fields: &Map<String, Value>, faults: &mut Faults) -> Option<Timestamp> {
    let Some(stated) = fields.get("time") else {
        faults.note("missing", "time", "Field required");
        return None;
    };
    if !matches!(stated, Value::Number(_) | Value::Bool(_)) {
        faults.note("float_type", "time", "Input should be a valid number");
        return None;
    }
    Timestamp::from_json(stated)
        .map_err(|rule| faults.broken("time", &rule))
        .ok()
}

/// The signature as text; an object (as one client sends for Solana) becomes
/// its compact JSON (messages.md §7.1).
fn signature(fields: &Map<String, Value>, faults: &mut Faults) -> Option<String> {
    match fields.get("signature") {
        Some(object @ Value::Object(_)) => {
            let text = object.to_string();
            check_text(&text, "signature", limits::SIGNATURE_BYTES_MAX, faults).then_some(text)
        }
        _ => optional_text(fields, "signature", limits::SIGNATURE_BYTES_MAX, faults),
    }
}

/// The content that a client sent beside a hash: not used, but it must be
/// one of the type.
fn stated_content(fields: &Map<String, Value>, message_type: MessageType, faults: &mut Faults) {
    if let Some(content) = fields.get("content").filter(|content| !content.is_null())
        && let Err(errors) = Content::parse(message_type, content)
    {
        faults.0.extend(errors.iter().map(SchemaError::to_details));
    }
}

fn required_text(
    fields: &Map<String, Value>,
    name: &str,
    bytes_max: usize,
    faults: &mut Faults,
) -> Option<String> {
    match fields.get(name) {
        None => faults.note("missing", name, "Field required"),
        Some(Value::String(text)) => {
            return check_text(text, name, bytes_max, faults).then(|| text.clone());
        }
        Some(_) => faults.note("string_type", name, "Input should be a valid string"),
    }
    None
}

fn optional_text(
    fields: &Map<String, Value>,
    name: &str,
    bytes_max: usize,
    faults: &mut Faults,
) -> Option<String> {
    match fields.get(name) {
        None | Some(Value::Null) => None,
        Some(_) => required_text(fields, name, bytes_max, faults),
    }
}

/// Upstream's database has no room for the character U+0000 in any text.
fn check_text(text: &str, field: &str, bytes_max: usize, faults: &mut Faults) -> bool {
    if text.len() > bytes_max {
        let msg = format!("String should have at most {bytes_max} bytes");
        faults.note("string_too_long", field, msg);
        faults.explain("max_length", bytes_max);
        return false;
    }
    if text.contains('\0') {
        faults.broken(field, "Unsupported character in message: \\u0000");
        return false;
    }
    true
}
