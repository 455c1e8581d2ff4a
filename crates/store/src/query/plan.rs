//! Conditions with their parameters, and the list form of a parameter.

use rusqlite::types::Value;

use super::messages::MessageFilter;
use super::{Order, Place, Span, Window};
use crate::keys::prefix;

/// Most values of a driving list that are read as one ordered scan each.
pub(super) const SCANS_MAX: usize = 16;

/// An `AND` of conditions and the parameters of their `?`, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    params: Vec<Value>,
}

impl Conditions {
    pub(super) fn add(&mut self, sql: impl Into<String>, params: impl IntoIterator<Item = Value>) {
        self.sql.push(sql.into());
        self.params.extend(params);
    }

    /// A condition and its parameters together.
    pub(super) fn add_all(&mut self, (sql, params): (String, Vec<Value>)) {
        self.add(sql, params);
    }

    /// `column` is one of the values.
    pub(super) fn one_of(&mut self, column: &str, values: &[String]) {
        match values {
            [single] => self.add(format!("{column} = ?"), [text(single)]),
            many => self.add(
                format!("{column} IN (SELECT value FROM json_each(?))"),
                [list(many)],
            ),
        }
    }

    /// `column` is one of the values, when there is such a filter.
    pub(super) fn optional(&mut self, column: &str, values: Option<&Vec<String>>) {
        if let Some(values) = values {
            self.one_of(column, values);
        }
    }

    /// What a filter says of messages that are gone: only their envelopes are
    /// left, with the texts themselves in the columns.
    pub(super) fn of_gone(&mut self, filter: &MessageFilter) {
        for (column, values) in [
            ("type", &filter.types),
            ("sender", &filter.senders),
            ("owner", &filter.owners),
            ("chain", &filter.chains),
            ("channel", &filter.channels),
            ("item_hash", &filter.hashes),
            ("payment_type", &filter.payment_types),
        ] {
            self.optional(column, values.as_ref());
        }
    }

    pub(super) fn within(&mut self, column: &str, span: Span) {
        if let Some(start) = span.start {
            self.add(format!("{column} >= ?"), [start.micros().into()]);
        }
        if let Some(end) = span.end {
            self.add(format!("{column} < ?"), [end.micros().into()]);
        }
    }

    /// `column` is one of the codes.
    pub(super) fn coded(&mut self, column: &str, codes: &[i64]) {
        match codes {
            [single] => self.add(format!("{column} = ?"), [(*single).into()]),
            many => {
                let many = serde_json::Value::from(many.to_vec()).to_string();
                self.add(
                    format!("{column} IN (SELECT value FROM json_each(?))"),
                    [Value::Text(many)],
                );
            }
        }
    }

    /// Only rows after a place, in the order of `time`, hash prefix and id.
    pub(super) fn after(&mut self, time: &str, order: Order, place: Option<&Place>) {
        let Some(place) = place else { return };
        let at: Value = place.time.micros().into();
        let start: Value = prefix(&place.hash).into();
        let later = order.later();
        // The first condition is implied; it is what bounds the range scan.
        // Two hashes with the same prefix at the same time take a search.
        self.add(
            format!(
                "{time} {later}= ? AND ({time} {later} ? OR prefix > ? OR (prefix = ? AND id >
                 (SELECT id FROM messages INDEXED BY messages_hash WHERE prefix = ? AND item_hash = ?)))"
            ),
            [at.clone(), at, start.clone(), start.clone(), start, text(&place.hash)],
        );
    }

    /// Only rows after a place, in the order of `time` and then ascending hash,
    /// where the table holds the hash itself.
    pub(super) fn after_text(
        &mut self,
        (time, hash): (&str, &str),
        order: Order,
        place: Option<&Place>,
    ) {
        let Some(place) = place else { return };
        let at: Value = place.time.micros().into();
        let later = order.later();
        self.add(
            format!("{time} {later}= ? AND ({time} {later} ? OR {hash} > ?)"),
            [at.clone(), at, text(&place.hash)],
        );
    }

    /// The text after `WHERE`.
    pub(super) fn sql(&self) -> String {
        if self.sql.is_empty() {
            "1".to_owned()
        } else {
            self.sql.join(" AND ")
        }
    }

    pub(super) fn params(&self) -> Vec<Value> {
        self.params.clone()
    }

    /// The parameters, followed by those of `LIMIT ? OFFSET ?`.
    pub(super) fn windowed<K>(&self, window: &Window<K>) -> Vec<Value> {
        let (limit, offset) = window.limit_offset();
        let mut params = self.params.clone();
        params.extend([Value::Integer(limit), Value::Integer(offset)]);
        params
    }
}

/// `column` is one of the values, each an integer or a text.
pub(super) fn equal(column: &str, values: &[Value]) -> (String, Vec<Value>) {
    if let [single] = values {
        return (format!("{column} = ?"), vec![single.clone()]);
    }
    let json = |value: &Value| match value {
        Value::Integer(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        _ => serde_json::Value::Null,
    };
    let values: serde_json::Value = values.iter().map(json).collect();
    (
        format!("{column} IN (SELECT value FROM json_each(?))"),
        vec![Value::Text(values.to_string())],
    )
}

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// Several values as one parameter for `json_each`.
pub(super) fn list(values: &[String]) -> Value {
    Value::Text(serde_json::Value::from(values.to_vec()).to_string())
}

/// The first bytes of several hashes as one parameter for `json_each`.
pub(super) fn prefixes(hashes: &[String]) -> Value {
    let prefixes: Vec<i64> = hashes.iter().map(|hash| prefix(hash)).collect();
    Value::Text(serde_json::Value::from(prefixes).to_string())
}

/// Each value once, in order, so that scans do not overlap.
pub(super) fn distinct(values: &[String]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort();
    values.dedup();
    values
}
