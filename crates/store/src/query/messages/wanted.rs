//! A filter with ids and codes in place of texts. What no message ever named is
//! seen here: then nothing is read.

use rusqlite::types::Value;

use super::column::{Column, codes_of};
use super::{Blocks, MessageFilter, MessageSort};
use crate::error::Error;
use crate::keys::status_code;
use crate::query::plan::distinct;
use crate::query::{Order, Span};
use crate::state::State;

/// See [`MessageFilter`].
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Columns with their values, each at least one, distinct.
    pub(super) lists: Vec<(Column, Vec<Value>)>,
    /// One status; `None` = both that the table holds.
    pub(super) status: Option<i64>,
    pub(super) span: Span,
    pub(super) blocks: Blocks,
    pub(super) sort: MessageSort,
    pub(super) order: Order,
}

impl Wanted {
    /// `None` when no message can match.
    pub(super) fn of(state: &State<'_>, filter: &MessageFilter) -> Result<Option<Wanted>, Error> {
        let status = match filter.statuses.as_deref().map(held) {
            Some(Held::None) => return Ok(None),
            Some(Held::One(status)) => Some(status),
            Some(Held::Both) | None => None,
        };
        let mut lists = Vec::new();
        for column in Column::ALL {
            let Some(texts) = column.asked(filter) else {
                continue;
            };
            let values = values_of(state, column, texts)?;
            if values.is_empty() {
                return Ok(None);
            }
            lists.push((column, values));
        }
        Ok(Some(Wanted {
            lists,
            status,
            span: filter.span,
            blocks: filter.blocks,
            sort: filter.sort,
            order: filter.order,
        }))
    }

    pub(super) fn values(&self, column: Column) -> Option<&[Value]> {
        let found = self.lists.iter().find(|(listed, _)| *listed == column);
        found.map(|(_, values)| values.as_slice())
    }

    /// Codes of the types asked for.
    pub(super) fn types(&self) -> Option<Vec<i64>> {
        self.values(Column::Type).map(integers)
    }
}

/// The integers among values.
fn integers(values: &[Value]) -> Vec<i64> {
    let integer = |value: &Value| match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    };
    values.iter().filter_map(integer).collect()
}

enum Held {
    None,
    One(i64),
    Both,
}

/// The wanted ones of the two statuses that the table holds.
fn held(wanted: &[beth_protocol::Status]) -> Held {
    let mut codes: Vec<i64> = wanted.iter().copied().filter_map(status_code).collect();
    codes.sort_unstable();
    codes.dedup();
    match codes.as_slice() {
        [] => Held::None,
        [status] => Held::One(*status),
        _ => Held::Both,
    }
}

fn values_of(state: &State<'_>, column: Column, texts: &[String]) -> Result<Vec<Value>, Error> {
    let texts = distinct(texts);
    if column == Column::Type {
        return Ok(codes_of(&texts).into_iter().map(Value::Integer).collect());
    }
    if !column.is_named() {
        return Ok(texts.into_iter().map(Value::Text).collect());
    }
    let mut ids = Vec::with_capacity(texts.len());
    for text in &texts {
        if let Some(id) = state.known_name(text)? {
            ids.push(Value::Integer(id));
        }
    }
    Ok(ids)
}
