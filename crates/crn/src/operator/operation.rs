//! One signed operation: what is asked, where, and when.

use beth_protocol::signature::delegate::DelegateKey;
use beth_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Asked, Refusal, hexadecimal, time};

/// How far `time` may be from now, in microseconds.
const AGE_MICROS_MAX: u64 = 120_000_000;

/// An operation that is well-formed and of this moment; not verified yet.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) payload: Vec<u8>,
    signature: Vec<u8>,
    claims: Claims,
}

#[derive(Debug, Deserialize)]
struct Claims {
    time: Value,
    method: String,
    path: String,
    domain: String,
}

impl Operation {
    /// Reads the member or header `X-SignedOperation`.
    pub(super) fn parse(value: &Value, now: Timestamp) -> Result<Operation, Refusal> {
        Operation::read(value, now).ok_or(Refusal::OperationFields)
    }

    fn read(value: &Value, now: Timestamp) -> Option<Operation> {
        let member = |name: &str| hexadecimal(value.get(name)?.as_str()?);
        let payload = member("payload")?;
        let signature = member("signature").filter(|bytes| !bytes.is_empty())?;
        let claims: Claims = serde_json::from_slice(&payload).ok()?;
        let signed_at = match &claims.time {
            Value::String(text) => time(text)?,
            Value::Number(number) => Timestamp::from_seconds_f64(number.as_f64()?)?,
            _ => return None,
        };
        let is_known = matches!(claims.method.as_str(), "POST" | "GET" | "DELETE");
        let is_fresh = now.micros().abs_diff(signed_at.micros()) <= AGE_MICROS_MAX;
        (is_known && is_fresh).then_some(Operation {
            payload,
            signature,
            claims,
        })
    }

    /// Compares with the node and, if told, with the request.
    pub(super) fn is_meant_for(
        &self,
        domain_name: &str,
        asked: Option<Asked<'_>>,
    ) -> Result<(), Refusal> {
        if !is_name_of(&self.claims.domain, domain_name) {
            return Err(Refusal::Domain {
                signed: self.claims.domain.clone(),
                own: domain_name.to_owned(),
            });
        }
        let Some(asked) = asked else {
            return Ok(());
        };
        if self.claims.path != asked.path {
            return Err(Refusal::Path {
                signed: self.claims.path.clone(),
                asked: asked.path.to_owned(),
            });
        }
        if self.claims.method != asked.method {
            return Err(Refusal::Method {
                signed: self.claims.method.clone(),
                asked: asked.method.to_owned(),
            });
        }
        Ok(())
    }

    /// True when the holder of the key signed it.
    pub(super) fn is_signed_by(&self, key: &DelegateKey) -> bool {
        key.verify(&self.payload, &self.signature)
    }
}

/// On a private network this computer has three names, and clients sign the one
/// that they were given.
fn is_name_of(signed: &str, own: &str) -> bool {
    signed == own || (is_here(signed) && is_here(own))
}

/// True for the names by which a computer calls itself.
pub(crate) fn is_here(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}
