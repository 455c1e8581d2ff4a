//! How nodes performed, by the posts that measure them (processing.md §14.3).
//!
//! Rows go with their post, or when they are too old. They are no part of the
//! state that nodes agree on: each node keeps what its operator wants.

use beth_protocol::judge::{Measured, Measurement};
use beth_protocol::time::Timestamp;
use serde_json::Value;

use super::Order;
use crate::error::Error;
use crate::state::{State, json};

/// A measurement and the post that states it.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasurementRow {
    /// The post.
    pub item_hash: String,
    /// When.
    pub at: Timestamp,
    /// As [`Measurement::figures`].
    pub figures: Vec<Value>,
}

impl State<'_> {
    /// Adds what a post states; `id` is that of its message.
    pub(crate) fn add_measurements(&self, id: i64, rows: &[Measurement]) -> Result<(), Error> {
        for (position, row) in rows.iter().enumerate() {
            let node = self.name(&row.node)?;
            self.run(
                "INSERT INTO measurements (kind, node, measured_at, post, position, figures)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (
                    code(row.measured),
                    node,
                    row.at.micros(),
                    id,
                    position as i64,
                    Value::from(row.figures.clone()).to_string(),
                ),
            )?;
        }
        Ok(())
    }

    /// A post is gone, and what it stated.
    pub(crate) fn drop_measurements(&self, id: i64) -> Result<(), Error> {
        self.run("DELETE FROM measurements WHERE post = ?1", [id])?;
        Ok(())
    }

    /// Measurements of a node from `first` to `last`, both included, the first
    /// `limit` in this order.
    pub fn measurements_of(
        &self,
        (measured, node): (Measured, &str),
        (first, last): (Timestamp, Timestamp),
        (order, limit): (Order, usize),
    ) -> Result<Vec<MeasurementRow>, Error> {
        let sql = format!(
            "SELECT messages.item_hash, measured_at, figures FROM measurements
             JOIN messages ON messages.id = measurements.post
             WHERE kind = ?1 AND node = (SELECT id FROM names WHERE text = ?2)
                 AND measured_at BETWEEN ?3 AND ?4
             ORDER BY measured_at {}, post, position LIMIT ?5",
            order.sql()
        );
        let bounds = (first.micros(), last.micros());
        let limits = (code(measured), node, bounds.0, bounds.1, limit as i64);
        let rows = self.all(&sql, limits, |row| {
            let at = Timestamp::from_micros(row.get(1)?);
            Ok((row.get(0)?, at, row.get::<_, String>(2)?))
        })?;
        rows.into_iter()
            .map(|(item_hash, at, figures)| {
                let figures = json(&figures)?.as_array().cloned();
                Ok(MeasurementRow {
                    item_hash,
                    at,
                    figures: figures.unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Deletes up to `limit` measurements made before `at`; answers how many.
    pub fn drop_old_measurements(&self, at: Timestamp, limit: usize) -> Result<usize, Error> {
        self.run(
            "DELETE FROM measurements WHERE (kind, node, measured_at, post, position) IN (
                 SELECT kind, node, measured_at, post, position FROM measurements INDEXED BY measurements_time
                 WHERE measured_at < ?1 LIMIT ?2)",
            (at.micros(), limit as i64),
        )
    }
}

fn code(measured: Measured) -> i64 {
    match measured {
        Measured::Core => 0,
        Measured::Compute => 1,
    }
}
