//! Whether addresses whose balance changed still pay for what they have
//! (processing.md §18.2, §18.3).

use std::time::Duration;

use beth_protocol::content::PaymentType;
use beth_protocol::cost::CREDIT_SECONDS;
use beth_protocol::decimal::Decimal;
use beth_protocol::judge::solvency::{self, Change};
use beth_protocol::time::Timestamp;
use beth_protocol::view::View;
use beth_store::{Error, State};
use futures::future::BoxFuture;

use super::{Desk, Job, JobError};
use crate::limits::JOB_ADDRESSES;

/// The jobs `balance` (tokens held) and `credit_balance`.
pub(super) struct Solvency {
    pub payment: PaymentType,
    pub every: Duration,
}

impl Job for Solvency {
    fn name(&self) -> &'static str {
        match self.payment {
            PaymentType::Credit => "credit_balance",
            PaymentType::Hold | PaymentType::Superfluid => "balance",
        }
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(
        &'a self,
        desk: &'a Desk,
        last_run: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<String, JobError>> {
        Box::pin(async move {
            let payment = self.payment;
            let changed = desk.pipeline.work(move |state| match payment {
                PaymentType::Credit => state.credits_changed(last_run),
                _ => state.balances_changed(last_run),
            });
            let addresses = changed.await?;
            let (looked_at, mut total) = (addresses.len(), Changed::default());
            for part in addresses.chunks(JOB_ADDRESSES) {
                let part = part.to_vec();
                let change = desk.pipeline.work(move |state| {
                    let mut changed = Changed::default();
                    for address in part {
                        weigh(state, &address, payment, now, &mut changed)?;
                    }
                    Ok(changed)
                });
                let changed = change.await?;
                total.removing += changed.removing;
                total.recovered += changed.recovered;
            }
            Ok(format!(
                "{looked_at} addresses looked at: {} messages begin to be removed, {} stay after all",
                total.removing, total.recovered
            ))
        })
    }
}

#[derive(Default)]
struct Changed {
    removing: usize,
    recovered: usize,
}

fn weigh(
    state: &State<'_>,
    address: &str,
    payment: PaymentType,
    now: Timestamp,
    changed: &mut Changed,
) -> Result<(), Error> {
    let failed = |error: beth_protocol::view::ViewError| Error::Damaged(error.to_string());
    let mut claims = state.claims(address, payment)?;
    let changes = if payment == PaymentType::Credit {
        for claim in &mut claims {
            claim.cost = claim.cost.times(&Decimal::from(CREDIT_SECONDS));
        }
        let credits = state.credit_balance(address, now).map_err(failed)?;
        solvency::of_credits(credits, &claims)
    } else {
        solvency::of_holder(state.balance(address).map_err(failed)?, &claims)
    };
    for change in changes {
        match change {
            Change::Recover(item_hash) => {
                changed.recovered += usize::from(state.cancel_removal(&item_hash)?);
            }
            Change::Remove(item_hash) => {
                if !is_free(state, &item_hash, payment)? {
                    changed.removing += usize::from(state.begin_removal(&item_hash, now)?);
                }
            }
        }
    }
    Ok(())
}

fn is_free(state: &State<'_>, item_hash: &str, payment: PaymentType) -> Result<bool, Error> {
    let known = state
        .message(item_hash)
        .map_err(|error| Error::Damaged(error.to_string()))?;
    let Some(known) = known else {
        return Ok(false);
    };
    let size_bytes = state.stored_bytes(&known)?;
    Ok(size_bytes.is_some_and(|size| solvency::is_free_file(size, payment, known.message.time)))
}
