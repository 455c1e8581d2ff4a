//! The round that ends what is not paid.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, UNIX_EPOCH};

use beth_protocol::content::payment::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::{Chain, ItemHash};
use tokio_util::sync::CancellationToken;

use super::{PaymentFault, Payments, buffer};
use crate::contents::Contents;
use crate::limits;
use crate::workloads::{Known, Machines};

/// Statuses of messages that nothing may run for.
const GONE: [&str; 3] = ["rejected", "forgotten", "removed"];

/// Ends what is not paid, round after round.
pub struct Monitor {
    payments: Payments,
    contents: Contents,
    machines: Machines,
    /// How often in a row each message was seen to be gone.
    gone: HashMap<ItemHash, u32>,
}

/// Workloads of one owner that are paid alike, oldest first.
type Groups = BTreeMap<(String, Chain), Vec<Bill>>;

struct Bill {
    known: Known,
    sender: String,
    price: Decimal,
}

impl Monitor {
    /// Looks after those machines.
    pub fn new(payments: Payments, contents: Contents, machines: Machines) -> Monitor {
        Monitor {
            payments,
            contents,
            machines,
            gone: HashMap::new(),
        }
    }

    /// A round each `period` until `cancel`.
    pub async fn run(mut self, period: Duration, cancel: CancellationToken) {
        let mut clock = tokio::time::interval(period);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        clock.tick().await;
        while cancel.run_until_cancelled(clock.tick()).await.is_some() {
            let Some(done) = cancel.run_until_cancelled(self.round()).await else {
                return;
            };
            if let Err(fault) = done {
                tracing::warn!("payments could not be checked: {fault}; nothing more is ended now");
            }
        }
    }

    /// One round. What it could not ask about lives on.
    pub async fn round(&mut self) -> Result<(), PaymentFault> {
        self.end_what_is_gone().await;
        for payment_type in [
            PaymentType::Hold,
            PaymentType::Credit,
            PaymentType::Superfluid,
        ] {
            let groups = self.groups(payment_type).await?;
            for ((owner, chain), bills) in groups {
                let excess = match payment_type {
                    PaymentType::Hold | PaymentType::Credit => {
                        self.unpaid(&owner, chain, payment_type, bills).await?
                    }
                    PaymentType::Superfluid => self.unstreamed(chain, bills).await?,
                };
                for bill in excess {
                    self.stop(&bill.known, payment_type).await;
                }
            }
        }
        Ok(())
    }

    /// Three rounds in a row must agree that a message is gone.
    async fn end_what_is_gone(&mut self) {
        let all = self.machines.all().await;
        self.gone
            .retain(|item_hash, _| all.iter().any(|known| known.item_hash == *item_hash));
        for known in all {
            let Ok(status) = self.payments.status(&known.item_hash).await else {
                continue;
            };
            if !status.is_some_and(|status| GONE.contains(&status.as_str())) {
                self.gone.remove(&known.item_hash);
                continue;
            }
            let count = self.gone.entry(known.item_hash.clone()).or_default();
            *count += 1;
            if *count < limits::GONE_ROUNDS {
                continue;
            }
            self.gone.remove(&known.item_hash);
            tracing::info!("{} is forgotten: its message is gone", known.item_hash);
            if let Some((_, workloads)) = self.machines.find(&known.item_hash).await
                && let Err(fault) = workloads.forget(&known.item_hash).await
            {
                tracing::warn!("{} is not ended: {fault}", known.item_hash);
            }
        }
    }

    /// Running instances that are paid that way. What is held for is counted
    /// here only when it is confidential: the rest is the scheduler's.
    async fn groups(&self, payment_type: PaymentType) -> Result<Groups, PaymentFault> {
        let mut all = self.machines.all().await;
        all.sort_by_key(|known| known.steps.defined_at);
        let mut groups = Groups::new();
        for known in all.into_iter().filter(|known| known.is_running) {
            let Ok(described) = self.contents.describe(&known.item_hash).await else {
                continue;
            };
            let is_ours = known.kind == crate::workloads::Kind::Instance
                && described.payment_type() == payment_type
                && (payment_type != PaymentType::Hold || known.is_confidential);
            if !is_ours {
                continue;
            }
            let price = self.payments.price(&known.item_hash, payment_type).await?;
            let key = (known.owner.clone(), described.payment_chain());
            groups.entry(key).or_default().push(Bill {
                sender: described.sender.clone(),
                price,
                known,
            });
        }
        Ok(groups)
    }

    /// The newest ones that a balance does not cover.
    async fn unpaid(
        &self,
        owner: &str,
        chain: Chain,
        payment_type: PaymentType,
        mut bills: Vec<Bill>,
    ) -> Result<Vec<Bill>, PaymentFault> {
        let balance = self.payments.balance(owner, chain).await?;
        let has = match payment_type {
            PaymentType::Credit => balance.credits,
            _ => balance.tokens,
        };
        let mut excess = Vec::new();
        while has < sum(&bills).plus(&buffer()) {
            let Some(last) = bills.pop() else {
                break;
            };
            excess.push(last);
        }
        Ok(excess)
    }

    /// The newest ones that the streams do not cover.
    async fn unstreamed(
        &self,
        chain: Chain,
        mut bills: Vec<Bill>,
    ) -> Result<Vec<Bill>, PaymentFault> {
        let flows = &self.payments.flows;
        let Some(sender) = bills.first().map(|bill| bill.sender.clone()) else {
            return Ok(Vec::new());
        };
        let receiver = self.payments.receiver.clone().unwrap_or_default();
        let flow = flows.flow(chain, &sender, &receiver).await?.plus(&buffer());
        let mut community_flow = None;
        let mut excess = Vec::new();
        loop {
            let (mut node, mut community) = (Decimal::zero(), Decimal::zero());
            for bill in &bills {
                let (ours, theirs) = self
                    .payments
                    .shares(&bill.price, begun(&bill.known))
                    .await?;
                node = node.plus(&ours);
                if let Some((wallet, share)) = theirs {
                    community = community.plus(&share);
                    if community_flow.is_none() {
                        let flow = flows.flow(chain, &sender, &wallet).await?;
                        community_flow = Some(flow.plus(&buffer()));
                    }
                }
            }
            let covers_community = community_flow
                .as_ref()
                .is_none_or(|flow| *flow >= community);
            if flow >= node && covers_community {
                return Ok(excess);
            }
            let Some(last) = bills.pop() else {
                return Ok(excess);
            };
            excess.push(last);
        }
    }

    async fn stop(&self, known: &Known, payment_type: PaymentType) {
        let item_hash = &known.item_hash;
        let how = payment_type.as_str();
        tracing::info!(
            "{item_hash} of {} is stopped: not paid any more ({how})",
            known.owner
        );
        if let Some((_, workloads)) = self.machines.find(item_hash).await
            && let Err(fault) = workloads.stop(item_hash).await
        {
            tracing::warn!("{item_hash} is not stopped: {fault}");
        }
    }
}

fn sum(bills: &[Bill]) -> Decimal {
    bills
        .iter()
        .fold(Decimal::zero(), |sum, bill| sum.plus(&bill.price))
}

/// Unix seconds.
fn begun(known: &Known) -> f64 {
    let begun = known.steps.started_at.or(known.steps.defined_at);
    begun
        .and_then(|begun| begun.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default()
        .as_secs_f64()
}
