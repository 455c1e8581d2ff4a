//! Numbers with a fraction.

use serde_json::{Value, json};

use super::super::walk::Walk;
use super::{Coercion, without_separators};

/// Greatest `time` of a content, Unix seconds.
const TIME_MAX: f64 = 9_223_372_036.0;

/// `content.time`: Unix seconds. A text is refused, as no node can store it.
pub(in super::super) fn time<'v>(
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
pub(in super::super) fn number<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<f64> {
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
    without_separators(text.trim())?
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}
