//! Query parameters: names and their aliases, types, faults (core-api.md §1.6,
//! §1.7).
//!
//! A handler asks for each parameter it knows; what cannot be read is noted
//! and answered with a default, and [`Params::finish`] turns the notes into
//! one 422. Unknown parameters are never looked at.

mod kind;
mod optional;

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use beth_protocol::ItemHash;
use beth_protocol::time::Timestamp;
use beth_store::query::{Order, Span};
use http::request::Parts;
use serde_json::Value;

use super::answer::{ApiError, Fault};
pub use kind::{Asked, HASH_PATTERN, Kind, words};

/// Spellings of one parameter; the first is the one shown in faults.
pub type Names = &'static [&'static str];

/// The direction of a list.
pub const SORT_ORDER: Names = &["sortOrder", "sort_order"];
/// The first moment of a span of time.
pub const START_DATE: Names = &["startDate", "start_date"];
/// The first moment after it.
pub const END_DATE: Names = &["endDate", "end_date"];

/// Words of a direction, in any case.
pub const DIRECTIONS: [(&str, Order); 6] = [
    ("ASC", Order::Ascending),
    ("DESC", Order::Descending),
    ("ASCENDING", Order::Ascending),
    ("DESCENDING", Order::Descending),
    ("1", Order::Ascending),
    ("-1", Order::Descending),
];

/// The parameters of a request, percent-decoded, in order.
#[derive(Debug, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
    asked: Option<Asked>,
}

/// Default and limits of an integer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Bounds {
    pub default: u64,
    pub min: u64,
    pub max: u64,
}

impl Bounds {
    /// No smaller than `min`.
    pub const fn from(min: u64, default: u64) -> Bounds {
        Bounds {
            default,
            min,
            max: i64::MAX as u64,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params, Infallible> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|query| query.0);
        Ok(Params {
            pairs: pairs.unwrap_or_default(),
            faults: Vec::new(),
            asked: parts.extensions.get::<Asked>().cloned(),
        })
    }
}

impl Params {
    fn note(&self, names: Names, kind: impl FnOnce() -> Kind) {
        if let Some(asked) = &self.asked {
            asked.note(names, kind());
        }
    }

    /// The first occurrence under any of its names.
    pub fn text(&self, names: Names) -> Option<&str> {
        self.note(names, || Kind::Text);
        self.first(names)
    }

    fn first(&self, names: Names) -> Option<&str> {
        names.iter().find_map(|name| {
            self.pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        })
    }

    /// Every occurrence.
    pub fn every(&self, names: Names) -> Vec<String> {
        self.note(names, || Kind::Repeated);
        self.pairs
            .iter()
            .filter(|(key, _)| names.contains(&key.as_str()))
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// A comma list of anything.
    pub fn list(&self, names: Names) -> Option<Vec<String>> {
        self.note(names, || Kind::List);
        self.split(names)
    }

    fn split(&self, names: Names) -> Option<Vec<String>> {
        Some(self.first(names)?.split(',').map(str::to_owned).collect())
    }

    /// A comma list of item hashes.
    pub fn hashes(&mut self, names: Names) -> Option<Vec<String>> {
        self.note(names, || Kind::Hashes);
        let list = self.split(names)?;
        for (index, text) in list.iter().enumerate() {
            if let Err(error) = ItemHash::parse(text) {
                let loc = vec![names[0].into(), index.into()];
                self.faults
                    .push(Fault::value(loc, &error.to_string(), text.clone().into()));
            }
        }
        Some(list)
    }

    /// A comma list of words.
    pub fn choices<T>(&mut self, names: Names, allowed: &[(&str, T)]) -> Option<Vec<T>>
    where
        T: Clone,
    {
        self.note(names, || Kind::Choices(words(allowed)));
        let list = self.split(names)?;
        let mut found = Vec::with_capacity(list.len());
        for (index, text) in list.iter().enumerate() {
            match allowed.iter().find(|(word, _)| word == text) {
                Some((_, value)) => found.push(value.clone()),
                None => {
                    let loc = vec![names[0].into(), index.into()];
                    self.faults
                        .push(not_one_of(loc, allowed.iter().map(|(word, _)| *word), text));
                }
            }
        }
        Some(found)
    }

    /// One word.
    pub fn choice<T: Clone>(&mut self, names: Names, allowed: &[(&str, T)]) -> Option<T> {
        self.note(names, || Kind::Choice(words(allowed)));
        let text = self.first(names)?.to_owned();
        let found = allowed.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            self.faults.push(not_one_of(
                vec![names[0].into()],
                allowed.iter().map(|(word, _)| *word),
                &text,
            ));
        }
        found.map(|(_, value)| value.clone())
    }

    /// An integer within limits.
    pub fn integer(&mut self, names: Names, bounds: Bounds) -> u64 {
        self.note(names, || Kind::Integer(bounds));
        let Some(text) = self.first(names).map(str::to_owned) else {
            return bounds.default;
        };
        let fault = match whole(&text) {
            None => self.wrong(
                names,
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
            ),
            Some(value) if value < i128::from(bounds.min) => self
                .wrong(
                    names,
                    "greater_than_equal",
                    &format!("Input should be greater than or equal to {}", bounds.min),
                )
                .with("ge", bounds.min),
            Some(value) if value > i128::from(bounds.max) => self
                .wrong(
                    names,
                    "less_than_equal",
                    &format!("Input should be less than or equal to {}", bounds.max),
                )
                .with("le", bounds.max),
            Some(value) => return u64::try_from(value).unwrap_or(bounds.default),
        };
        self.faults.push(fault);
        bounds.default
    }

    /// `sortOrder`.
    pub fn order(&mut self) -> Order {
        self.note(SORT_ORDER, || Kind::Order);
        match self.first(SORT_ORDER).map(whole) {
            None | Some(Some(-1)) => Order::Descending,
            Some(Some(1)) => Order::Ascending,
            Some(_) => {
                let fault = self
                    .wrong(SORT_ORDER, "enum", "Input should be 1 or -1")
                    .with("expected", "1 or -1");
                self.faults.push(fault);
                Order::Descending
            }
        }
    }

    /// A boolean, false by default.
    pub fn flag(&mut self, names: Names) -> bool {
        self.note(names, || Kind::Flag);
        self.boolean(names).unwrap_or(false)
    }

    /// A boolean, true by default.
    pub fn not_off(&mut self, names: Names) -> bool {
        self.note(names, || Kind::NotOff);
        self.boolean(names).unwrap_or(true)
    }

    fn boolean(&mut self, names: Names) -> Option<bool> {
        let text = self.first(names)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" | "t" => Some(true),
            "false" | "0" | "no" | "n" | "off" | "f" => Some(false),
            _ => {
                let fault = self.wrong(
                    names,
                    "bool_parsing",
                    "Input should be a valid boolean, unable to interpret input",
                );
                self.faults.push(fault);
                None
            }
        }
    }

    /// Seconds since the epoch; 0 means "not set".
    pub fn time(&mut self, names: Names) -> Option<Timestamp> {
        self.note(names, || Kind::Time);
        let text = self.first(names)?.trim().to_owned();
        let fault = match text.parse::<f64>() {
            Ok(seconds) if seconds < 0.0 => self
                .wrong(
                    names,
                    "greater_than_equal",
                    "Input should be greater than or equal to 0",
                )
                .with("ge", 0),
            Ok(0.0) => return None,
            Ok(seconds) => match Timestamp::from_seconds_f64(seconds) {
                Some(time) => return Some(time),
                None => Fault::value(
                    vec![names[0].into()],
                    "the time is out of range",
                    text.into(),
                ),
            },
            Err(_) => self.wrong(
                names,
                "float_parsing",
                "Input should be a valid number, unable to parse string as a number",
            ),
        };
        self.faults.push(fault);
        None
    }

    /// Seconds since the epoch, 0 being 1970.
    pub fn instant(&mut self, names: Names) -> Option<Timestamp> {
        let is_zero = |text: &str| text.trim().parse::<f64>() == Ok(0.0);
        let zero = self.first(names).is_some_and(is_zero);
        let time = self.time(names);
        if zero {
            Some(Timestamp::default())
        } else {
            time
        }
    }

    /// A direction by its word or number, ascending by default.
    pub fn direction(&mut self, names: Names) -> Order {
        self.note(names, || Kind::Choice(words(&DIRECTIONS)));
        let Some(text) = self.first(names).map(str::to_ascii_uppercase) else {
            return Order::Ascending;
        };
        if let Some((_, order)) = DIRECTIONS.iter().find(|(word, _)| *word == text) {
            return *order;
        }
        let fault = self
            .wrong(names, "enum", "Input should be 1 or -1")
            .with("expected", "1 or -1");
        self.faults.push(fault);
        Order::Ascending
    }

    /// `startDate` and `endDate`.
    pub fn span(&mut self) -> Span {
        Span {
            start: self.time(START_DATE),
            end: self.time(END_DATE),
        }
    }

    /// Like [`span`](Self::span), refusing an end before its start.
    pub fn checked_span(&mut self) -> Span {
        let span = self.span();
        if span.end.is_some() && span.end < span.start {
            self.refuse("end date cannot be lower than start date.");
        }
        span
    }

    /// Notes that the parameters together make no sense.
    pub fn refuse(&mut self, text: &str) {
        let shown: serde_json::Map<String, Value> = self
            .pairs
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().into()))
            .collect();
        self.faults
            .push(Fault::value(Vec::new(), text, Value::Object(shown)));
    }

    /// Fails when anything was noted.
    pub fn finish(&self) -> Result<(), ApiError> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::faults(&self.faults))
        }
    }

    /// Fails with the array of faults as text when anything was noted, or when
    /// there are parameters other than these.
    pub fn finish_strictly(&mut self, known: Names) -> Result<(), String> {
        for (name, value) in &self.pairs {
            if !known.contains(&name.as_str()) {
                let loc = vec![name.clone().into()];
                let text = "Extra inputs are not permitted";
                self.faults.push(Fault::new(
                    "extra_forbidden",
                    loc,
                    text,
                    value.clone().into(),
                ));
            }
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Value::Array(self.faults.iter().map(Fault::to_json).collect()).to_string())
    }

    fn wrong(&self, names: Names, kind: &'static str, msg: &str) -> Fault {
        Fault::new(kind, vec![names[0].into()], msg, self.first(names).into())
    }
}

/// `10`, ` +10 `, `10.0`.
fn whole(text: &str) -> Option<i128> {
    let text = text.trim();
    let digits = match text.split_once('.') {
        Some((digits, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => digits,
        Some(_) => return None,
        None => text,
    };
    digits.parse().ok()
}

fn not_one_of<'a>(loc: Vec<Value>, allowed: impl Iterator<Item = &'a str>, input: &str) -> Fault {
    let words: Vec<String> = allowed.map(|word| format!("'{word}'")).collect();
    let expected = match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    };
    Fault::new(
        "enum",
        loc,
        format!("Input should be {expected}"),
        input.into(),
    )
    .with("expected", expected)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    pub(super) fn params(query: &str) -> Params {
        let uri: http::Uri = format!("/x?{query}").parse().unwrap();
        Params {
            pairs: Query::<Vec<(String, String)>>::try_from_uri(&uri)
                .unwrap()
                .0,
            ..Params::default()
        }
    }

    #[test]
    fn reads_integers_as_clients_write_them() {
        const PAGE: Names = &["page"];
        for (query, expected) in [
            ("", 1),
            ("page=7", 7),
            ("page=10.0", 10),
            ("page=%2B3", 3),
            ("page=%204%20", 4),
        ] {
            let mut params = params(query);
            assert_eq!(
                params.integer(PAGE, Bounds::from(1, 1)),
                expected,
                "{query}"
            );
            assert!(params.finish().is_ok());
        }
        for query in [
            "page=0",
            "page=-1",
            "page=abc",
            "page=1.5",
            "page=",
            "page=100000000000000000000",
        ] {
            let mut params = params(query);
            params.integer(PAGE, Bounds::from(1, 1));
            assert!(params.finish().is_err(), "{query}");
        }
    }

    #[test]
    fn the_first_occurrence_wins_and_lists_are_not_trimmed() {
        let params = params("a=1,%202&a=3&b=");
        assert_eq!(params.list(&["a"]).unwrap(), ["1", " 2"]);
        assert_eq!(params.list(&["b"]).unwrap(), [""]);
        assert_eq!(params.list(&["c"]), None);
    }
}
