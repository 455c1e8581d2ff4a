//! The members of an object in a text that is known to be JSON, as they are
//! written, without reading what is in them.
//!
//! ```text
//! {"ref": null, "content": {"a": [1, "}"]}}
//!   ref ─▶ null   content ─▶ {"a": [1, "}"]}
//! ```

use std::borrow::Cow;

/// The members of the object that a text is, in its order; a name may come
/// twice. Ends early where the text is no JSON.
pub fn members(text: &str) -> Members<'_> {
    let mut members = Members { text, at: 0 };
    members.pass_space();
    if !members.pass(b'{') {
        members.at = text.len();
    }
    members
}

/// See [`members`]: names, and texts of values.
#[derive(Debug)]
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.pass_space();
        self.pass(b',');
        self.pass_space();
        let name = self.string()?;
        self.pass_space();
        if !self.pass(b':') {
            return None;
        }
        self.pass_space();
        let value = self.value()?;
        let inner = name.get(1..name.len() - 1)?;
        let name = if inner.contains('\\') {
            Cow::Owned(serde_json::from_str(name).ok()?)
        } else {
            Cow::Borrowed(inner)
        };
        Some((name, value))
    }
}

impl<'a> Members<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn pass_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let from = self.at;
        if !self.pass(b'"') {
            return None;
        }
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(from..self.at)
    }

    fn value(&mut self) -> Option<&'a str> {
        let from = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => (depth, self.at) = (depth + 1, self.at + 1),
                b'}' | b']' | b',' if depth == 0 => break,
                b'}' | b']' => (depth, self.at) = (depth - 1, self.at + 1),
                _ => self.at += 1,
            }
        }
        let value = self.text.get(from..self.at)?.trim_end();
        (!value.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    #[test]
    fn members_are_as_written() {
        let text =
            r#" { "ref" :null,"content": {"a": [1, "}\\"] , "b": "\""} , "\u0072ef":1.50 } "#;
        let found: Vec<(String, &str)> = members(text)
            .map(|(name, value)| (name.into_owned(), value))
            .collect();
        let content = r#"{"a": [1, "}\\"] , "b": "\""}"#;
        assert_eq!(
            found,
            [
                ("ref".to_owned(), "null"),
                ("content".to_owned(), content),
                ("ref".to_owned(), "1.50"),
            ]
        );
    }

    #[test]
    fn what_is_no_object_has_none() {
        for text in [
            "", "[]", "{}", "{", "{\"a", "{\"a\"", "{\"a\":", "{\"a\\", "null", "{\"a\":}", "{1:2}",
        ] {
            assert_eq!(members(text).count(), 0, "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            "[\"\\\\{}\\[\\],: ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[\"\\\\a-c]{0,3}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Read one by one, they are what the parser makes of the whole.
        #[test]
        fn members_are_those_of_the_parser(value in value(), is_pretty: bool) {
            let whole = json!({"it": value, "b": {"c": value}});
            let text = if is_pretty { format!("{whole:#}") } else { whole.to_string() };
            let read: Map<String, Value> = members(&text)
                .map(|(name, value)| (name.into_owned(), serde_json::from_str(value).unwrap()))
                .collect();
            prop_assert_eq!(Value::Object(read), whole);
        }

        #[test]
        fn any_text_is_read_to_its_end(text in "[{}\\[\\]\",:\\\\aé ]{0,24}") {
            let _ = members(&text).count();
        }
    }
}
