//! Texts, numbers, flags, hashes and choices, with the coercions of the
//! network (messages.md §8.0).

mod flag;
mod integer;
mod real;

use serde_json::{Value, json};

use super::walk::Walk;
use crate::ItemHash;
pub(super) use flag::{flag, strict_flag};
pub(super) use integer::{integer, ranged, size, strict_integer};
pub(super) use real::{number, time};

/// Whether texts and booleans pass for numbers, and so on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Coercion {
    Lax,
    Strict,
}

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
pub(super) fn hex<'v>(digits: usize) -> impl Fn(&mut Walk<'v>, &'v Value) -> Option<String> + Copy {
    move |walk, value| {
        let text = text_ref(walk, value)?;
        let fits =
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
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
    walk.fault(
        "string_pattern_mismatch",
        msg,
        json!({ "pattern": pattern }),
    );
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
    ItemHash::parse(text)
        .map_err(|error| walk.broken(error.to_string()))
        .ok()
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
    let expected = if names.is_empty() {
        last
    } else {
        format!("{} or {last}", names.join(", "))
    };
    walk.fault(
        kind,
        format!("Input should be {expected}"),
        json!({ "expected": expected }),
    );
}

/// Drops single underscores between digits; `None` if one is elsewhere.
fn without_separators(text: &str) -> Option<String> {
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!misplaced).then(|| text.replace('_', ""))
}
