//! The state as it will be once an upload is in place: for judging whether its
//! sender can pay before the file is kept.

use beth_protocol::content::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::time::Timestamp;
use beth_protocol::view::{KnownMessage, KnownPin, KnownPost, KnownTag, View, ViewError};
use beth_store::State;
use serde_json::{Map, Value};

/// A state in which one more file is known.
pub struct WithFile<'a> {
    /// Everything else.
    pub state: &'a State<'a>,
    /// The file.
    pub hash: &'a str,
    /// Its bytes.
    pub size_bytes: u64,
}

impl View for WithFile<'_> {
    fn message(&self, item_hash: &str) -> Result<Option<KnownMessage>, ViewError> {
        self.state.message(item_hash)
    }

    fn forgotten_signature(&self, item_hash: &str) -> Result<Option<Option<String>>, ViewError> {
        self.state.forgotten_signature(item_hash)
    }

    fn aggregate(&self, owner: &str, key: &str) -> Result<Option<Map<String, Value>>, ViewError> {
        self.state.aggregate(owner, key)
    }

    fn aggregate_elements(&self, owner: &str, key: &str) -> Result<Vec<String>, ViewError> {
        self.state.aggregate_elements(owner, key)
    }

    fn post(&self, item_hash: &str) -> Result<Option<KnownPost>, ViewError> {
        self.state.post(item_hash)
    }

    fn amends(&self, item_hash: &str) -> Result<Vec<String>, ViewError> {
        self.state.amends(item_hash)
    }

    fn tag(&self, tag: &str) -> Result<Option<KnownTag>, ViewError> {
        self.state.tag(tag)
    }

    fn message_pin(&self, item_hash: &str) -> Result<Option<KnownPin>, ViewError> {
        self.state.message_pin(item_hash)
    }

    fn file_size(&self, file_hash: &str) -> Result<Option<u64>, ViewError> {
        if file_hash == self.hash { Ok(Some(self.size_bytes)) } else { self.state.file_size(file_hash) }
    }

    fn program_allows_amend(&self, item_hash: &str) -> Result<Option<bool>, ViewError> {
        self.state.program_allows_amend(item_hash)
    }

    fn machine_using(&self, reference: &str) -> Result<Option<String>, ViewError> {
        self.state.machine_using(reference)
    }

    fn balance(&self, address: &str) -> Result<Decimal, ViewError> {
        self.state.balance(address)
    }

    fn credit_balance(&self, address: &str, now: Timestamp) -> Result<Decimal, ViewError> {
        self.state.credit_balance(address, now)
    }

    fn committed(&self, address: &str, payment: PaymentType) -> Result<Decimal, ViewError> {
        self.state.committed(address, payment)
    }
}
