//! Integers.

use serde_json::{Value, json};

use super::super::walk::Walk;
use super::{Coercion, without_separators};

/// Digits beyond which a text is no integer any more.
const INTEGER_DIGITS_MAX: usize = 4300;
/// 2^63: doubles from here on are no integers of 64 bits.
pub(super) const INTEGER_DOUBLE_MAX: f64 = 9_223_372_036_854_775_808.0;

/// An integer, coerced. Beyond 128 bits it is the nearest that fits: no limit
/// of the schema is that far.
pub(in super::super) fn integer<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<i128> {
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
const INTEGER_TOO_LARGE: (&str, &str) = (
    "int_parsing_size",
    "Unable to parse input string as an integer, exceeded maximum size",
);

/// An integer of JSON, nothing else.
pub(in super::super) fn strict_integer<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<i128> {
    let integer = whole(value);
    if integer.is_none() {
        walk.fault(NO_INTEGER.0, NO_INTEGER.1, Value::Null);
    }
    integer
}

fn whole(value: &Value) -> Option<i128> {
    value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_u64().map(i128::from))
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
pub(in super::super) fn ranged<'v>(
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
pub(in super::super) fn size<'v>(
    max: u64,
) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<u64> + Copy {
    move |walk, value| {
        let integer = strict_integer(walk, value)?;
        if integer < 1 {
            walk.fault(
                "greater_than",
                "Input should be greater than 0",
                json!({"gt": 0}),
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_from_texts() {
        for (text, expected) in [
            ("5", 5),
            (" 5 ", 5),
            ("+5", 5),
            ("-5", -5),
            ("5.0", 5),
            ("00012", 12),
            ("1_000", 1000),
            ("1_0.00", 10),
            ("-0", 0),
            ("\u{2028}5", 5),
        ] {
            assert_eq!(
                integer(&mut Walk::default(), &json!(text)),
                Some(expected),
                "{text:?}"
            );
        }
        for text in [
            "", " ", "5.", ".0", "5.01", "1e3", "0x10", "1__0", "_1", "1_", "+ 5", "++5", "٣",
            "1.0_0",
        ] {
            assert_eq!(
                integer(&mut Walk::default(), &json!(text)),
                None,
                "{text:?}"
            );
        }
    }
}
