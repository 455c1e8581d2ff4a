//! Texts, numbers, flags, hashes and choices, with the coercions of the
//! network (messages.md §8.0).

use serde_json::{Value, json};

use super::walk::Walk;
use crate::ItemHash;

/// Whether texts and booleans pass for numbers, and so on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Coercion {
    Lax,
    Strict,
}

/// Greatest `time` of a content, Unix seconds.
const TIME_MAX: f64 = 9_223_372_036.0;
/// Digits beyond which a text is no integer any more.
const INTEGER_DIGITS_MAX: usize = 4300;
/// 2^63: doubles from here on are no integers of 64 bits.
const INTEGER_DOUBLE_MAX: f64 = 9_223_372_036_854_775_808.0;

/// A text.
pub(super) fn text<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<String> {
    text_ref(walk, value).map(str::to_owned)
}

/// A text of at most `max` characters.
pub(super) fn short_text<'v>(
    max: usize,
) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<String> + Copy {
    move |walk, value| {
        let text = text_ref(walk, value)?;
        check_length(walk, text, max)?;
        Some(text.to_owned())
    }
}

/// Notes a text of more than `max` characters.
pub(super) fn check_length(walk: &mut Walk<'_>, text: &str, max: usize) -> Option<()> {
    // A text of n bytes has at most n characters: count only when it matters.
    if text.len() > max && text.chars().count() > max {
        let msg = format!("String should have at most {max} characters");
        walk.fault("string_too_long", msg, json!({ "max_length": max }));
        return None;
    }
    Some(())
}

/// Exactly `digits` lowercase hexadecimal digits.
pub(super) fn hex<'v>(
    digits: usize,
) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<String> + Copy {
    move |walk, value| {
        let text = text_ref(walk, value)?;
        let fits = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !fits {
            mismatch(walk, &format!("^[0-9a-f]{{{digits}}}$"));
            return None;
        }
        Some(text.to_owned())
    }
}

/// Notes that a text has another shape than `pattern`.
pub(super) fn mismatch(walk: &mut Walk<'_>, pattern: &str) {
    let msg = format!("String should match pattern '{pattern}'");
    walk.fault("string_pattern_mismatch", msg, json!({ "pattern": pattern }));
}

/// A text, borrowed.
pub(super) fn text_ref<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<&'v str> {
    if let Value::String(text) = value {
        return Some(text);
    }
    walk.fault("string_type", "Input should be a valid string", Value::Null);
    None
}

/// A hash, strictly classified (messages.md §3.1).
pub(super) fn hash<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<ItemHash> {
    let text = text_ref(walk, value)?;
    ItemHash::parse(text).map_err(|error| walk.broken(error.to_string())).ok()
}

/// `content.time`: Unix seconds. A text is refused, as no node can store it.
pub(super) fn time<'v>(
    coercion: Coercion,
) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<f64> + Copy {
    move |walk, value| {
        let time = match value {
            Value::Number(number) => number.as_f64(),
            Value::Bool(flag) if coercion == Coercion::Lax => Some(f64::from(u8::from(*flag))),
            Value::String(text) if coercion == Coercion::Lax && double(text).is_none() => {
                unreadable_number(walk);
                return None;
            }
            _ => None,
        };
        let Some(time) = time else {
            walk.fault("float_type", "Input should be a valid number", Value::Null);
            return None;
        };
        if time < 0.0 {
            let msg = "Input should be greater than or equal to 0";
            walk.fault("greater_than_equal", msg, json!({"ge": 0.0}));
            return None;
        }
        if time > TIME_MAX {
            let msg = format!("Input should be less than or equal to {TIME_MAX}");
            walk.fault("less_than_equal", msg, json!({ "le": TIME_MAX }));
            return None;
        }
        Some(time)
    }
}

/// Any finite number, or a text of one.
pub(super) fn number<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => {
            let number = double(text);
            if number.is_none() {
                unreadable_number(walk);
            }
            number
        }
        _ => {
            walk.fault("float_type", "Input should be a valid number", Value::Null);
            None
        }
    }
}

fn unreadable_number(walk: &mut Walk<'_>) {
    let msg = "Input should be a valid number, unable to parse string as a number";
    walk.fault("float_parsing", msg, Value::Null);
}

fn double(text: &str) -> Option<f64> {
    without_separators(text.trim())?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Drops single underscores between digits; `None` if one is elsewhere.
fn without_separators(text: &str) -> Option<String> {
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!misplaced).then(|| text.replace('_', ""))
}

/// An integer, coerced. Beyond 128 bits it is the nearest that fits: no limit
/// of the schema is that far.
pub(super) fn integer<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<i128> {
    let (kind, msg) = match value {
        Value::Bool(flag) => return Some(i128::from(*flag)),
        Value::Number(number) => {
            if let Some(integer) = whole(value) {
                return Some(integer);
            }
            match number.as_f64() {
                Some(double) if double.fract() != 0.0 => (
                    "int_from_float",
                    "Input should be a valid integer, got a number with a fractional part",
                ),
                Some(double) if double.abs() < INTEGER_DOUBLE_MAX => return Some(double as i128),
                _ => INTEGER_TOO_LARGE,
            }
        }
        Value::String(text) => match integer_text(text) {
            Some((_, digits)) if digits.len() > INTEGER_DIGITS_MAX => INTEGER_TOO_LARGE,
            Some((negative, digits)) => {
                let size = digits.parse().unwrap_or(i128::MAX);
                return Some(if negative { -size } else { size });
            }
            None => (
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
            ),
        },
        _ => NO_INTEGER,
    };
    walk.fault(kind, msg, Value::Null);
    None
}

const NO_INTEGER: (&str, &str) = ("int_type", "Input should be a valid integer");
const INTEGER_TOO_LARGE: (&str, &str) =
    ("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size");

/// An integer of JSON, nothing else.
pub(super) fn strict_integer<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<i128> {
    let integer = whole(value);
    if integer.is_none() {
        walk.fault(NO_INTEGER.0, NO_INTEGER.1, Value::Null);
    }
    integer
}

fn whole(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

/// Sign and digits of `" +1_000.0 "` and the like.
fn integer_text(text: &str) -> Option<(bool, String)> {
    let text = text.trim();
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let text = match text.split_once('.') {
        Some((whole, zeros)) => {
            (!zeros.is_empty() && zeros.bytes().all(|b| b == b'0')).then_some(whole)?
        }
        None => text,
    };
    let digits = without_separators(text)?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((negative, digits))
}

/// An integer from `min` to `max`.
pub(super) fn ranged<'v>(
    min: u64,
    max: u64,
    coercion: Coercion,
) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<u64> + Copy {
    move |walk, value| {
        let integer = match coercion {
            Coercion::Lax => integer(walk, value),
            Coercion::Strict => strict_integer(walk, value),
        }?;
        if integer < i128::from(min) {
            let msg = format!("Input should be greater than or equal to {min}");
            walk.fault("greater_than_equal", msg, json!({ "ge": min }));
            return None;
        }
        at_most(walk, integer, max)
    }
}

/// A strict size from 1 to `max`.
pub(super) fn size<'v>(max: u64) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<u64> + Copy {
    move |walk, value| {
        let integer = strict_integer(walk, value)?;
        if integer < 1 {
            walk.fault("greater_than", "Input should be greater than 0", json!({"gt": 0}));
            return None;
        }
        at_most(walk, integer, max)
    }
}

fn at_most(walk: &mut Walk<'_>, integer: i128, max: u64) -> Option<u64> {
    if integer > i128::from(max) {
        let msg = format!("Input should be less than or equal to {max}");
        walk.fault("less_than_equal", msg, json!({ "le": max }));
        return None;
    }
    u64::try_from(integer).ok()
}

/// A flag, coerced.
pub(super) fn flag<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<bool> {
    let read = match value {
        Value::Bool(flag) => return Some(*flag),
        Value::String(text) => flag_text(text),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            Some(double) if double.fract() != 0.0 || double.abs() >= INTEGER_DOUBLE_MAX => {
                return strict_flag(walk, value);
            }
            _ => None,
        },
        _ => return strict_flag(walk, value),
    };
    if read.is_none() {
        let msg = "Input should be a valid boolean, unable to interpret input";
        walk.fault("bool_parsing", msg, Value::Null);
    }
    read
}

fn flag_text(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "t" | "y" | "1" => Some(true),
        "false" | "no" | "off" | "f" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// `true` or `false`, nothing else.
pub(super) fn strict_flag<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<bool> {
    let flag = value.as_bool();
    if flag.is_none() {
        walk.fault("bool_type", "Input should be a valid boolean", Value::Null);
    }
    flag
}

/// One of a closed set of texts. `kind` is how the fault is called: `enum` or
/// `literal_error`.
pub(super) fn choice<'v, T: Copy>(
    kind: &'static str,
    options: &'static [(&'static str, T)],
) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<T> + Copy {
    move |walk, value| {
        let found = value
            .as_str()
            .and_then(|text| options.iter().find(|(name, _)| *name == text))
            .map(|(_, option)| *option);
        if found.is_none() {
            unknown_choice(walk, kind, options.iter().map(|(name, _)| *name));
        }
        found
    }
}

/// Notes that a value is none of `names`.
pub(super) fn unknown_choice<'n>(
    walk: &mut Walk<'_>,
    kind: &str,
    names: impl Iterator<Item = &'n str>,
) {
    let mut names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    let last = names.pop().unwrap_or_default();
    let expected = if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) };
    walk.fault(kind, format!("Input should be {expected}"), json!({ "expected": expected }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_from_texts() {
        for (text, expected) in [
            ("5", 5), (" 5 ", 5), ("+5", 5), ("-5", -5), ("5.0", 5), ("00012", 12), ("1_000", 1000),
            ("1_0.00", 10), ("-0", 0), ("\u{2028}5", 5),
        ] {
            assert_eq!(integer(&mut Walk::default(), &json!(text)), Some(expected), "{text:?}");
        }
        for text in [
            "", " ", "5.", ".0", "5.01", "1e3", "0x10", "1__0", "_1", "1_", "+ 5", "++5", "٣", "1.0_0",
        ] {
            assert_eq!(integer(&mut Walk::default(), &json!(text)), None, "{text:?}");
        }
    }
}
