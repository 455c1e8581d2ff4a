//! The state digest: as kept, and as computed again from every row.
//!
//! The kept sums change with each effect; [`State::recompute_digest`] reads the
//! whole state. That both agree shows that no effect was applied by half.

use beth_protocol::digest::{Fact, Part, StateHash};
use beth_protocol::time::Timestamp;
use beth_protocol::view::KnownTag;

use rusqlite::Row;

use crate::apply::{costs, in_force, merged_to, points_to, sum_of};
use crate::error::Error;
use crate::state::{STORED, State, json, stored};
use crate::{balances, credits};

/// The digest of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDigest {
    /// Over every part but the costs, in hex: what nodes compare.
    pub whole: String,
    /// Of each part, in hex: where two nodes differ.
    pub parts: Vec<(Part, String)>,
    /// Messages in force.
    pub messages: u64,
}

/// Reads the fact that a row stands for.
type ReadFact = fn(&Row<'_>) -> rusqlite::Result<Fact>;

impl State<'_> {
    /// The digest as kept by the writer: a look-up.
    pub fn digest(&self) -> Result<StateDigest, Error> {
        self.digest_of(&self.sums()?)
    }

    /// The digest computed from every row of the state; takes time and finds
    /// rows that do not fit together.
    pub fn recompute_digest(&self) -> Result<StateDigest, Error> {
        let mut sums = StateHash::default();
        self.sum_messages(&mut sums)?;
        self.sum_posts(&mut sums)?;
        self.sum_aggregates(&mut sums)?;
        self.sum_tags(&mut sums)?;
        self.sum_accounts(&mut sums)?;
        self.digest_of(&sums)
    }

    fn digest_of(&self, sums: &StateHash) -> Result<StateDigest, Error> {
        Ok(StateDigest {
            whole: const_hex::encode(sums.digest()),
            parts: Part::ALL
                .into_iter()
                .map(|part| (part, const_hex::encode(sums.part(part).digest())))
                .collect(),
            messages: self.totals()?.messages,
        })
    }

    fn sum_messages(&self, sums: &mut StateHash) -> Result<(), Error> {
        let sql = format!("SELECT {STORED} FROM messages");
        self.each(&sql, |row| {
            sums.add(&in_force(&stored(row)?.message));
            Ok(())
        })
    }

    fn sum_posts(&self, sums: &mut StateHash) -> Result<(), Error> {
        let rows = self.all(
            "SELECT id, latest FROM posts WHERE latest IS NOT NULL",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        for (original, latest) in rows {
            sums.add(&self.latest(original, latest)?);
        }
        Ok(())
    }

    fn sum_aggregates(&self, sums: &mut StateHash) -> Result<(), Error> {
        let sql = "SELECT owner, key, last_updated, last_revision, content FROM aggregates";
        self.each(sql, |row| {
            let (owner, key): (String, String) = (row.get(0)?, row.get(1)?);
            let last = (row.get(2)?, row.get(3)?);
            let sum = sum_of(&json(&row.get::<_, String>(4)?)?);
            sums.add(&merged_to((&owner, &key), &last, &sum));
            Ok(())
        })
    }

    fn sum_tags(&self, sums: &mut StateHash) -> Result<(), Error> {
        let sql = "SELECT tag, owner, file_hash, last_updated FROM file_tags";
        self.each(sql, |row| {
            let tag: String = row.get(0)?;
            let known = KnownTag {
                owner: row.get(1)?,
                file_hash: row.get(2)?,
                last_updated: Timestamp::from_micros(row.get(3)?),
            };
            if let Some(fact) = points_to(&tag, &known) {
                sums.add(&fact);
            }
            Ok(())
        })
    }

    fn sum_accounts(&self, sums: &mut StateHash) -> Result<(), Error> {
        let tables: [(&str, &str, ReadFact); 3] = [
            ("balances", balances::COLUMNS, balances::balance_fact),
            ("credit_lots", credits::LOT_COLUMNS, credits::lot_fact),
            ("costs", costs::COLUMNS, costs::cost_fact),
        ];
        for (table, columns, fact) in tables {
            self.each(&format!("SELECT {columns} FROM {table}"), |row| {
                sums.add(&fact(row)?);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Walks rows without keeping them.
    fn each(
        &self,
        sql: &str,
        mut work: impl FnMut(&Row<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            work(row)?;
        }
        Ok(())
    }
}
