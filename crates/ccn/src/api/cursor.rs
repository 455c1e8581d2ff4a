//! Pages and cursors (core-api.md §1.10).
//!
//! A cursor is base64url without padding of compact JSON with sorted keys.
//! Nodes read each other's cursors, so its members are part of the wire.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beth_protocol::time::Timestamp;
use beth_store::query::aggregates::AggregatePlace;
use beth_store::query::{Place, Window};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::ApiError;
use super::params::{Bounds, Params};

/// Most rows of one page in cursor mode.
pub const CURSOR_PAGE_MAX: u64 = 200;

/// A place in a list that can be written down.
pub trait Cursor: Sized {
    /// Members, sorted.
    fn to_json(&self) -> Value;
    /// Reads the members.
    fn from_json(members: &Map<String, Value>) -> Option<Self>;
}

impl Cursor for Place {
    fn to_json(&self) -> Value {
        json!({"h": self.hash, "t": self.time.to_iso("+00:00")})
    }

    fn from_json(members: &Map<String, Value>) -> Option<Place> {
        Some(Place {
            hash: text(members, "h")?,
            time: time(members)?,
        })
    }
}

impl Cursor for AggregatePlace {
    fn to_json(&self) -> Value {
        json!({"k": self.key, "o": self.owner, "t": self.time.to_iso("+00:00")})
    }

    fn from_json(members: &Map<String, Value>) -> Option<AggregatePlace> {
        Some(AggregatePlace {
            key: text(members, "k")?,
            owner: text(members, "o")?,
            time: time(members)?,
        })
    }
}

fn text(members: &Map<String, Value>, key: &str) -> Option<String> {
    members.get(key)?.as_str().map(str::to_owned)
}

fn time(members: &Map<String, Value>) -> Option<Timestamp> {
    Timestamp::from_iso(members.get("t")?.as_str()?)
}

/// Writes a cursor.
pub fn encode(place: &impl Cursor) -> String {
    URL_SAFE_NO_PAD.encode(place.to_json().to_string())
}

/// Reads a cursor.
pub fn decode<K: Cursor>(cursor: &str) -> Result<K, ApiError> {
    let invalid = |detail: &str| {
        ApiError::text(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("Invalid cursor: {detail}"),
        )
    };
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor.trim_end_matches('='))
        .map_err(|error| invalid(&error.to_string()))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
    let members = value.as_object().ok_or_else(|| invalid("no object"))?;
    K::from_json(members).ok_or_else(|| invalid("missing required fields"))
}

/// What a client asked for: a page, or what follows a cursor.
#[derive(Clone, Debug, PartialEq)]
pub enum Paging {
    /// `page` and `pagination`.
    Page {
        /// From 1.
        number: u64,
        /// 0 = all.
        size: u64,
    },
    /// `cursor`, perhaps empty.
    Cursor {
        /// As sent.
        cursor: String,
        /// `pagination`, uncut.
        size: u64,
    },
}

impl Paging {
    /// Reads `page`, `pagination` and `cursor`. A page number in the path wins.
    pub fn read(params: &mut Params, size: Bounds, path: Option<u64>) -> Paging {
        let size = params.integer(&["pagination"], size);
        let number = params.integer(&["page"], Bounds::from(1, 1));
        match params.text(&["cursor"]) {
            Some(cursor) => Paging::Cursor {
                cursor: cursor.to_owned(),
                size,
            },
            None => Paging::Page {
                number: path.unwrap_or(number),
                size,
            },
        }
    }

    /// True when a cursor was sent, even an empty one.
    pub fn is_cursor(&self) -> bool {
        matches!(self, Paging::Cursor { .. })
    }

    /// The place that the cursor names.
    pub fn place(&self) -> Result<Option<Place>, ApiError> {
        Ok(match self.window()? {
            Window::After { key, .. } => key,
            Window::Page { .. } => None,
        })
    }

    /// Most rows of the answer, and rows before them.
    pub fn extent(&self) -> (u64, u64) {
        match *self {
            Paging::Page { size: 0, .. } => (u64::MAX, 0),
            Paging::Page { number, size } => (size, number.saturating_sub(1).saturating_mul(size)),
            Paging::Cursor { size, .. } => (size.min(CURSOR_PAGE_MAX), 0),
        }
    }

    /// As the store takes it.
    pub fn window<K: Cursor>(&self) -> Result<Window<K>, ApiError> {
        match self {
            Paging::Page { number, size } => Ok(Window::Page {
                number: *number,
                size: *size,
            }),
            Paging::Cursor { size: 0, .. } => Err(ApiError::text(
                StatusCode::UNPROCESSABLE_ENTITY,
                "pagination=0 is not allowed with cursor-based pagination",
            )),
            Paging::Cursor { cursor, size } => {
                let key = if cursor.is_empty() {
                    None
                } else {
                    Some(decode(cursor)?)
                };
                Ok(Window::After {
                    key,
                    size: (*size).min(CURSOR_PAGE_MAX),
                })
            }
        }
    }

    /// The members of the answer beside the list named `item`.
    pub fn members<K: Cursor>(
        &self,
        item: &str,
        total: u64,
        next: Option<&K>,
    ) -> Map<String, Value> {
        let mut members = Map::new();
        match self {
            Paging::Page { number, size } => {
                members.insert("pagination_page".into(), (*number).into());
                members.insert("pagination_total".into(), total.into());
                members.insert("pagination_per_page".into(), (*size).into());
                members.insert("pagination_item".into(), item.into());
            }
            Paging::Cursor { size, .. } => {
                members.insert(
                    "pagination_per_page".into(),
                    (*size).min(CURSOR_PAGE_MAX).into(),
                );
                members.insert("next_cursor".into(), next.map(encode).into());
            }
        }
        members
    }
}

/// The page number of a `/page/{page}.json` path.
pub fn page_in_path(file: &str) -> Result<u64, ApiError> {
    let text = file.strip_suffix(".json").ok_or_else(ApiError::not_found)?;
    let Ok(number) = text.trim().parse::<i64>() else {
        return Err(ApiError::text(
            StatusCode::BAD_REQUEST,
            format!("Invalid page value in path: {text}"),
        ));
    };
    u64::try_from(number)
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| {
            ApiError::text(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Page number must be greater than 1.",
            )
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_of_the_specification() {
        let hash = "e03c1ba28eb24cbdee400aaa1c90753c4a9d5fc86506ce83cad61bf4bccddac1";
        let time = Timestamp::from_iso("2026-11-01T00:02:54Z").unwrap();
        let place = Place {
            time,
            hash: hash.into(),
        };
        let cursor = encode(&place);
        assert_eq!(
            cursor,
            "eyJoIjoiZTAzYzFiYTI4ZWIyNGNiZGVlNDAwYWFhMWM5MDc1M2M0YTlkNWZjODY1MDZjZTgzY2FkNjFiZjRiY2NkZGFjMSIsInQiOiIyMDI2LTExLTAxVDAwOjAyOjU0KzAwOjAwIn0"
        );
        assert_eq!(decode::<Place>(&cursor).unwrap(), place);
        for bad in ["not-a-valid-cursor!!!", "e30", "W10", "bnVsbA"] {
            assert!(decode::<Place>(bad).is_err(), "{bad}");
        }
    }
}
