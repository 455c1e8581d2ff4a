//! Conditions with their parameters, and the list form of a parameter.

use rusqlite::types::Value;

use super::{Order, Place, Span, Window};

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

    pub(super) fn within(&mut self, column: &str, span: Span) {
        if let Some(start) = span.start {
            self.add(format!("{column} >= ?"), [start.micros().into()]);
        }
        if let Some(end) = span.end {
            self.add(format!("{column} < ?"), [end.micros().into()]);
        }
    }

    /// Only rows after a place, in the order of `time` and then ascending hash.
    pub(super) fn after(&mut self, time: &str, hash: &str, order: Order, place: Option<&Place>) {
        let Some(place) = place else { return };
        let at: Value = place.time.micros().into();
        let later = order.later();
        // The first condition is implied; it is what bounds the range scan.
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

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// Several values as one parameter for `json_each`.
pub(super) fn list(values: &[String]) -> Value {
    Value::Text(serde_json::Value::from(values.to_vec()).to_string())
}

/// Each value once, in order, so that scans do not overlap.
pub(super) fn distinct(values: &[String]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort();
    values.dedup();
    values
}
