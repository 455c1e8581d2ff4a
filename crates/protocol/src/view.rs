//! What judging may ask of the state: a small read trait.
//!
//! The store implements it over a transaction, tests over maps. Every answer
//! is about *processed* state; pending messages are invisible.

use serde_json::{Map, Value};

use crate::content::PaymentType;
use crate::decimal::Decimal;
use crate::message::Message;
use crate::status::Status;
use crate::time::Timestamp;

/// The state could not be read. The message stays pending: this is our fault,
/// not its.
#[derive(Debug, thiserror::Error)]
#[error("the state could not be read: {0}")]
pub struct ViewError(pub Box<dyn std::error::Error + Send + Sync>);

/// A message that was applied.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownMessage {
    /// Its envelope.
    pub message: Message,
    /// Its content, as the client wrote it.
    pub content: Value,
    /// `Processed` or `Removing`.
    pub status: Status,
}

/// An original post or an amend.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownPost {
    /// `content.address`.
    pub owner: String,
    /// `content.type`.
    pub post_type: String,
    /// Content time of the newest version (the original's, or its latest amend's).
    pub last_updated: Timestamp,
    /// The newest amend in force; `None` when there is none.
    pub latest_amend: Option<String>,
}

/// A file tag: what `use_latest` references resolve to.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownTag {
    /// Who may move it.
    pub owner: String,
    /// The file.
    pub file_hash: String,
    /// Content time of the STORE that set it.
    pub last_updated: Timestamp,
}

/// The pin of a STORE message.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownPin {
    /// The file.
    pub file_hash: String,
    /// `content.ref` of the STORE.
    pub reference: Option<String>,
}

/// Read access to the processed state.
pub trait View {
    /// The message of this hash, when processed or removing.
    fn message(&self, item_hash: &str) -> Result<Option<KnownMessage>, ViewError>;
    /// The signature of the forgotten message of this hash.
    fn forgotten_signature(&self, item_hash: &str) -> Result<Option<Option<String>>, ViewError>;
    /// Merged content of an aggregate.
    fn aggregate(&self, owner: &str, key: &str) -> Result<Option<Map<String, Value>>, ViewError>;
    /// Hashes of the messages that make an aggregate.
    fn aggregate_elements(&self, owner: &str, key: &str) -> Result<Vec<String>, ViewError>;
    /// A post or amend.
    fn post(&self, item_hash: &str) -> Result<Option<KnownPost>, ViewError>;
    /// Hashes of the amends of a post.
    fn amends(&self, item_hash: &str) -> Result<Vec<String>, ViewError>;
    /// A file tag.
    fn tag(&self, tag: &str) -> Result<Option<KnownTag>, ViewError>;
    /// The pin that the STORE message of this hash made.
    fn message_pin(&self, item_hash: &str) -> Result<Option<KnownPin>, ViewError>;
    /// Size of a file the node has or knows, in bytes.
    fn file_size(&self, file_hash: &str) -> Result<Option<u64>, ViewError>;
    /// `allow_amend` of a PROGRAM.
    fn program_allows_amend(&self, item_hash: &str) -> Result<Option<bool>, ViewError>;
    /// A program or instance that uses this file reference.
    fn machine_using(&self, reference: &str) -> Result<Option<String>, ViewError>;
    /// Tokens of an address over all chains.
    fn balance(&self, address: &str) -> Result<Decimal, ViewError>;
    /// Credits of an address that have not expired at `now`.
    fn credit_balance(&self, address: &str, now: Timestamp) -> Result<Decimal, ViewError>;
    /// Sum of the cost rows of an address, in the column of that payment type.
    fn committed(&self, address: &str, payment: PaymentType) -> Result<Decimal, ViewError>;
}
