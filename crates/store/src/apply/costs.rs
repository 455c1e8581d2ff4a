//! Bills (processing.md §16).

use beth_protocol::content::PaymentType;
use beth_protocol::cost::CostRow;
use beth_protocol::digest::{Fact, Part};
use rusqlite::Row;

use crate::error::Error;
use crate::state::State;

/// The columns that make the fact of a row.
pub(crate) const COLUMNS: &str =
    "item_hash, ordinal, owner, payment, type, name, ref, hold, stream, credit";

impl State<'_> {
    pub(super) fn apply_costs(
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
