//! Credits of an address: its lots and its history (core-api.md §3.7, §7.8).

use beth_protocol::credits::{Lot, Record, RecordKind};
use beth_protocol::decimal::Decimal;
use beth_protocol::time::Timestamp;
use rusqlite::{Params, Row};

use crate::error::Error;
use crate::state::State;

/// A row of the credit history of an address.
#[derive(Clone, Debug, PartialEq)]
pub struct CreditEvent {
    /// The post.
    pub credit_ref: String,
    /// Its content time.
    pub time: Timestamp,
    /// What it moved.
    pub record: Record,
}

/// The columns of an event.
pub(super) const EVENT: &str = "credit_ref, time, credit_index, kind, address, amount, expiration, bonus_amount,
    tx_hash, token, chain, provider, origin, origin_ref, payment_method, expense_count, price, expense_size_mib";

impl State<'_> {
    /// Lots of an address in the order they are used, empty ones included.
    pub fn lots_of(&self, address: &str) -> Result<Vec<Lot>, Error> {
        self.all(
            "SELECT granted, credit_ref, credit_index, amount, remaining, expiration FROM credit_lots
             WHERE address = ?1 ORDER BY granted, credit_ref, credit_index",
            [address],
            lot,
        )
    }

    /// Everything that credit posts moved for an address, oldest first.
    pub fn credit_history_of(&self, address: &str) -> Result<Vec<CreditEvent>, Error> {
        let sql = format!(
            "SELECT {EVENT} FROM credit_history WHERE address = ?1 ORDER BY time, credit_ref, credit_index"
        );
        self.credit_events(&sql, [address])
    }

    /// The rows of a statement that selects [`EVENT`].
    pub(super) fn credit_events(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Vec<CreditEvent>, Error> {
        let rows = self.all(sql, params, |row| {
            Ok((event(row)?, row.get(16)?, row.get(17)?))
        })?;
        rows.into_iter()
            .map(|(mut event, price, size)| {
                event.record.price = amount(price)?;
                event.record.expense_size_mib = amount(size)?;
                Ok(event)
            })
            .collect()
    }

    /// Credits that a resource has used, as expenses state them.
    pub fn consumed_credits(&self, resource: &str) -> Result<u128, Error> {
        let amounts: Vec<i64> = self.all(
            "SELECT amount FROM credit_history
             WHERE payment_method = 'credit_expense' AND coalesce(origin, origin_ref) = ?1",
            [resource],
            |row| row.get(0),
        )?;
        Ok(amounts
            .into_iter()
            .map(|amount| u128::from(amount.unsigned_abs()))
            .sum())
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<CreditEvent> {
    let kind = match row.get::<_, String>(3)?.as_str() {
        "shared" => RecordKind::Shared,
        _ => RecordKind::Stated,
    };
    Ok(CreditEvent {
        credit_ref: row.get(0)?,
        time: Timestamp::from_micros(row.get(1)?),
        record: Record {
            index: row.get(2)?,
            kind,
            address: row.get(4)?,
            amount: row.get(5)?,
            expiration: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_micros),
            price: None,
            bonus_amount: row.get(7)?,
            tx_hash: row.get(8)?,
            token: row.get(9)?,
            chain: row.get(10)?,
            provider: row.get(11)?,
            origin: row.get(12)?,
            origin_ref: row.get(13)?,
            payment_method: row.get(14)?,
            expense_count: row.get(15)?,
            expense_size_mib: None,
        },
    })
}

fn amount(text: Option<String>) -> Result<Option<Decimal>, Error> {
    text.map(|text| {
        Decimal::parse(&text).ok_or_else(|| Error::Damaged(format!("'{text}' is no amount")))
    })
    .transpose()
}

pub(crate) fn lot(row: &Row<'_>) -> rusqlite::Result<Lot> {
    Ok(Lot {
        granted: Timestamp::from_micros(row.get(0)?),
        credit_ref: row.get(1)?,
        index: row.get(2)?,
        amount: row.get(3)?,
        remaining: row.get(4)?,
        expiration: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
    })
}
