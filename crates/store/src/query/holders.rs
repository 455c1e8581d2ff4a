//! Everybody who holds tokens or credits (core-api.md §7.4, §7.5).
//!
//! Both lists are read in the order of their primary key, so a page by cursor
//! costs its rows.

use beth_protocol::decimal::Decimal;
use beth_protocol::time::Timestamp;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::accounts::decimal;
use super::plan::{Conditions, text};
use super::{Page, Window};
use crate::error::Error;
use crate::state::State;

/// Tokens of an address on a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// Whose, where.
    pub place: HoldingPlace,
    /// How many.
    pub balance: Decimal,
}

/// A place in the list of holdings. What an older node wrote has the address
/// alone, and means everything of that address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldingPlace {
    /// Whose.
    pub address: String,
    /// On which chain.
    pub chain: Option<String>,
    /// In which application; empty for none.
    pub dapp: String,
}

/// Credits of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditHolder {
    /// Whose.
    pub address: String,
    /// How many are left.
    pub credits: u64,
}

impl State<'_> {
    /// A part of the list of token balances, by address and chain; `chains`
    /// keeps some chains, `balance_min` balances of at least so many tokens.
    pub fn holdings(
        &self,
        chains: Option<&Vec<String>>,
        balance_min: Option<u64>,
        window: &Window<HoldingPlace>,
    ) -> Result<Page<Holding, HoldingPlace>, Error> {
        let mut conditions = Conditions::default();
        conditions.optional("chain", chains);
        if let Some(min) = balance_min {
            conditions.add("CAST(balance AS REAL) >= ?", [Value::Real(min as f64)]);
        }
        let total = format!("SELECT count(*) FROM balances WHERE {}", conditions.sql());
        let total_params = conditions.params();
        match window.key() {
            Some(HoldingPlace {
                address,
                chain: Some(chain),
                dapp,
            }) => conditions.add(
                "(address, chain, dapp) > (?, ?, ?)",
                [text(address), text(chain), text(dapp)],
            ),
            Some(place) => conditions.add("address > ?", [text(&place.address)]),
            None => {}
        }
        let sql = format!(
            "SELECT address, chain, dapp, balance FROM balances WHERE {}
             ORDER BY address, chain, dapp LIMIT ? OFFSET ?",
            conditions.sql()
        );
        let rows = self.all(&sql, params_from_iter(conditions.windowed(window)), |row| {
            let place = HoldingPlace {
                address: row.get(0)?,
                chain: Some(row.get(1)?),
                dapp: row.get(2)?,
            };
            Ok((place, row.get::<_, String>(3)?))
        })?;
        let rows = rows.into_iter().map(|(place, balance)| {
            let balance = decimal(&balance)?;
            Ok(Holding { place, balance })
        });
        window.page(
            rows.collect::<Result<Vec<_>, Error>>()?,
            |row| row.place.clone(),
            || self.number(&total, total_params),
        )
    }

    /// A part of the list of addresses that ever had credits, and how many are
    /// left at `now`, by address; a place is an address.
    pub fn credit_holders(
        &self,
        credits_min: Option<u64>,
        now: Timestamp,
        window: &Window<String>,
    ) -> Result<Page<CreditHolder, String>, Error> {
        let amount: Value = credits_min
            .map_or(0, |min| i64::try_from(min).unwrap_or(i64::MAX))
            .into();
        let after = window.key().map_or("", String::as_str);
        let grouped = "FROM (SELECT address, sum(CASE WHEN expiration IS NULL OR expiration > ?1 THEN remaining ELSE 0 END)
                AS credits FROM credit_lots WHERE address > ?2 GROUP BY address) WHERE credits >= ?3";
        let (limit, offset) = window.limit_offset();
        let sql = format!("SELECT address, credits {grouped} ORDER BY address LIMIT ?4 OFFSET ?5");
        let params: Vec<Value> = vec![now.micros().into(), text(after), amount];
        let mut windowed = params.clone();
        windowed.extend([limit.into(), offset.into()]);
        let rows = self.all(&sql, params_from_iter(windowed), |row| {
            Ok(CreditHolder {
                address: row.get(0)?,
                credits: row.get::<_, i64>(1)?.max(0) as u64,
            })
        })?;
        let total = format!("SELECT count(*) {grouped}");
        window.page(
            rows,
            |row| row.address.clone(),
            || self.number(&total, params),
        )
    }
}
