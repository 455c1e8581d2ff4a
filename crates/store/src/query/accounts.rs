//! What an address owns and what its messages cost (core-api.md §7, §8.1).

use std::collections::BTreeMap;

use beth_protocol::content::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::time::Timestamp;
use serde_json::Value;

use super::Order;
use crate::error::Error;
use crate::state::{State, json};

/// One line of the stored bill of a message.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct StoredCost {
    /// `EXECUTION`, `STORAGE`, …
    pub cost_type: String,
    pub name: String,
    /// The file it is about.
    pub reference: Option<String>,
    pub hold: Decimal,
    pub stream: Decimal,
    pub credit: Decimal,
    pub size_mib: Option<Decimal>,
}

impl State<'_> {
    /// Tokens of an address by chain, as far as no dapp holds them.
    pub fn balances_by_chain(&self, address: &str) -> Result<Vec<(String, Decimal)>, Error> {
        let sql =
            "SELECT chain, balance FROM balances WHERE address = ?1 AND dapp = '' ORDER BY chain";
        let rows = self.all(sql, [address], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        rows.into_iter()
            .map(|(chain, balance)| Ok((chain, decimal(&balance)?)))
            .collect()
    }

    /// Unexpired credits of an address by expiration, those without one first.
    pub fn credits_by_expiration(
        &self,
        address: &str,
        now: Timestamp,
    ) -> Result<Vec<(Option<Timestamp>, u64)>, Error> {
        let rows: Vec<(Option<i64>, i64)> = self.all(
            "SELECT expiration, remaining FROM credit_lots
             WHERE address = ?1 AND remaining > 0 AND (expiration IS NULL OR expiration > ?2)",
            (address, now.micros()),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let mut sums: BTreeMap<Option<Timestamp>, u64> = BTreeMap::new();
        for (expiration, remaining) in rows {
            let sum = sums
                .entry(expiration.map(Timestamp::from_micros))
                .or_default();
            *sum = sum.saturating_add(remaining.max(0) as u64);
        }
        Ok(sums.into_iter().collect())
    }

    /// How a message is paid, and its bill; `None` when it costs nothing.
    pub fn costs_of(
        &self,
        item_hash: &str,
    ) -> Result<Option<(PaymentType, Vec<StoredCost>)>, Error> {
        let rows = self.all(
            "SELECT payment, type, name, hold, stream, credit, size_mib, ref FROM costs WHERE item_hash = ?1 ORDER BY ordinal",
            [item_hash],
            |row| {
                let text = |index| row.get::<_, String>(index);
                let optional = |index| row.get::<_, Option<String>>(index);
                let amounts = [text(3)?, text(4)?, text(5)?];
                Ok((text(0)?, text(1)?, text(2)?, amounts, (optional(6)?, optional(7)?)))
            },
        )?;
        let mut payment = None;
        let mut costs = Vec::with_capacity(rows.len());
        for (paid, cost_type, name, [hold, stream, credit], (size, reference)) in rows {
            payment = Some(payment_of(&paid)?);
            costs.push(StoredCost {
                cost_type,
                name,
                reference,
                hold: decimal(&hold)?,
                stream: decimal(&stream)?,
                credit: decimal(&credit)?,
                size_mib: size.as_deref().map(decimal).transpose()?,
            });
        }
        Ok(payment.map(|payment| (payment, costs)))
    }

    /// Programs that want to be called for messages: their hash and the
    /// subscriptions as written, by the time of the program.
    pub fn triggers(&self, order: Order) -> Result<Vec<(String, Value)>, Error> {
        let sql = format!(
            "SELECT item_hash, triggers FROM machines WHERE triggers IS NOT NULL ORDER BY created {}, item_hash",
            order.sql()
        );
        let rows = self.all(&sql, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        rows.into_iter()
            .map(|(hash, triggers)| Ok((hash, json(&triggers)?)))
            .collect()
    }

    /// Distinct types of the posts that an address sent, sorted.
    pub fn post_types_of(&self, sender: &str) -> Result<Vec<String>, Error> {
        self.all(
            "SELECT text FROM names WHERE id IN (
                 SELECT content_type FROM messages INDEXED BY messages_sender
                 WHERE sender = (SELECT id FROM names WHERE text = ?1) AND type = 0)
             ORDER BY text",
            [sender],
            |row| row.get(0),
        )
    }

    /// Distinct channels of the messages that an address sent, sorted.
    pub fn channels_of(&self, sender: &str) -> Result<Vec<String>, Error> {
        self.all(
            "SELECT text FROM names WHERE id IN (
                 SELECT channel FROM messages INDEXED BY messages_sender
                 WHERE sender = (SELECT id FROM names WHERE text = ?1))
             ORDER BY text",
            [sender],
            |row| row.get(0),
        )
    }
}

pub(super) fn decimal(text: &str) -> Result<Decimal, Error> {
    Decimal::parse(text).ok_or_else(|| Error::Damaged(format!("'{text}' is no amount")))
}

pub(super) fn payment_of(text: &str) -> Result<PaymentType, Error> {
    [
        PaymentType::Hold,
        PaymentType::Superfluid,
        PaymentType::Credit,
    ]
    .into_iter()
    .find(|payment| payment.as_str() == text)
    .ok_or_else(|| Error::Damaged(format!("unknown payment type '{text}'")))
}
