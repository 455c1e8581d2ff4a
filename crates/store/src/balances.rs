//! Token balances (processing.md §14.1).
//!
//! They come in `balances-update` posts. Whatever else learns balances, such as
//! a reader of a chain, hands the same [`BalanceUpdate`]s to
//! [`State::apply_balances`] from a task on the writer; streams, when they are
//! read, are rows of their own beside this table and are checked where
//! `payment::judge_resource` lets superfluid pass today.

use std::time::{SystemTime, UNIX_EPOCH};

use beth_protocol::decimal::Decimal;
use beth_protocol::digest::{Fact, Part};
use beth_protocol::judge::BalanceUpdate;
use beth_protocol::time::Timestamp;
use rusqlite::Row;

use crate::error::Error;
use crate::state::State;

impl State<'_> {
    /// Sets balances, each unless a newer one is known. Of two as of the same
    /// block the smaller one holds, whichever came first. Other addresses keep
    /// theirs.
    pub fn apply_balances(&self, updates: &[BalanceUpdate]) -> Result<(), Error> {
        for update in updates {
            if self.is_outdone(update)? {
                continue;
            }
            if let Some(fact) = self.balance_fact(update)? {
                self.fact_removed(&fact);
            }
            self.run(
                "INSERT INTO balances (address, chain, dapp, balance, height, last_update)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (address, chain, dapp) DO UPDATE
                 SET last_update = CASE WHEN balance = ?4 THEN last_update ELSE ?6 END, balance = ?4, height = ?5",
                (
                    &update.address,
                    &update.chain,
                    update.dapp.as_deref().unwrap_or_default(),
                    update.balance.to_string(),
                    update.height,
                    clock().micros(),
                ),
            )?;
            if let Some(fact) = self.balance_fact(update)? {
                self.fact_added(&fact);
            }
        }
        Ok(())
    }

    fn balance_fact(&self, update: &BalanceUpdate) -> Result<Option<Fact>, Error> {
        let dapp = update.dapp.as_deref().unwrap_or_default();
        self.one(
            &format!(
                "SELECT {COLUMNS} FROM balances WHERE address = ?1 AND chain = ?2 AND dapp = ?3"
            ),
            [&update.address, &update.chain, dapp],
            balance_fact,
        )
    }

    /// True when what is known stays.
    fn is_outdone(&self, update: &BalanceUpdate) -> Result<bool, Error> {
        let dapp = update.dapp.as_deref().unwrap_or_default();
        let known: Option<(i64, String)> = self.one(
            "SELECT height, balance FROM balances WHERE address = ?1 AND chain = ?2 AND dapp = ?3",
            [&update.address, &update.chain, dapp],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let Some((height, balance)) = known else {
            return Ok(false);
        };
        if height != update.height {
            return Ok(height > update.height);
        }
        // The text too: equal amounts may be written in several ways.
        let known = (Decimal::parse(&balance), balance);
        Ok(known <= (Some(update.balance.clone()), update.balance.to_string()))
    }

    /// Everything an address holds: chain, dapp, balance and height, by chain
    /// and dapp.
    pub fn holdings_of(&self, address: &str) -> Result<Vec<BalanceUpdate>, Error> {
        let rows: Vec<(String, String, String, i64)> = self.all(
            "SELECT chain, dapp, balance, height FROM balances WHERE address = ?1 ORDER BY chain, dapp",
            [address],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        rows.into_iter()
            .map(|(chain, dapp, balance, height)| {
                Ok(BalanceUpdate {
                    address: address.to_owned(),
                    chain,
                    dapp: Some(dapp).filter(|dapp| !dapp.is_empty()),
                    balance: Decimal::parse(&balance)
                        .ok_or_else(|| Error::Damaged(format!("'{balance}' is no amount")))?,
                    height,
                })
            })
            .collect()
    }

    /// Addresses whose balances changed at `since` or later.
    pub fn balances_changed(&self, since: Timestamp) -> Result<Vec<String>, Error> {
        self.all(
            "SELECT DISTINCT address FROM balances WHERE last_update >= ?1 ORDER BY address",
            [since.micros()],
            |row| row.get(0),
        )
    }
}

/// The columns that make the fact of a balance.
pub(crate) const COLUMNS: &str = "address, chain, dapp, balance, height";

/// The fact that an address has a balance, from the first five columns.
pub(crate) fn balance_fact(row: &Row<'_>) -> rusqlite::Result<Fact> {
    let mut fact = Fact::new(Part::Balances, "balance");
    for index in 0..4 {
        fact = fact.text(&row.get::<_, String>(index)?);
    }
    Ok(fact.number(row.get(4)?))
}

/// When a row changed, for the jobs of this node; no part of the state that
/// nodes agree on.
pub(crate) fn clock() -> Timestamp {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(elapsed.as_micros() as i64)
}
