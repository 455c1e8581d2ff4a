//! Whether what runs here is paid, and the end of what is not
//! (compute.md §8.2, §26).
//!
//! ```text
//!  every minute:  message gone three times? ─▶ forgotten
//!                 hold (confidential) │ credit │ stream, per owner and chain:
//!                     has < needs ? ─▶ the newest is stopped ─▶ again
//! ```
//!
//! Prices, balances and statuses are the core node's; flows are read from the
//! chain. No answer ends nobody: a round that cannot be finished is given up.

mod round;
mod stream;

use std::sync::Arc;

use beth_protocol::content::payment::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::{Chain, ItemHash};

use crate::cache::Cache;
use crate::contents::Described;
use crate::core_node::{Balance, CoreFault, CoreNode, Price};
use crate::limits;
use crate::network_settings::SettingsReader;
pub use round::Monitor;
pub use stream::{ChainFlows, FlowFault, Flows, split};

/// What a balance may lack without being too small, in tokens.
const BUFFER: &str = "0.0000000001";

/// Seconds of credits that somebody must have to begin.
const CREDIT_SECONDS_MIN: u64 = 3600;

/// Why a workload is not begun, or an account cannot be asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PaymentFault {
    /// The message asks for a way of paying that does not hold here: 400.
    #[error("{0}")]
    Wrong(String),
    /// There is not enough: 402.
    #[error("{0}")]
    TooLittle(String),
    /// The core node gave no answer: 503.
    #[error(transparent)]
    Core(#[from] CoreFault),
    /// The chain gave no answer: 503.
    #[error(transparent)]
    Flow(#[from] FlowFault),
}

/// Asks who has and pays what. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Payments {
    core: CoreNode,
    settings: SettingsReader,
    flows: Arc<dyn Flows>,
    receiver: Option<String>,
    prices: Arc<Cache<ItemHash, Option<Price>>>,
    balances: Arc<Cache<(String, Chain), Balance>>,
    statuses: Arc<Cache<ItemHash, Option<String>>>,
}

impl Payments {
    /// Payments to `receiver`; `None` when this node takes no streams.
    pub fn new(
        core: CoreNode,
        settings: SettingsReader,
        flows: Arc<dyn Flows>,
        receiver: Option<String>,
    ) -> Payments {
        let (count, age) = (limits::FACTS_MAX, limits::BALANCE_AGE_MAX);
        Payments {
            core,
            settings,
            flows,
            receiver,
            prices: Arc::new(Cache::new(limits::PRICE_AGE_MAX, count)),
            balances: Arc::new(Cache::new(age, count)),
            statuses: Arc::new(Cache::new(age, count)),
        }
    }

    /// Chains on which streams are read.
    pub fn stream_chains(&self) -> Vec<Chain> {
        self.flows.chains()
    }

    /// Whether a workload may begin. `is_special`: confidential, or with cards.
    pub async fn admit(&self, described: &Described, is_special: bool) -> Result<(), PaymentFault> {
        match described.payment_type() {
            PaymentType::Hold if is_special => self.admit_hold(described).await,
            PaymentType::Hold => Err(PaymentFault::Wrong("Invalid payment method".into())),
            PaymentType::Superfluid => self.admit_stream(described).await,
            PaymentType::Credit => self.admit_credit(described).await,
        }
    }

    async fn admit_hold(&self, described: &Described) -> Result<(), PaymentFault> {
        let price = self.price(&described.item_hash, PaymentType::Hold).await?;
        let has = self.balance(&described.sender, described.payment_chain());
        let has = has.await?.tokens;
        if has >= price {
            return Ok(());
        }
        Err(PaymentFault::TooLittle(format!(
            "Insufficient balance for this instance\n\nRequired: {} token \nCurrent user balance: {}",
            price.to_f64(),
            has.to_f64()
        )))
    }

    async fn admit_credit(&self, described: &Described) -> Result<(), PaymentFault> {
        let price = self
            .price(&described.item_hash, PaymentType::Credit)
            .await?;
        let hour = price.times(&Decimal::from(CREDIT_SECONDS_MIN));
        let has = self.balance(described.owner(), described.payment_chain());
        let has = has.await?.credits;
        if has >= hour {
            return Ok(());
        }
        Err(PaymentFault::TooLittle(format!(
            "Insufficient credits for this instance\n\nRequired: {} credits\nCurrent user credits: {}",
            hour.to_f64(),
            has.to_f64()
        )))
    }

    async fn admit_stream(&self, described: &Described) -> Result<(), PaymentFault> {
        let payment = described.payment();
        let receiver = payment.and_then(|payment| payment.receiver.as_deref());
        let ours = self.receiver.as_deref();
        let is_ours = ours
            .zip(receiver)
            .is_some_and(|(ours, receiver)| ours.eq_ignore_ascii_case(receiver));
        if !is_ours {
            let text = "Message is not for this instance";
            return Err(PaymentFault::Wrong(text.into()));
        }
        let chain = described.payment_chain();
        if !self.flows.chains().contains(&chain) {
            let text = format!("Payment streams are not read on {chain} by this node");
            return Err(PaymentFault::Wrong(text));
        }
        let receiver = ours.unwrap_or_default();
        let flow = self.flows.flow(chain, &described.sender, receiver).await?;
        if flow.is_negative() || flow.is_zero() {
            let text = "Empty payment stream for this instance";
            return Err(PaymentFault::TooLittle(text.into()));
        }
        let price = self
            .price(&described.item_hash, PaymentType::Superfluid)
            .await?;
        let (node, community) = self.shares(&price, now_seconds()).await?;
        self.require(&node, &flow, described, "")?;
        if let Some((wallet, share)) = community {
            let flow = self.flows.flow(chain, &described.sender, &wallet).await?;
            self.require(&share, &flow, described, " to the community")?;
        }
        Ok(())
    }

    fn require(
        &self,
        share: &Decimal,
        flow: &Decimal,
        described: &Described,
        whither: &str,
    ) -> Result<(), PaymentFault> {
        if flow.plus(&buffer()) >= *share {
            return Ok(());
        }
        Err(PaymentFault::TooLittle(format!(
            "Insufficient payment stream{whither} for this instance\n\nRequired: {}\nPresent: {}\nSender: {}",
            share.to_cost_string(),
            flow.to_cost_string(),
            described.sender
        )))
    }

    /// The part of a stream that is ours, and who gets the rest, for something
    /// that began then (Unix seconds).
    async fn shares(
        &self,
        price: &Decimal,
        begun: f64,
    ) -> Result<(Decimal, Option<(String, Decimal)>), CoreFault> {
        let settings = self.settings.read().await?;
        let wallet = settings.community_wallet_address.clone();
        let wallet = wallet.filter(|wallet| {
            !wallet.is_empty()
                && settings.community_wallet_timestamp > 0.0
                && begun >= settings.community_wallet_timestamp
        });
        Ok(match wallet {
            Some(wallet) => {
                let (node, community) = split(price);
                (node, Some((wallet, community)))
            }
            None => (price.clone(), None),
        })
    }

    async fn price(
        &self,
        item_hash: &ItemHash,
        payment_type: PaymentType,
    ) -> Result<Decimal, PaymentFault> {
        let price = self.prices.or_ask(item_hash, self.core.price(item_hash));
        match price.await? {
            Some(price) if price.payment_type == payment_type => Ok(price.amount),
            Some(price) => Err(PaymentFault::Wrong(format!(
                "the core node prices {item_hash} as paid by {}, its message says {}",
                price.payment_type.as_str(),
                payment_type.as_str()
            ))),
            None => Err(PaymentFault::Core(CoreFault::Nonsense {
                url: self.core.url().to_owned(),
                reason: format!("no price of {item_hash}"),
            })),
        }
    }

    async fn balance(&self, owner: &str, chain: Chain) -> Result<Balance, CoreFault> {
        let key = (owner.to_lowercase(), chain);
        let asked = self.core.balance(owner, None);
        self.balances.or_ask(&key, asked).await
    }

    async fn status(&self, item_hash: &ItemHash) -> Result<Option<String>, CoreFault> {
        let asked = self.core.status(item_hash);
        self.statuses.or_ask(item_hash, asked).await
    }
}

fn buffer() -> Decimal {
    Decimal::parse(BUFFER).unwrap_or_default()
}

fn now_seconds() -> f64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
