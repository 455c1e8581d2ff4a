//! Changes of inputs that keep their shape: a JSON document stays one, an
//! encoded text (hex, base58, base64) still decodes.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Recorded contents: where members and values are taken from.
static CASES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let text = include_str!("../../vectors/messages/content_cases.json");
    let cases: Vec<Value> = serde_json::from_str(text).expect("recorded contents are JSON");
    cases
        .into_iter()
        .map(|mut case| case["content"].take())
        .collect()
});

/// Every small value and every key of the recorded contents, and odd ones.
static POOL: LazyLock<(Vec<String>, Vec<Value>)> = LazyLock::new(|| {
    let mut pool = (Vec::new(), odd());
    CASES.iter().for_each(|case| gather(case, &mut pool));
    pool.0.extend(
        [
            "digest",
            "launch",
            "name",
            "item_content",
            "signature",
            "sender",
            "chain",
        ]
        .map(str::to_owned),
    );
    pool
});

fn odd() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(-0.0),
        json!(9223372036.0),
        json!(""),
        json!("\u{0}"),
        json!("\u{10ffff}"),
        json!("١"),
        json!("1_0.0"),
        json!(" 7 "),
        json!("1e400"),
        json!("NaN"),
        json!("inf"),
        json!([]),
        json!({}),
        json!("a".repeat(129)),
        json!("é".repeat(257)),
        json!("0".repeat(4301)),
        json!("(".repeat(200)),
        json!("(a*)*$"),
        json!("[a-\\d]{2,1}"),
        json!("(?P<x>a)(?P=x)"),
        json!("\\"),
        json!(vec![0; 300]),
        json!("ab".repeat(32)),
        json!("ab".repeat(48)),
        json!("Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
        json!("bafybeihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im"),
    ]
}

fn gather(value: &Value, pool: &mut (Vec<String>, Vec<Value>)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            if !pool.0.contains(key) && key.len() < 40 {
                pool.0.push(key.clone());
            }
            gather(value, pool);
        }),
        Value::Array(items) => items.iter().take(4).for_each(|item| gather(item, pool)),
        _ => {}
    }
    if value.to_string().len() < 400 && !pool.1.contains(value) {
        pool.1.push(value.clone());
    }
}

/// Small numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }
}

/// Changes a JSON document; anything else byte by byte, as one time in eight.
pub fn json(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) * 0x9e37_79b9 + 0x1234_5678_9abc);
    let parsed = std::str::from_utf8(&data[..size])
        .ok()
        .and_then(|text| beth_protocol::json::parse_written(text).ok());
    let Some(mut document) = parsed.filter(|_| dice.roll(8) > 0) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    for _ in 0..=dice.roll(3) {
        change(&mut document, &mut dice);
    }
    write(data, size, max_size, document.to_string().as_bytes())
}

/// Changes an envelope, or the content inside it; the hash of an inline
/// content is made right three times in four, so that what comes after the
/// comparison of hashes is reached.
pub fn envelope(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) * 0x9e37_79b9 + 0x1234_5678_9abc);
    let parsed = std::str::from_utf8(&data[..size])
        .ok()
        .and_then(|text| beth_protocol::json::parse_written(text).ok());
    let Some(mut document) = parsed.filter(|value| value.is_object() && dice.roll(8) > 0) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    let inner = document["item_content"]
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    match inner.filter(|_| dice.roll(3) > 0) {
        Some(mut content) => {
            change(&mut content, &mut dice);
            document["item_content"] = content.to_string().into();
        }
        None => change(&mut document, &mut dice),
    }
    if dice.roll(4) > 0
        && let Some(text) = document.get("item_content").and_then(Value::as_str)
    {
        document["item_hash"] = beth_protocol::ItemHash::of_bytes(text.as_bytes())
            .as_str()
            .into();
    }
    write(data, size, max_size, document.to_string().as_bytes())
}

/// Changes `index, sender, newline, signature`.
pub fn signature(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) * 0x9e37_79b9 + 0x1234_5678_9abc);
    let parts = std::str::from_utf8(&data[..size]).ok().and_then(|text| {
        let (index, rest) = text.split_at_checked(1)?;
        let (sender, signature) = rest.split_once('\n')?;
        Some((index.to_owned(), sender.to_owned(), signature.to_owned()))
    });
    let Some((index, mut sender, mut signature)) = parts.filter(|_| dice.roll(6) > 0) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    match dice.roll(4) {
        0 => sender = changed_text(&sender, &mut dice),
        _ => match serde_json::from_str::<Value>(&signature) {
            Ok(mut document) if document.is_object() => {
                change(&mut document, &mut dice);
                signature = document.to_string();
            }
            _ => signature = changed_text(&signature, &mut dice),
        },
    }
    write(
        data,
        size,
        max_size,
        format!("{index}{sender}\n{signature}").as_bytes(),
    )
}

fn write(data: &mut [u8], size: usize, max_size: usize, bytes: &[u8]) -> usize {
    if bytes.len() > max_size {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    data[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

fn change(document: &mut Value, dice: &mut Dice) {
    let (keys, values) = &*POOL;
    let mut left = dice.roll(count(document));
    let Some(node) = find(document, &mut left) else {
        return;
    };
    match (dice.roll(6), &mut *node) {
        (0, Value::Object(members)) => {
            if let Some(key) = members.keys().nth(dice.roll(members.len())).cloned() {
                members.shift_remove(&key);
            }
        }
        (1..=3, Value::Object(members)) => {
            members.insert(
                keys[dice.roll(keys.len())].clone(),
                values[dice.roll(values.len())].clone(),
            );
        }
        (0..=2, Value::Array(items)) => {
            let item = items
                .get(dice.roll(items.len()))
                .unwrap_or(&Value::Null)
                .clone();
            let times = [1, 1, 2, 17, 300][dice.roll(5)].min(NODES_MAX / count(&item));
            items.extend(std::iter::repeat_n(item, times));
        }
        (0..=4, Value::String(text)) => *text = changed_text(text, dice),
        (0..=4, Value::Number(number)) => *node = changed_number(number, dice),
        (5, node) if dice.roll(4) == 0 => *node = deep(node.take(), dice),
        (_, node) => *node = values[dice.roll(values.len())].clone(),
    }
}

fn changed_number(number: &serde_json::Number, dice: &mut Dice) -> Value {
    let double = number.as_f64().unwrap_or_default();
    match dice.roll(6) {
        0 => json!(number.as_i64().unwrap_or(1).wrapping_add(1)),
        1 => json!(number.as_i64().unwrap_or(1).wrapping_sub(1)),
        2 => json!(-double),
        3 => json!(double * 1e9),
        4 => json!(double + 0.5),
        _ => json!(number.to_string()),
    }
}

/// Most nodes that one change adds: larger inputs would be thrown away.
const NODES_MAX: usize = 20_000;

/// Wraps a value in lists or objects.
fn deep(mut value: Value, dice: &mut Dice) -> Value {
    let object = dice.roll(2) == 0;
    for _ in 0..[2, 30, 400][dice.roll(3)] {
        value = if object {
            Value::Object(Map::from_iter([("a".to_owned(), value)]))
        } else {
            json!([value])
        };
    }
    value
}

/// Changes a text: what it encodes, its length, or its bytes.
fn changed_text(text: &str, dice: &mut Dice) -> String {
    let (prefix, rest) = text
        .split_at_checked(if text.starts_with("0x") { 2 } else { 0 })
        .unwrap_or(("", text));
    match dice.roll(8) {
        0 if text.len() < 4096 => return text.repeat(2),
        1 => return text.chars().skip(1).collect(),
        2 => return text.to_uppercase(),
        3 => {
            return format!(
                "{text}{}",
                ["\u{0}", " ", "0", "1", "A", "=", "é"][dice.roll(7)]
            );
        }
        _ => {}
    }
    if let Ok(bytes) = const_hex::decode(rest) {
        return format!("{prefix}{}", const_hex::encode(changed_bytes(bytes)));
    }
    if text.len() < 512
        && dice.roll(2) == 0
        && let Ok(bytes) = bs58::decode(text).into_vec()
    {
        return bs58::encode(changed_bytes(bytes)).into_string();
    }
    if let Ok(bytes) = STANDARD.decode(text) {
        return STANDARD.encode(changed_bytes(bytes));
    }
    String::from_utf8_lossy(&changed_bytes(text.as_bytes().to_vec())).into_owned()
}

fn changed_bytes(mut bytes: Vec<u8>) -> Vec<u8> {
    let size = bytes.len();
    bytes.resize(size + 16, 0);
    let max_size = bytes.len();
    let size = libfuzzer_sys::fuzzer_mutate(&mut bytes, size, max_size);
    bytes.truncate(size);
    bytes
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

fn find<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Object(members) => members.values_mut().find_map(|value| find(value, left)),
        Value::Array(items) => items.iter_mut().find_map(|value| find(value, left)),
        _ => None,
    }
}
