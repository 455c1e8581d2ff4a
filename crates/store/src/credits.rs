//! Credits: history, transfers and the lots they make (processing.md §14.2).
//!
//! ```text
//!  credit post ─▶ newer than everything known of its addresses?
//!                   yes ─▶ records, and the lots changed in place
//!                   no  ─▶ records; its addresses become stale from its time on
//!
//!  end of the transaction, or somebody asks for a balance ─▶ stale lots are made again
//! ```
//!
//! Lots are a fold over `credit_history` and `credit_transfers` in the order of
//! [`Place`](beth_protocol::credits::Place), so any order of arrival ends in
//! the same lots. Making them again costs one pass over the history of the
//! addresses concerned, once a transaction however many old posts it brought.

mod fold;

use beth_protocol::credits::{
    CreditMessage, Ledger, Lot, Movements, Record, RecordKind, Source, Transfer,
};
use beth_protocol::decimal::Decimal;
use beth_protocol::digest::{Fact, Part};
use beth_protocol::time::Timestamp;
use rusqlite::{Row, params};

use crate::balances::clock;
use crate::error::Error;
use crate::query::credits::lot;
use crate::state::State;

impl State<'_> {
    /// Applies a credit post. A post known already changes nothing.
    pub(crate) fn apply_credits(
        &self,
        credit_ref: &str,
        message: &CreditMessage,
    ) -> Result<(), Error> {
        if self.knows_credits(credit_ref)? {
            return Ok(());
        }
        let addresses = message.addresses();
        let is_newest = self.is_newest(&addresses, message.time)?;
        for record in message.records() {
            self.insert_record(credit_ref, message.time, &record)?;
        }
        self.insert_transfers(credit_ref, message)?;
        if !is_newest {
            return addresses
                .into_iter()
                .try_for_each(|address| self.mark_stale(address, message.time));
        }
        let mut ledger = Ledger::default();
        for address in addresses {
            ledger.open(address, self.live_lots(address)?);
        }
        for record in ledger.carry_out(&message.step(credit_ref)) {
            self.insert_record(credit_ref, message.time, &record)?;
        }
        for (address, lots) in ledger.into_lots() {
            lots.iter()
                .try_for_each(|lot| self.write_lot(&address, lot))?;
        }
        Ok(())
    }

    /// Credits of an address that have not ended at `now`.
    pub(crate) fn credits_of(&self, address: &str, now: Timestamp) -> Result<Decimal, Error> {
        let amounts: Vec<i64> = self.all(
            "SELECT remaining FROM credit_lots
             WHERE address = ?1 AND remaining > 0 AND (expiration IS NULL OR expiration > ?2)",
            (address, now.micros()),
            |row| row.get(0),
        )?;
        let sum: i128 = amounts.into_iter().map(i128::from).sum();
        Decimal::parse(&sum.to_string()).ok_or_else(|| Error::Damaged(format!("{sum} credits")))
    }

    /// Addresses with new credit history at `since` or later.
    pub fn credits_changed(&self, since: Timestamp) -> Result<Vec<String>, Error> {
        self.all(
            "SELECT DISTINCT address FROM credit_history WHERE last_update >= ?1 ORDER BY address",
            [since.micros()],
            |row| row.get(0),
        )
    }

    pub(crate) fn knows_credits(&self, credit_ref: &str) -> Result<bool, Error> {
        let row = self.one(
            "SELECT 1 FROM credit_history WHERE credit_ref = ?1
             UNION ALL SELECT 1 FROM credit_transfers WHERE credit_ref = ?1 LIMIT 1",
            [credit_ref],
            |_| Ok(()),
        )?;
        Ok(row.is_some())
    }

    /// True when nothing of that time or later is known of any address, and
    /// the lots of all are as they should be.
    fn is_newest(&self, addresses: &[&str], time: Timestamp) -> Result<bool, Error> {
        for address in addresses {
            let later = self.one(
                "SELECT 1 FROM credit_history WHERE address = ?1 AND time >= ?2
                 UNION ALL SELECT 1 FROM credit_stale WHERE address = ?1 LIMIT 1",
                (address, time.micros()),
                |_| Ok(()),
            )?;
            if later.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn mark_stale(&self, address: &str, since: Timestamp) -> Result<(), Error> {
        self.run(
            "INSERT INTO credit_stale (address, time) VALUES (?1, ?2)
             ON CONFLICT (address) DO UPDATE SET time = min(time, ?2)",
            (address, since.micros()),
        )?;
        Ok(())
    }

    fn insert_record(
        &self,
        credit_ref: &str,
        time: Timestamp,
        record: &Record,
    ) -> Result<(), Error> {
        self.run(
            "INSERT INTO credit_history (credit_ref, credit_index, kind, address, amount, time, expiration, price,
                bonus_amount, tx_hash, token, chain, provider, origin, origin_ref, payment_method, expense_count,
                expense_size_mib, last_update)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            params![
                credit_ref,
                record.index,
                kind_name(record.kind),
                record.address,
                record.amount,
                time.micros(),
                record.expiration.map(Timestamp::micros),
                record.price.as_ref().map(ToString::to_string),
                record.bonus_amount,
                record.tx_hash,
                record.token,
                record.chain,
                record.provider,
                record.origin,
                record.origin_ref,
                record.payment_method,
                record.expense_count,
                record.expense_size_mib.as_ref().map(ToString::to_string),
                clock().micros(),
            ],
        )?;
        Ok(())
    }

    fn insert_transfers(&self, credit_ref: &str, message: &CreditMessage) -> Result<(), Error> {
        let Movements::Transfer(Transfer {
            sender,
            source: Source::Lots,
            handovers,
        }) = &message.movements
        else {
            return Ok(());
        };
        for (position, handover) in (0i64..).zip(handovers) {
            self.run(
                "INSERT INTO credit_transfers (credit_ref, position, sender, recipient, amount, expiration, time)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                (
                    credit_ref,
                    position,
                    sender,
                    &handover.address,
                    handover.amount,
                    handover.expiration.map(Timestamp::micros),
                    message.time.micros(),
                ),
            )?;
        }
        Ok(())
    }

    fn live_lots(&self, address: &str) -> Result<Vec<Lot>, Error> {
        self.all(
            "SELECT granted, credit_ref, credit_index, amount, remaining, expiration FROM credit_lots
             WHERE address = ?1 AND remaining > 0",
            [address],
            lot,
        )
    }

    fn write_lot(&self, address: &str, lot: &Lot) -> Result<(), Error> {
        for fact in self.lot_facts(address, Some((&lot.credit_ref, lot.index.into())))? {
            self.fact_removed(&fact);
        }
        self.run(
            "INSERT INTO credit_lots (address, credit_ref, credit_index, amount, remaining, expiration, granted)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (address, credit_ref, credit_index) DO UPDATE SET remaining = ?5",
            (
                address,
                &lot.credit_ref,
                lot.index,
                lot.amount,
                lot.remaining,
                lot.expiration.map(Timestamp::micros),
                lot.granted.micros(),
            ),
        )?;
        for fact in self.lot_facts(address, Some((&lot.credit_ref, lot.index.into())))? {
            self.fact_added(&fact);
        }
        Ok(())
    }

    fn delete_lots(&self, address: &str) -> Result<(), Error> {
        for fact in self.lot_facts(address, None)? {
            self.fact_removed(&fact);
        }
        self.run("DELETE FROM credit_lots WHERE address = ?1", [address])?;
        Ok(())
    }

    /// The facts of all lots of an address, or of one.
    fn lot_facts(&self, address: &str, lot: Option<(&str, i64)>) -> Result<Vec<Fact>, Error> {
        match lot {
            Some((credit_ref, index)) => self.all(
                &format!(
                    "SELECT {LOT_COLUMNS} FROM credit_lots WHERE address = ?1 AND credit_ref = ?2 AND credit_index = ?3"
                ),
                (address, credit_ref, index),
                lot_fact,
            ),
            None => self.all(
                &format!("SELECT {LOT_COLUMNS} FROM credit_lots WHERE address = ?1"),
                [address],
                lot_fact,
            ),
        }
    }
}

/// The columns that make the fact of a lot.
pub(crate) const LOT_COLUMNS: &str =
    "address, credit_ref, credit_index, remaining, expiration, granted";

/// The fact that an address has a lot, from the first six columns.
pub(crate) fn lot_fact(row: &Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact::new(Part::Credits, "lot")
        .text(&row.get::<_, String>(0)?)
        .text(&row.get::<_, String>(1)?)
        .number(row.get(2)?)
        .number(row.get(3)?)
        .number(row.get::<_, Option<i64>>(4)?.unwrap_or(i64::MAX))
        .number(row.get(5)?))
}

fn kind_name(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Stated => "stated",
        RecordKind::Shared => "shared",
    }
}
