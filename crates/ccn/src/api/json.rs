//! JSON as upstream stores it: parsed and written again, so that equal values
//! have equal bytes and hashes (core-api.md §9.2).
//!
//! The rules are those of two writers of another language: keys sorted, no
//! spaces, UTF-8 as it is; but a document with an integer beyond 64 bits is
//! written with spaces and escapes. Numbers therefore keep their digits here.

use serde_json::Value as Plain;

/// Deepest nesting accepted.
const DEPTH_MAX: usize = 200;

/// The text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoJson;

/// Writes a document again. `NaN` and infinities are accepted and become null.
pub fn canonical(text: &str) -> Result<String, NoJson> {
    let mut reader = Reader {
        text,
        at: 0,
        is_big: false,
    };
    let value = reader.value(0)?;
    reader.spaces();
    if reader.at != text.len() {
        return Err(NoJson);
    }
    let mut out = String::with_capacity(text.len());
    let style = if reader.is_big {
        Style::Spaced
    } else {
        Style::Compact
    };
    style.write(&value, &mut out);
    Ok(out)
}

enum Node {
    Word(&'static str),
    Integer(String),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    is_big: bool,
}

impl Reader<'_> {
    fn spaces(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Result<(), NoJson> {
        if self.peek() != Some(expected) {
            return Err(NoJson);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, NoJson> {
        if depth > DEPTH_MAX {
            return Err(NoJson);
        }
        self.spaces();
        match self.peek().ok_or(NoJson)? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => self.string().map(Node::Text),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, NoJson> {
        self.take(b'{')?;
        let mut members: Vec<(String, Node)> = Vec::new();
        loop {
            self.spaces();
            if members.is_empty() && self.peek() == Some(b'}') {
                break;
            }
            let key = self.string()?;
            self.spaces();
            self.take(b':')?;
            members.push((key, self.value(depth + 1)?));
            self.spaces();
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        self.take(b'}')?;
        // The last of equal keys wins: a stable sort leaves it last.
        members.sort_by(|a, b| a.0.cmp(&b.0));
        let mut unique: Vec<(String, Node)> = Vec::with_capacity(members.len());
        for member in members {
            if unique.last().is_some_and(|last| last.0 == member.0) {
                unique.pop();
            }
            unique.push(member);
        }
        Ok(Node::Object(unique))
    }

    fn list(&mut self, depth: usize) -> Result<Node, NoJson> {
        self.take(b'[')?;
        let mut items = Vec::new();
        loop {
            self.spaces();
            if items.is_empty() && self.peek() == Some(b']') {
                break;
            }
            items.push(self.value(depth + 1)?);
            self.spaces();
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        self.take(b']')?;
        Ok(Node::List(items))
    }

    fn string(&mut self) -> Result<String, NoJson> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.peek().ok_or(NoJson)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).ok_or(NoJson)?;
        serde_json::from_str(quoted).map_err(|_| NoJson)
    }

    fn scalar(&mut self) -> Result<Node, NoJson> {
        for word in ["null", "true", "false"] {
            if self.word(word) {
                return Ok(Node::Word(word));
            }
        }
        if self.word("NaN") || self.word("Infinity") || self.word("-Infinity") {
            return Ok(Node::Word("null"));
        }
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        let digits = &rest[..length];
        // The grammar of numbers is checked by the parser that knows it.
        let Ok(Plain::Number(number)) = serde_json::from_str::<Plain>(digits) else {
            return Err(NoJson);
        };
        self.at += length;
        if digits.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
            return Ok(Node::Float(number.as_f64().ok_or(NoJson)?));
        }
        let is_big = digits.parse::<i64>().is_err() && digits.parse::<u64>().is_err();
        self.is_big |= is_big;
        Ok(Node::Integer(if digits == "-0" {
            "0".into()
        } else {
            digits.to_owned()
        }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Compact,
    Spaced,
}

impl Style {
    fn write(self, node: &Node, out: &mut String) {
        let (comma, colon) = if self == Style::Compact {
            (",", ":")
        } else {
            (", ", ": ")
        };
        match node {
            Node::Word(word) => out.push_str(word),
            Node::Integer(digits) => out.push_str(digits),
            Node::Float(value) => out.push_str(&self.float(*value)),
            Node::Text(text) => self.text(text, out),
            Node::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { comma });
                    self.write(item, out);
                }
                out.push(']');
            }
            Node::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { comma });
                    self.text(key, out);
                    out.push_str(colon);
                    self.write(value, out);
                }
                out.push('}');
            }
        }
    }

    fn text(self, text: &str, out: &mut String) {
        let quoted = Plain::String(text.to_owned()).to_string();
        if self == Style::Compact {
            return out.push_str(&quoted);
        }
        for character in quoted.chars() {
            if character.is_ascii() {
                out.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }

    /// The shortest digits, with an exponent outside 1e-5 … 1e16 (1e-4 in the
    /// spaced style), its sign always written.
    fn float(self, value: f64) -> String {
        let scientific = format!("{value:e}");
        let Some((mantissa, exponent)) = scientific.split_once('e') else {
            return scientific;
        };
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let least = if self == Style::Compact { -5 } else { -4 };
        if value == 0.0 || (least..16).contains(&exponent) {
            let plain = value.to_string();
            return if plain.contains('.') {
                plain
            } else {
                plain + ".0"
            };
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let digits = exponent.unsigned_abs();
        match self {
            Style::Compact => format!("{mantissa}e{}{digits}", if sign == '-' { "-" } else { "+" }),
            Style::Spaced => format!("{mantissa}e{sign}{digits:02}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_the_vectors_have_it() {
        for (text, expected) in [
            (r#"{"b": 1}"#, r#"{"b":1}"#),
            (
                r#"{"b": 1, "a": {"z": [1.0, 1e-7, 1e16, 1e22, 123456789.123, "é"]}}"#,
                r#"{"a":{"z":[1.0,1e-7,1e+16,1e+22,123456789.123,"é"]},"b":1}"#,
            ),
            ("\"abc\"", "\"abc\""),
            (" [ ] ", "[]"),
            ("null", "null"),
            (
                r#"{"n": 123456789012345678901234567890, "a": "é"}"#,
                r#"{"a": "\u00e9", "n": 123456789012345678901234567890}"#,
            ),
            (r#"{"n": NaN, "n": -Infinity}"#, r#"{"n":null}"#),
            (
                r#"{"a": -0.0, "b": 1.10, "c": 18446744073709551615, "d": 18446744073709551616, "A": 0, "é": 1}"#,
                r#"{"A": 0, "a": -0.0, "b": 1.1, "c": 18446744073709551615, "d": 18446744073709551616, "\u00e9": 1}"#,
            ),
            (
                r#"{"k":1,"k":2,"a":0.00001,"b":0.000001}"#,
                r#"{"a":0.00001,"b":1e-6,"k":2}"#,
            ),
            ("100000000000000000000000.5e1", "1e+24"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in [
            "",
            "abc",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1 2",
            "\"\\ud800\"",
            "\"a",
            "\"\\",
            "{1:2}",
            "+1",
            "1e400",
        ] {
            assert_eq!(canonical(text), Err(NoJson), "{text}");
        }
        assert_eq!(canonical(&"[".repeat(100_000)), Err(NoJson));
    }
}
