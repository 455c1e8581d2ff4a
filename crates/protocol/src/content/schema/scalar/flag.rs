//! Flags.

use serde_json::Value;

use super::super::walk::Walk;
use super::integer::INTEGER_DOUBLE_MAX;

/// A flag, coerced.
pub(in super::super) fn flag<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<bool> {
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
pub(in super::super) fn strict_flag<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<bool> {
    let flag = value.as_bool();
    if flag.is_none() {
        walk.fault("bool_type", "Input should be a valid boolean", Value::Null);
    }
    flag
}
