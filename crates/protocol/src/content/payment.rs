//! How a resource is paid for (messages.md §8.4).

use serde::{Deserialize, Serialize};

use crate::Chain;

/// The three ways to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentType {
    /// Tokens held by the owner.
    Hold,
    /// A token stream per second.
    Superfluid,
    /// Credits per second.
    Credit,
}

impl PaymentType {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            PaymentType::Hold => "hold",
            PaymentType::Superfluid => "superfluid",
            PaymentType::Credit => "credit",
        }
    }
}

/// `content.payment`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// Chain of the tokens or of the stream.
    #[serde(default)]
    pub chain: Option<Chain>,
    /// Receiver of the stream.
    #[serde(default)]
    pub receiver: Option<String>,
    /// How.
    #[serde(rename = "type")]
    pub payment_type: PaymentType,
}
