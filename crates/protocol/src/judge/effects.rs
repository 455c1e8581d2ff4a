//! What an accepted message changes. The store applies a list of effects in
//! the transaction that inserts the message.

use serde_json::{Map, Value};

use super::measurements::Measurement;
use crate::content::PaymentType;
use crate::cost::CostRow;
use crate::credits::CreditMessage;
use crate::decimal::Decimal;
use crate::message::Message;
use crate::time::Timestamp;

/// Effects in the order they must be applied.
pub type Effects = Vec<Effect>;

/// One change of the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An original post or an amend becomes known.
    Post(PostRow),
    /// A revision of an aggregate.
    Element {
        /// Owner of the aggregate.
        owner: String,
        /// Its key.
        key: String,
        /// Content time.
        time: Timestamp,
        /// Members to merge.
        content: Map<String, Value>,
    },
    /// A STORE message keeps a file.
    MessagePin {
        /// The file.
        file_hash: String,
        /// Who keeps it.
        owner: String,
        /// `content.ref`.
        reference: Option<String>,
        /// Content time.
        created: Timestamp,
    },
    /// A tag moves to a file, if its time is newer than the tag's; of files at
    /// the same time the tag names the one with the greatest hash.
    Tag {
        /// Name of the tag.
        tag: String,
        /// Who may move it.
        owner: String,
        /// The file.
        file_hash: String,
        /// Content time.
        last_updated: Timestamp,
    },
    /// The body of a non-inline message is kept.
    ContentPin {
        /// The body.
        file_hash: String,
        /// The sender.
        owner: String,
        /// Its size.
        size_bytes: u64,
        /// Content time.
        created: Timestamp,
    },
    /// A program or instance exists.
    Machine(Box<MachineRow>),
    /// What the message costs, replacing earlier rows of this message.
    Costs {
        /// Who pays.
        owner: String,
        /// How.
        payment: PaymentType,
        /// The bill.
        rows: Vec<CostRow>,
    },
    /// Token balances as of a block.
    Balances(Vec<BalanceUpdate>),
    /// How nodes performed.
    Measurements(Vec<Measurement>),
    /// Credits move.
    Credits(Box<CreditMessage>),
    /// A message is deleted.
    Forget {
        /// Which.
        item_hash: String,
    },
    /// A message that is unknown here, or deleted already, was deleted elsewhere.
    ForgetGone {
        /// Its envelope.
        message: Box<Message>,
    },
    /// A message that is deleted already was named so many times more: whoever
    /// deletes it is noted as often again.
    ForgetAgain {
        /// Which.
        item_hash: String,
        /// How often, at least once.
        times: usize,
    },
}

/// A row of the posts.
#[derive(Clone, Debug, PartialEq)]
pub struct PostRow {
    /// Owner.
    pub owner: String,
    /// `content.type`.
    pub post_type: String,
    /// `content.ref` as text.
    pub reference: Option<String>,
    /// The original, for an amend.
    pub amends: Option<String>,
    /// True when this amend becomes the newest version of its original.
    pub is_latest: bool,
    /// Content time.
    pub created: Timestamp,
}

/// What the node must know of a machine: which files it uses.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineRow {
    /// Owner.
    pub owner: String,
    /// `PROGRAM`, `INSTANCE` or `V-PROGRAM`.
    pub machine_type: &'static str,
    /// `content.allow_amend`.
    pub allow_amend: bool,
    /// Files whose STORE messages it protects.
    pub uses: Vec<String>,
    /// Runs all the time.
    pub is_persistent: bool,
    /// `content.on.message`, for programs started by messages.
    pub triggers: Option<Value>,
    /// Content time.
    pub created: Timestamp,
}

/// One balance.
#[derive(Clone, Debug, PartialEq)]
pub struct BalanceUpdate {
    /// Whose.
    pub address: String,
    /// On which chain.
    pub chain: String,
    /// In which application, if any; such balances pay for nothing.
    pub dapp: Option<String>,
    /// How many tokens.
    pub balance: Decimal,
    /// As of which block.
    pub height: i64,
}
