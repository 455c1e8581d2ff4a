//! What resources cost, summed up and listed (core-api.md §8.4).

use beth_protocol::content::PaymentType;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::Page;
use super::Window;
use super::accounts::StoredCost;
use super::plan::{Conditions, text};
use crate::error::Error;
use crate::state::State;

/// Which resources.
#[derive(Clone, Debug, PartialEq)]
pub struct CostFilter {
    /// Who pays.
    pub owner: Option<String>,
    /// The message.
    pub item_hash: Option<String>,
    /// How it is paid.
    pub payment: PaymentType,
}

/// Three sums of costs, in units of 10⁻¹⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CostSums {
    pub hold: i128,
    pub stream: i128,
    pub credit: i128,
}

/// Everything a filter finds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CostSummary {
    pub sums: CostSums,
    pub resources: u64,
    /// Credits used by all of them, however they are paid.
    pub consumed_credits: i64,
}

/// A resource and its bill.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ResourceCost {
    pub item_hash: String,
    pub owner: String,
    pub sums: CostSums,
    pub consumed_credits: u128,
    pub lines: Vec<StoredCost>,
}

impl CostSums {
    fn add(&mut self, [hold, stream, credit]: [&str; 3]) -> Result<(), Error> {
        let sums = [
            (&mut self.hold, hold),
            (&mut self.stream, stream),
            (&mut self.credit, credit),
        ];
        for (sum, amount) in sums {
            let amount = smallest_units(amount)
                .ok_or_else(|| Error::Damaged(format!("'{amount}' is no cost")))?;
            *sum = sum.saturating_add(amount);
        }
        Ok(())
    }
}

/// A cost as stored, with exactly 18 digits behind the point.
fn smallest_units(cost: &str) -> Option<i128> {
    let (whole, rest) = cost.split_once('.')?;
    if rest.len() != 18 || !rest.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let units = whole.parse::<i128>().ok()?.checked_mul(10i128.pow(18))?;
    let rest: i128 = rest.parse().ok()?;
    if whole.starts_with('-') {
        units.checked_sub(rest)
    } else {
        units.checked_add(rest)
    }
}

impl State<'_> {
    /// Sums of everything that a filter finds.
    pub fn cost_summary(&self, filter: &CostFilter) -> Result<CostSummary, Error> {
        let (table, conditions) = found(filter);
        let sql = format!(
            "SELECT item_hash, hold, stream, credit FROM {table} WHERE {} ORDER BY item_hash",
            conditions.sql()
        );
        let mut statement = self.connection().prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(conditions.params()))?;
        let mut summary = CostSummary::default();
        let mut last = String::new();
        while let Some(row) = rows.next()? {
            let text = |index| -> Result<&str, Error> {
                row.get_ref(index)?
                    .as_str()
                    .map_err(|error| Error::Damaged(error.to_string()))
            };
            let hash = text(0)?;
            if hash != last {
                hash.clone_into(&mut last);
                summary.resources += 1;
            }
            summary.sums.add([text(1)?, text(2)?, text(3)?])?;
        }
        summary.consumed_credits = self.credits_used(filter)?;
        Ok(summary)
    }

    /// A page of resources by their hash, with their bills.
    pub fn resource_costs(
        &self,
        filter: &CostFilter,
        (number, size): (u64, u64),
        total: u64,
    ) -> Result<Page<ResourceCost, String>, Error> {
        let window: Window<String> = Window::Page { number, size };
        let (table, conditions) = found(filter);
        let sql = format!(
            "SELECT DISTINCT item_hash, owner FROM {table} WHERE {} ORDER BY item_hash LIMIT ? OFFSET ?",
            conditions.sql()
        );
        let hashes: Vec<(String, String)> = self.all(
            &sql,
            params_from_iter(conditions.windowed(&window)),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let rows = hashes
            .into_iter()
            .map(|(hash, owner)| self.resource_cost(hash, owner));
        window.page(
            rows.collect::<Result<Vec<_>, Error>>()?,
            |row| row.item_hash.clone(),
            || Ok(total),
        )
    }

    fn resource_cost(&self, item_hash: String, owner: String) -> Result<ResourceCost, Error> {
        let lines = self.costs_of(&item_hash)?.map_or(Vec::new(), |bill| bill.1);
        let mut sums = CostSums::default();
        for line in &lines {
            let texts = [&line.hold, &line.stream, &line.credit].map(|cost| cost.to_cost_string());
            let [hold, stream, credit] = &texts;
            sums.add([hold, stream, credit])?;
        }
        Ok(ResourceCost {
            consumed_credits: self.consumed_credits(&item_hash)?,
            item_hash,
            owner,
            sums,
            lines,
        })
    }

    fn credits_used(&self, filter: &CostFilter) -> Result<i64, Error> {
        let mut conditions = Conditions::default();
        conditions.add("payment_method = 'credit_expense'", []);
        let index = match (&filter.item_hash, &filter.owner) {
            (None, Some(_)) => "credit_history_address",
            _ => "credit_history_resource",
        };
        if let Some(hash) = &filter.item_hash {
            conditions.add("coalesce(origin, origin_ref) = ?", [text(hash)]);
        }
        if let Some(owner) = &filter.owner {
            conditions.add("address = ?", [text(owner)]);
        }
        let sql = format!(
            "SELECT -coalesce(sum(min(amount, 0)), 0) FROM credit_history INDEXED BY {index} WHERE {}",
            conditions.sql()
        );
        let used: Option<i64> = self.one(&sql, params_from_iter(conditions.params()), |row| {
            row.get(0)
        })?;
        Ok(used.unwrap_or(0))
    }
}

/// The table with the index to read it by, and the conditions.
fn found(filter: &CostFilter) -> (&'static str, Conditions) {
    let mut conditions = Conditions::default();
    let mut table = "costs";
    if let Some(owner) = &filter.owner {
        table = "costs INDEXED BY costs_owner";
        conditions.add("owner = ?", [text(owner)]);
    }
    if let Some(hash) = &filter.item_hash {
        table = "costs";
        conditions.add("item_hash = ?", [text(hash)]);
    }
    let payment: Value = text(filter.payment.as_str());
    conditions.add("payment = ?", [payment]);
    (table, conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_counted_in_their_smallest_unit() {
        for (cost, units) in [
            ("0.000000000000000001", Some(1)),
            ("1.500000000000000000", Some(1_500_000_000_000_000_000)),
            ("-0.000000000000000007", Some(-7)),
            ("-2.000000000000000001", Some(-2_000_000_000_000_000_001)),
            ("1.5", None),
            ("1", None),
            ("1.00000000000000000x", None),
        ] {
            assert_eq!(smallest_units(cost), units, "{cost}");
        }
    }
}
