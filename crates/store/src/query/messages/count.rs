//! Totals of lists of messages, and the sizes by which a walk is chosen.
//!
//! What the writer counts is answered from its [`tallies`](crate::tallies);
//! the rest is counted along an index, and remembered for a while when that
//! was long (core-api.md §14.1).

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::column::Column;
use super::walk::{Size, Sizes};
use super::wanted::Wanted;
use super::{MessageFilter, MessageSort};
use crate::error::Error;
use crate::query::plan::{Conditions, equal};
use crate::query::{Order, Span};
use crate::state::State;
use crate::tallies::{Dimension, count_within};

/// Entries counted to estimate how often something is referred to.
const PROBE: i64 = 1_000;
/// Of what is not counted and more frequent than [`PROBE`], one message of so
/// many is assumed to have it.
const COMMON_SHARE: f64 = 20.0;

impl State<'_> {
    /// Messages of the whole list.
    pub fn count_messages(&self, filter: &MessageFilter) -> Result<u64, Error> {
        let Some(wanted) = Wanted::of(self, filter)? else {
            return Ok(0);
        };
        let sizes = self.sizes(&wanted)?;
        self.total(filter, &wanted, &sizes)
    }

    pub(super) fn total(
        &self,
        filter: &MessageFilter,
        wanted: &Wanted,
        sizes: &Sizes,
    ) -> Result<u64, Error> {
        if sizes.is_none() {
            return Ok(0);
        }
        if let Some(kept) = self.kept(wanted)? {
            return Ok(kept);
        }
        let key = || {
            let shape = MessageFilter {
                order: Order::default(),
                sort: MessageSort::default(),
                ..filter.clone()
            };
            format!("{shape:?}")
        };
        self.remembered(key, || self.counted_along(wanted, sizes))
    }

    /// The total and about how many entries were read for it.
    fn counted_along(&self, wanted: &Wanted, sizes: &Sizes) -> Result<(u64, f64), Error> {
        let (walks, price) = wanted.walks_through(sizes);
        let mut total = 0;
        for walk in walks {
            let (from, conditions) = wanted.scan(&walk, None);
            let what = if walk.values.len() > 1 && walk.way.is_tags() {
                "count(DISTINCT t.id)"
            } else {
                "count(*)"
            };
            let sql = format!("SELECT {what} FROM {from} WHERE {}", conditions.sql());
            total += self.number(&sql, conditions.params())?;
        }
        Ok((total, price))
    }

    /// The total, where the writer counts it.
    fn kept(&self, wanted: &Wanted) -> Result<Option<u64>, Error> {
        if wanted.blocks.is_limited() {
            return Ok(None);
        }
        let types = wanted.types();
        let mut others = wanted
            .lists
            .iter()
            .filter(|(column, _)| *column != Column::Type);
        let (other, more) = (others.next(), others.next());
        match (other, wanted.status) {
            (None, None) if wanted.span != Span::default() => {
                let (time, types) = (Dimension::Time, types.as_deref());
                let counted = |whole| self.tallied_between(time, whole, types);
                let read = |part| self.read_within(part, types);
                count_within(wanted.span, counted, read).map(Some)
            }
            (None, status) if wanted.span == Span::default() => {
                self.kept_of(types.as_deref(), status).map(Some)
            }
            (Some((column, values)), None) if more.is_none() && wanted.span == Span::default() => {
                let Some(dimension) = column.dimension() else {
                    return Ok(None);
                };
                if *column == Column::Tag && values.len() > 1 {
                    return Ok(None);
                }
                let names = self.names_of(values)?;
                let tallied = self.tallied(dimension, &names, types.as_deref())?;
                Ok(Some(tallied.wanted))
            }
            _ => Ok(None),
        }
    }

    /// Messages by type and status.
    fn kept_of(&self, types: Option<&[i64]>, status: Option<i64>) -> Result<u64, Error> {
        let mut conditions = Conditions::default();
        for (column, codes) in [
            ("type", types.map(<[i64]>::to_vec)),
            ("status", status.map(|status| vec![status])),
        ] {
            if let Some(codes) = codes {
                conditions.coded(column, &codes);
            }
        }
        let sql = format!(
            "SELECT coalesce(sum(count), 0) FROM counters WHERE {}",
            conditions.sql()
        );
        self.number(&sql, conditions.params())
    }

    fn read_within(&self, span: Span, types: Option<&[i64]>) -> Result<u64, Error> {
        let mut conditions = Conditions::default();
        conditions.within("time", span);
        if let Some(types) = types {
            conditions.coded("type", types);
        }
        let sql = format!(
            "SELECT count(*) FROM messages INDEXED BY messages_time WHERE {}",
            conditions.sql()
        );
        self.number(&sql, conditions.params())
    }

    /// How many messages each list of a filter may match.
    pub(super) fn sizes(&self, wanted: &Wanted) -> Result<Sizes, Error> {
        let all = self.kept_of(None, None)? as f64;
        let removing = match wanted.status {
            Some(1) => self.kept_of(None, Some(1))? as f64,
            _ => all,
        };
        let types = wanted.types();
        let of_types = match &types {
            Some(types) => self.kept_of(Some(types), None)? as f64,
            None => all,
        };
        let is_alone = wanted.lists.len() == 1;
        let mut of = Vec::with_capacity(wanted.lists.len());
        for (column, values) in &wanted.lists {
            let size = match (column, column.dimension()) {
                (_, Some(dimension)) => {
                    let names = self.names_of(values)?;
                    let tallied = self.tallied(dimension, &names, types.as_deref())?;
                    Size::of(
                        tallied.all as f64,
                        tallied.wanted as f64 / of_types.max(1.0),
                    )
                }
                // What the others are shares of.
                (Column::Type, _) => Size::of(of_types, 1.0),
                (Column::Hash, _) => {
                    Size::of(values.len() as f64, values.len() as f64 / all.max(1.0))
                }
                _ if is_alone => Size::of(1.0, 1.0 / all.max(1.0)),
                (column, _) => {
                    let count = self.probed(*column, values, all)?;
                    Size::of(count, count / all.max(1.0))
                }
            };
            of.push((*column, size));
        }
        Ok(Sizes {
            all,
            of_types,
            removing,
            of,
        })
    }

    fn probed(&self, column: Column, values: &[Value], all: f64) -> Result<f64, Error> {
        let (condition, mut params) = equal(&format!("t.{}", column.sql()), values);
        let from = super::column::Way::Of(column).from();
        params.push(Value::Integer(PROBE));
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {from} WHERE {condition} LIMIT ?)");
        let found: Option<i64> = self.one(&sql, params_from_iter(params), |row| row.get(0))?;
        let found = found.unwrap_or_default();
        Ok(if found < PROBE {
            found as f64
        } else {
            (all / COMMON_SHARE).max(PROBE as f64)
        })
    }

    /// Ids of values; of texts, those that are names.
    fn names_of(&self, values: &[Value]) -> Result<Vec<i64>, Error> {
        let mut ids = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::Integer(id) => ids.push(*id),
                Value::Text(text) => ids.extend(self.known_name(text)?),
                _ => {}
            }
        }
        Ok(ids)
    }
}
