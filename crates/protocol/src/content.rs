//! Contents: what a message says, one type per file (messages.md §8).
//!
//! ```text
//! JSON value ─▶ schema (types, ranges, lax coercion, cross-field rules) ─▶ typed content
//! ```
//!
//! The stored content stays the client's JSON; the typed form is what the node
//! reasons about and what `/messages/{hash}` serves, with defaults filled in.

pub mod aggregate;
pub mod forget;
pub mod instance;
pub mod machine;
pub mod payment;
pub mod post;
pub mod program;
pub mod schema;
pub mod store;
pub mod vprogram;

use serde::Serialize;
use serde_json::Value;

use crate::MessageType;
pub use aggregate::AggregateContent;
pub use forget::ForgetContent;
pub use instance::InstanceContent;
pub use payment::{Payment, PaymentType};
pub use post::PostContent;
pub use program::ProgramContent;
pub use schema::SchemaError;
pub use store::StoreContent;
pub use vprogram::VerifiedProgramContent;

/// The content of a message, by its type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Content {
    Post(PostContent),
    Aggregate(AggregateContent),
    Store(StoreContent),
    Program(Box<ProgramContent>),
    Instance(Box<InstanceContent>),
    VerifiedProgram(Box<VerifiedProgramContent>),
    Forget(ForgetContent),
}

impl Content {
    /// Validates a content against the schema of its type (1.7.0 with the
    /// tolerances of messages.md §13). All faults are reported.
    pub fn parse(message_type: MessageType, value: &Value) -> Result<Content, Vec<SchemaError>> {
        schema::parse(message_type, value)
    }

    /// `content.address`: the owner.
    pub fn address(&self) -> &str {
        match self {
            Content::Post(c) => &c.address,
            Content::Aggregate(c) => &c.address,
            Content::Store(c) => &c.address,
            Content::Program(c) => &c.address,
            Content::Instance(c) => &c.address,
            Content::VerifiedProgram(c) => &c.address,
            Content::Forget(c) => &c.address,
        }
    }

    /// `content.time`, Unix seconds.
    pub fn time(&self) -> f64 {
        match self {
            Content::Post(c) => c.time,
            Content::Aggregate(c) => c.time,
            Content::Store(c) => c.time,
            Content::Program(c) => c.time,
            Content::Instance(c) => c.time,
            Content::VerifiedProgram(c) => c.time,
            Content::Forget(c) => c.time,
        }
    }

    /// `content.payment`, where the type has one.
    pub fn payment(&self) -> Option<&Payment> {
        match self {
            Content::Store(c) => c.payment.as_ref(),
            Content::Program(c) => c.payment.as_ref(),
            Content::Instance(c) => c.payment.as_ref(),
            Content::VerifiedProgram(c) => c.payment.as_ref(),
            Content::Post(_) | Content::Aggregate(_) | Content::Forget(_) => None,
        }
    }
}
