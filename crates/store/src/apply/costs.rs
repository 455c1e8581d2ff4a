//! Bills (processing.md §16).

use beth_protocol::MessageType;
use beth_protocol::content::PaymentType;
use beth_protocol::cost::CostRow;
use beth_protocol::digest::{Fact, Part};
use rusqlite::Row;

use crate::error::Error;
use crate::keys::type_of;
use crate::state::State;

/// The columns that make the fact of a row.
pub(crate) const COLUMNS: &str =
    "item_hash, ordinal, owner, payment, type, name, ref, hold, stream, credit";

/// Messages that cost something, in the order in which this node took them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    /// Their hashes.
    pub hashes: Vec<String>,
    /// Where the next look begins; `None` at the end.
    pub next: Option<i64>,
}

/// True for resources: files and machines.
pub fn costs_something(message_type: MessageType) -> bool {
    use MessageType::{Instance, Program, Store, VerifiedProgram};
    matches!(message_type, Store | Program | Instance | VerifiedProgram)
}

impl State<'_> {
    /// Replaces the bill of a message.
    pub fn apply_costs(
        &self,
        item_hash: &str,
        (owner, payment): (&str, PaymentType),
        rows: &[CostRow],
    ) -> Result<(), Error> {
        self.delete_costs(item_hash)?;
        for (ordinal, row) in rows.iter().enumerate() {
            self.run(
                "INSERT INTO costs (item_hash, ordinal, owner, payment, type, name, ref, hold, stream, credit, size_mib)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                (
                    item_hash,
                    ordinal as i64,
                    owner,
                    payment.as_str(),
                    row.cost_type.as_str(),
                    &row.name,
                    &row.reference,
                    row.hold.to_cost_string(),
                    row.stream.to_cost_string(),
                    row.credit.to_cost_string(),
                    row.size_mib.as_ref().map(ToString::to_string),
                ),
            )?;
        }
        for fact in self.cost_facts(item_hash)? {
            self.fact_added(&fact);
        }
        Ok(())
    }

    /// Messages that cost something, in force, after this id: id and hash. The
    /// look ends after `limit` messages of any type; the last id seen, if there
    /// may be more.
    pub fn billed_after(&self, id: i64, limit: usize) -> Result<Billed, Error> {
        let rows: Vec<(i64, i64, String)> = self.all(
            "SELECT id, type, item_hash FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2",
            (id, limit as i64),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.0);
        let mut hashes = Vec::new();
        for (_, code, item_hash) in rows {
            if costs_something(type_of(code)?) {
                hashes.push(item_hash);
            }
        }
        Ok(Billed { hashes, next })
    }

    /// Deletes the bill of a message.
    pub(crate) fn delete_costs(&self, item_hash: &str) -> Result<(), Error> {
        for fact in self.cost_facts(item_hash)? {
            self.fact_removed(&fact);
        }
        self.run("DELETE FROM costs WHERE item_hash = ?1", [item_hash])?;
        Ok(())
    }

    fn cost_facts(&self, item_hash: &str) -> Result<Vec<Fact>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM costs WHERE item_hash = ?1");
        self.all(&sql, [item_hash], cost_fact)
    }
}

/// The fact that a line is on a bill, from the first ten columns.
pub(crate) fn cost_fact(row: &Row<'_>) -> rusqlite::Result<Fact> {
    let text = |index| row.get::<_, String>(index);
    let mut fact = Fact::new(Part::Costs, "cost")
        .text(&text(0)?)
        .number(row.get(1)?);
    for index in 2..=5 {
        fact = fact.text(&text(index)?);
    }
    fact = fact.optional(row.get::<_, Option<String>>(6)?.as_deref());
    for index in 7..=9 {
        fact = fact.text(&text(index)?);
    }
    Ok(fact)
}
