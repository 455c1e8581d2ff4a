//! Who may operate a machine (compute.md §5.1–§5.3).
//!
//! ```text
//!  X-SignedPubKey     wallet: "until then, this key speaks for me" ─▶ statement ┐
//!  X-SignedOperation  key: "POST /control/… on this node, now"     ─▶ operation ┴▶ sender
//!                                                                                   │
//!             owner of the machine, or its delegate (`security` aggregate) ◀────────┘
//! ```
//!
//! Nothing is believed before its signature was verified, and everything is
//! compared with the request itself. A statement is good on every node until it
//! expires: consoles sign one and use it everywhere. An operation is good for
//! two minutes on one node; query and body are not signed, therefore whoever
//! sends it again gets the first answer ([`Replays`]) and nothing is done twice.

mod operation;
mod replay;
mod statement;
pub(crate) mod token;

use std::sync::Arc;

use beth_protocol::time::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cache::Cache;
use crate::core_node::{CoreFault, CoreNode};
use crate::limits;
pub(crate) use operation::is_here;
pub(crate) use replay::{Replayed, Replays};
pub use token::LocalToken;

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header is not there.
    #[error("Missing {0} header")]
    Missing(&'static str),
    /// The statement is no JSON.
    #[error("Invalid X-SignedPubKey format")]
    StatementFormat,
    /// The statement lacks something or names an unknown chain.
    #[error("Invalid X-SignedPubKey data")]
    StatementData,
    /// The statement has expired.
    #[error("Token expired")]
    Expired,
    /// The wallet did not sign the statement.
    #[error("Invalid signature")]
    WalletSignature,
    /// The operation lacks something, or is too old or too new.
    #[error("Invalid X-SignedOperation fields")]
    OperationFields,
    /// The operation is meant for another node.
    #[error("Invalid domain: Signed: '{signed}' != Request: '{own}'")]
    Domain {
        /// As signed.
        signed: String,
        /// Ours.
        own: String,
    },
    /// The operation is meant for another path.
    #[error("Invalid path. Signed: '{signed}' !=  requested path: '{asked}'")]
    Path {
        /// As signed.
        signed: String,
        /// Of the request.
        asked: String,
    },
    /// The operation has another method.
    #[error("Invalid method. Signed: '{signed}' !=  request:'{asked}")]
    Method {
        /// As signed.
        signed: String,
        /// Of the request.
        asked: String,
    },
    /// The key did not sign the operation.
    #[error("Signature could not verified")]
    KeySignature,
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Missing(_)
            | Refusal::StatementFormat
            | Refusal::StatementData
            | Refusal::OperationFields => 400,
            Refusal::Expired
            | Refusal::WalletSignature
            | Refusal::Domain { .. }
            | Refusal::Path { .. }
            | Refusal::Method { .. }
            | Refusal::KeySignature => 401,
        }
    }
}

/// Somebody whose signatures are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Address of the wallet.
    pub address: String,
    /// Names the operation; equal for whoever sends it again.
    pub operation: [u8; 32],
}

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Upper case.
    pub method: &'a str,
    /// Percent-decoded, without query.
    pub path: &'a str,
}

/// Checks operators.
#[derive(Debug)]
pub struct Doorkeeper {
    domain_name: String,
    core: CoreNode,
    delegates: Cache<String, Arc<[String]>>,
}

impl Doorkeeper {
    /// For the node of this domain name, which asks `core` for delegations.
    pub fn new(domain_name: &str, core: CoreNode) -> Doorkeeper {
        Doorkeeper {
            domain_name: domain_name.to_owned(),
            core,
            delegates: Cache::new(limits::DELEGATIONS_AGE_MAX, limits::DELEGATIONS_MAX),
        }
    }

    /// Who sent the two headers with that request.
    pub fn admit(
        &self,
        statement: Option<&str>,
        operation: Option<&str>,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Operator, Refusal> {
        let statement = statement.ok_or(Refusal::Missing("X-SignedPubKey"))?;
        let statement: Value =
            serde_json::from_str(statement).map_err(|_| Refusal::StatementFormat)?;
        let statement = statement::Statement::verify(&statement, now)?;
        let operation = operation.ok_or(Refusal::Missing("X-SignedOperation"))?;
        let operation: Value =
            serde_json::from_str(operation).map_err(|_| Refusal::OperationFields)?;
        self.admit_operation(&statement, &operation, Some(asked), now)
    }

    /// Who sent the first frame of a WebSocket; the error is the reason that
    /// the client is told (compute.md §5.3).
    pub fn admit_frame(&self, frame: &str, now: Timestamp) -> Result<Operator, String> {
        let frame: Value = serde_json::from_str(frame)
            .map_err(|_| "Expecting value: line 1 column 1 (char 0)".to_owned())?;
        let auth = frame.get("auth").ok_or("missing 'auth' key in message")?;
        if !auth.is_object() {
            return Err("Invalid format for auth packet, see /doc/operator_auth.md".into());
        }
        let member = |name: &str| auth.get(name).ok_or_else(|| format!("'{name}'"));
        let statement = member("X-SignedPubKey")?;
        let operation = member("X-SignedOperation")?;
        let admitted = statement::Statement::verify(statement, now)
            .and_then(|statement| self.admit_operation(&statement, operation, None, now));
        admitted.map_err(|refusal| match refusal {
            Refusal::Domain { .. } => "Invalid domain".to_owned(),
            refusal => refusal.to_string(),
        })
    }

    /// True when `sender` may operate the machines of `owner`: itself, or a
    /// delegate for instances. No answer of the core node means no.
    pub async fn may_act(&self, sender: &str, owner: &str) -> bool {
        if sender.eq_ignore_ascii_case(owner) {
            return true;
        }
        let key = owner.to_ascii_lowercase();
        match self.delegates.or_ask(&key, self.delegates_of(owner)).await {
            Ok(delegates) => delegates
                .iter()
                .any(|delegate| delegate.eq_ignore_ascii_case(sender)),
            Err(fault) => {
                tracing::warn!("cannot tell whether somebody is a delegate: {fault}");
                false
            }
        }
    }

    async fn delegates_of(&self, owner: &str) -> Result<Arc<[String]>, CoreFault> {
        let security = self.core.aggregate(owner, "security").await?;
        let entries = security
            .as_ref()
            .and_then(|security| security.get("authorizations"))
            .and_then(Value::as_array);
        let granted = entries.into_iter().flatten().filter(|entry| {
            let types = entry.get("types").and_then(Value::as_array);
            types.is_none_or(|types| types.is_empty() || types.iter().any(|t| t == "INSTANCE"))
        });
        Ok(granted
            .filter_map(|entry| entry.get("address")?.as_str().map(str::to_owned))
            .collect())
    }

    fn admit_operation(
        &self,
        statement: &statement::Statement,
        operation: &Value,
        asked: Option<Asked<'_>>,
        now: Timestamp,
    ) -> Result<Operator, Refusal> {
        let operation = operation::Operation::parse(operation, now)?;
        operation.is_meant_for(&self.domain_name, asked)?;
        if !operation.is_signed_by(&statement.key) {
            return Err(Refusal::KeySignature);
        }
        let name = Sha256::new()
            .chain_update(statement.key.x)
            .chain_update(statement.key.y)
            .chain_update(&operation.payload)
            .finalize();
        Ok(Operator {
            address: statement.address.clone(),
            operation: name.into(),
        })
    }
}

/// Bytes of hexadecimal digits, with or without `0x`.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    const_hex::decode(digits).ok()
}

/// An ISO time that says its zone.
fn time(text: &str) -> Option<Timestamp> {
    let (clock, offset_minutes) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let at = text.rfind(['+', '-']).filter(|&at| at > 10)?;
            let (clock, zone) = text.split_at(at);
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
            let fits = (0..24).contains(&hours) && (0..60).contains(&minutes);
            let total = fits.then_some(hours * 60 + minutes)?;
            (clock, if zone.starts_with('-') { -total } else { total })
        }
    };
    // More digits than microseconds have are cut off.
    let clock = match clock.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{whole}.{}", fraction.get(..6).unwrap_or(fraction))
        }
        Some(_) => return None,
        None => clock.to_owned(),
    };
    let local = Timestamp::from_iso(&format!("{clock}Z"))?;
    let micros = local.micros().checked_sub(offset_minutes * 60_000_000)?;
    Some(Timestamp::from_micros(micros))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
