//! Credits: what credit posts say and what they do to lots (processing.md
//! §14.2).
//!
//! ```text
//!  post ─schema→ CreditMessage ──▶ records   what the history shows, one per movement
//!                      │
//!                      └────────▶ Step ──▶ Ledger   lots of the addresses it touches
//! ```
//!
//! A *lot* is an amount granted at one moment, with or without an end. Charges
//! drain lots, oldest first; a transfer drains the sender's lots and grants
//! what came out of them. So what a transfer hands over depends on the lots of
//! its sender, and the lots of an address are a fold of the steps that touch
//! it in the order of [`Step::place`], never of the order of arrival. A step
//! older than one already carried out makes the store fold again, from the
//! steps it keeps.
//!
//! Only the whitelist creates credits. A transfer for which its sender had
//! nothing at its time hands over nothing.

mod ledger;

pub use ledger::{Ledger, Lot, replay};

use crate::decimal::Decimal;
use crate::time::Timestamp;

/// A valid credit post. Amounts are in millionths of a dollar, above zero.
#[derive(Clone, Debug, PartialEq)]
pub struct CreditMessage {
    /// Content time.
    pub time: Timestamp,
    /// What it moves.
    pub movements: Movements,
}

/// The three kinds of credit posts.
#[derive(Clone, Debug, PartialEq)]
pub enum Movements {
    /// New credits.
    Distribution(Distribution),
    /// Used credits.
    Expense(Vec<Charge>),
    /// Credits that change hands.
    Transfer(Transfer),
}

/// `aleph_credit_distribution`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Distribution {
    pub token: String,
    pub chain: String,
    pub grants: Vec<Grant>,
}

/// One entry of a distribution.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Grant {
    pub address: String,
    pub amount: i64,
    pub expiration: Option<Timestamp>,
    pub price: Decimal,
    pub tx_hash: String,
    pub provider: String,
    pub origin: Option<String>,
    pub reference: Option<String>,
    pub payment_method: Option<String>,
    pub bonus_amount: Option<i64>,
}

/// One entry of an expense.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Charge {
    pub address: String,
    pub amount: i64,
    pub reference: Option<String>,
    pub execution_id: Option<String>,
    pub node_id: Option<String>,
    pub price: Option<Decimal>,
    /// Resources that are billed together.
    pub count: Option<i64>,
    /// MiB that are billed together.
    pub size_mib: Option<Decimal>,
}

/// `aleph_credit_transfer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Who gives.
    pub sender: String,
    /// Where the credits come from.
    pub source: Source,
    /// Who gets how much.
    pub handovers: Vec<Handover>,
}

/// Where transferred credits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The sender's lots.
    Lots,
    /// Nothing: a whitelisted sender creates them.
    Created,
}

/// One entry of a transfer.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Handover {
    pub address: String,
    pub amount: i64,
    /// The end the sender asks for; the lots may end earlier.
    pub expiration: Option<Timestamp>,
}

/// A row of the credit history. Which texts it has depends on the kind of
/// post (processing.md §14.2); empty ones are none.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Record {
    /// Its number within the post.
    pub index: u32,
    pub kind: RecordKind,
    pub address: String,
    /// Below zero for what is spent or handed over: as the post says, also
    /// where the lots had less.
    pub amount: i64,
    pub expiration: Option<Timestamp>,
    pub price: Option<Decimal>,
    pub bonus_amount: Option<i64>,
    pub tx_hash: Option<String>,
    pub token: Option<String>,
    pub chain: Option<String>,
    pub provider: Option<String>,
    pub origin: Option<String>,
    pub origin_ref: Option<String>,
    pub payment_method: Option<String>,
    pub expense_count: Option<i64>,
    pub expense_size_mib: Option<Decimal>,
}

/// What a record follows from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordKind {
    /// The post says it.
    #[default]
    Stated,
    /// It is what a transfer found in its sender's lots; written again when
    /// these change.
    Shared,
}

/// What one post does to lots.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub place: Place,
    /// In this order.
    pub moves: Vec<Move>,
}

/// The order of steps: by time; of the same time those first that only grant;
/// then by hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Content time.
    pub time: Timestamp,
    /// Grants only, or not.
    pub rank: Rank,
    /// Item hash of the post.
    pub credit_ref: String,
}

/// Part of the [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Rank {
    Grants,
    Drains,
}

/// One change of lots.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// A new lot.
    Grant {
        /// Number of the record that made it.
        index: u32,
        /// Whose.
        address: String,
        /// How much.
        amount: i64,
        /// Until when.
        expiration: Option<Timestamp>,
    },
    /// Lots shrink; what is not there is not taken.
    Charge {
        /// Whose.
        address: String,
        /// How much.
        amount: i64,
    },
    /// Lots shrink here and grow there.
    Handover {
        /// Who gives.
        sender: String,
        /// Who gets how much.
        handover: Handover,
    },
}

impl CreditMessage {
    /// The step of this post, named by its item hash.
    pub fn step(&self, credit_ref: &str) -> Step {
        let moves: Vec<Move> = match &self.movements {
            Movements::Transfer(Transfer {
                sender,
                source: Source::Lots,
                handovers,
            }) => handovers
                .iter()
                .map(|handover| Move::Handover {
                    sender: sender.clone(),
                    handover: handover.clone(),
                })
                .collect(),
            _ => self.records().iter().map(Record::to_move).collect(),
        };
        let rank = Rank::of(&moves);
        let credit_ref = credit_ref.to_owned();
        Step {
            place: Place {
                time: self.time,
                rank,
                credit_ref,
            },
            moves,
        }
    }

    /// The records that follow from the post alone. Those of a transfer out
    /// of lots come from [`Ledger::carry_out`].
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = match &self.movements {
            Movements::Distribution(distribution) => distribution
                .grants
                .iter()
                .map(|grant| grant.record(&distribution.token, &distribution.chain))
                .collect(),
            Movements::Expense(charges) => charges.iter().map(Charge::record).collect(),
            Movements::Transfer(transfer) if transfer.source == Source::Created => {
                let created = transfer.handovers.iter().map(|handover| {
                    Record::transfer(&handover.address, handover.amount, &transfer.sender)
                        .until(handover.expiration)
                });
                created.collect()
            }
            Movements::Transfer(_) => Vec::new(),
        };
        for (index, record) in (0..).zip(&mut records) {
            record.index = index;
        }
        records
    }

    /// Every address whose lots it changes, sorted, each once.
    pub fn addresses(&self) -> Vec<&str> {
        let mut addresses: Vec<&str> = match &self.movements {
            Movements::Distribution(distribution) => distribution
                .grants
                .iter()
                .map(|grant| grant.address.as_str())
                .collect(),
            Movements::Expense(charges) => charges
                .iter()
                .map(|charge| charge.address.as_str())
                .collect(),
            Movements::Transfer(transfer) => {
                let sender = (transfer.source == Source::Lots).then_some(transfer.sender.as_str());
                let recipients = transfer.handovers.iter().map(|h| h.address.as_str());
                recipients.chain(sender).collect()
            }
        };
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

impl Rank {
    /// The rank of a post with these moves.
    pub fn of(moves: &[Move]) -> Rank {
        if moves.iter().all(|one| matches!(one, Move::Grant { .. })) {
            Rank::Grants
        } else {
            Rank::Drains
        }
    }
}

impl Record {
    /// What the record does to lots, read from its sign.
    pub fn to_move(&self) -> Move {
        let address = self.address.clone();
        if self.amount < 0 {
            return Move::Charge {
                address,
                amount: self.amount.saturating_neg(),
            };
        }
        Move::Grant {
            index: self.index,
            address,
            amount: self.amount,
            expiration: self.expiration,
        }
    }

    /// One side of a transfer; `other` is the other side.
    fn transfer(address: &str, amount: i64, other: &str) -> Record {
        Record {
            address: address.to_owned(),
            amount,
            provider: Some(PROVIDER.to_owned()),
            origin: filled(Some(other)),
            payment_method: Some("credit_transfer".to_owned()),
            ..Record::default()
        }
    }

    fn until(self, expiration: Option<Timestamp>) -> Record {
        Record { expiration, ..self }
    }
}

/// Provider of what the network itself moves.
const PROVIDER: &str = "ALEPH";

impl Grant {
    fn record(&self, token: &str, chain: &str) -> Record {
        Record {
            address: self.address.clone(),
            amount: self.amount,
            expiration: self.expiration,
            price: Some(self.price.clone()),
            bonus_amount: self.bonus_amount,
            tx_hash: filled(Some(&self.tx_hash)),
            token: filled(Some(token)),
            chain: filled(Some(chain)),
            provider: filled(Some(&self.provider)),
            origin: filled(self.origin.as_deref()),
            origin_ref: filled(self.reference.as_deref()),
            payment_method: filled(self.payment_method.as_deref()),
            ..Record::default()
        }
    }
}

impl Charge {
    fn record(&self) -> Record {
        Record {
            address: self.address.clone(),
            amount: self.amount.saturating_neg(),
            price: self.price.clone(),
            tx_hash: filled(self.node_id.as_deref()),
            provider: Some(PROVIDER.to_owned()),
            origin: filled(self.execution_id.as_deref()),
            origin_ref: filled(self.reference.as_deref()),
            payment_method: Some("credit_expense".to_owned()),
            expense_count: self.count,
            expense_size_mib: self.size_mib.clone(),
            ..Record::default()
        }
    }
}

fn filled(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}
