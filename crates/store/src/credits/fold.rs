//! Making lots again from the history.
//!
//! An address is stale from some time on. Whatever it handed over since may
//! have been another amount, so its recipients are stale too, from then on,
//! and theirs. The lots of all of them are folded again from their beginning;
//! what they got from addresses that are not stale stays as recorded.

use std::collections::{BTreeMap, BTreeSet};

use beth_protocol::credits::{Handover, Move, Place, Rank, Record, RecordKind, Step, replay};
use beth_protocol::time::Timestamp;

use crate::error::Error;
use crate::state::State;

/// Stale addresses, each with the earliest time that may have changed.
type Stale = BTreeMap<String, Timestamp>;

impl State<'_> {
    /// Makes stale lots again. Every transaction of the writer ends with it.
    pub(crate) fn settle_credits(&self) -> Result<(), Error> {
        let marked: Vec<(String, Timestamp)> =
            self.all("SELECT address, time FROM credit_stale", [], |row| {
                Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?)))
            })?;
        if marked.is_empty() {
            return Ok(());
        }
        let stale = self.with_recipients(marked)?;
        let steps = self.steps_of(&stale)?;
        let (ledger, shared) = replay(steps, &stale.keys().cloned().collect());
        for address in stale.keys() {
            self.delete_lots(address)?;
        }
        for (address, lots) in ledger.into_lots() {
            lots.iter()
                .try_for_each(|lot| self.write_lot(&address, lot))?;
        }
        for (place, records) in shared {
            self.rewrite_shared(&place, &records)?;
        }
        self.run("DELETE FROM credit_stale", [])?;
        Ok(())
    }

    fn with_recipients(&self, marked: Vec<(String, Timestamp)>) -> Result<Stale, Error> {
        let mut stale = Stale::new();
        let mut open = marked;
        while let Some((address, since)) = open.pop() {
            if stale.get(&address).is_some_and(|known| *known <= since) {
                continue;
            }
            open.extend(self.all(
                "SELECT recipient, min(time) FROM credit_transfers WHERE sender = ?1 AND time >= ?2 GROUP BY recipient",
                (&address, since.micros()),
                |row| Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?))),
            )?);
            stale.insert(address, since);
        }
        Ok(stale)
    }

    /// Everything that ever touched these addresses.
    fn steps_of(&self, stale: &Stale) -> Result<Vec<Step>, Error> {
        let mut steps: BTreeMap<Place, Vec<Move>> = BTreeMap::new();
        let mut granting: BTreeMap<(Timestamp, String), Vec<(RecordKind, Move)>> = BTreeMap::new();
        for address in stale.keys() {
            for (credit_ref, time, handover) in self.handovers_of(address)? {
                let place = Place {
                    time,
                    rank: Rank::Drains,
                    credit_ref,
                };
                steps.entry(place).or_default().push(Move::Handover {
                    sender: address.clone(),
                    handover,
                });
            }
            for (credit_ref, time, record) in self.movements_of(address)? {
                let from_stale = record.kind == RecordKind::Shared
                    && (record.amount < 0
                        || record
                            .origin
                            .as_ref()
                            .is_some_and(|sender| stale.contains_key(sender)));
                if !from_stale {
                    granting
                        .entry((time, credit_ref))
                        .or_default()
                        .push((record.kind, record.to_move()));
                }
            }
        }
        for ((time, credit_ref), moves) in granting {
            // What a transfer gave has the rank of the transfer.
            let only_grants = moves.iter().all(|(kind, one)| {
                *kind == RecordKind::Stated && matches!(one, Move::Grant { .. })
            });
            let rank = if only_grants {
                Rank::Grants
            } else {
                Rank::Drains
            };
            let place = Place {
                time,
                rank,
                credit_ref,
            };
            let moves = moves.into_iter().map(|(_, one)| one);
            steps.entry(place).or_default().extend(moves);
        }
        let steps = steps.into_iter();
        Ok(steps.map(|(place, moves)| Step { place, moves }).collect())
    }

    fn handovers_of(&self, sender: &str) -> Result<Vec<(String, Timestamp, Handover)>, Error> {
        self.all(
            "SELECT credit_ref, time, recipient, amount, expiration FROM credit_transfers
             WHERE sender = ?1 ORDER BY credit_ref, position",
            [sender],
            |row| {
                let handover = Handover {
                    address: row.get(2)?,
                    amount: row.get(3)?,
                    expiration: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
                };
                Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?), handover))
            },
        )
    }

    /// Records of an address, as far as lots need them.
    fn movements_of(&self, address: &str) -> Result<Vec<(String, Timestamp, Record)>, Error> {
        self.all(
            "SELECT credit_ref, time, credit_index, kind, amount, expiration, origin FROM credit_history
             WHERE address = ?1 ORDER BY time, credit_ref, credit_index",
            [address],
            |row| {
                let kind = if row.get::<_, String>(3)? == "shared" {
                    RecordKind::Shared
                } else {
                    RecordKind::Stated
                };
                let record = Record {
                    index: row.get(2)?,
                    kind,
                    address: address.to_owned(),
                    amount: row.get(4)?,
                    expiration: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
                    origin: row.get(6)?,
                    ..Record::default()
                };
                Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?), record))
            },
        )
    }

    /// Replaces the records of a transfer, unless they are the same.
    fn rewrite_shared(&self, place: &Place, records: &[Record]) -> Result<(), Error> {
        let known: BTreeSet<(u32, String, i64, Option<i64>)> = self
            .all(
                "SELECT credit_index, address, amount, expiration FROM credit_history
                 WHERE credit_ref = ?1 AND kind = 'shared'",
                [&place.credit_ref],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )?
            .into_iter()
            .collect();
        let wanted = records.iter().map(|record| {
            let expiration = record.expiration.map(Timestamp::micros);
            (
                record.index,
                record.address.clone(),
                record.amount,
                expiration,
            )
        });
        if known == wanted.collect() {
            return Ok(());
        }
        self.run(
            "DELETE FROM credit_history WHERE credit_ref = ?1 AND kind = 'shared'",
            [&place.credit_ref],
        )?;
        records
            .iter()
            .try_for_each(|record| self.insert_record(&place.credit_ref, place.time, record))
    }
}
