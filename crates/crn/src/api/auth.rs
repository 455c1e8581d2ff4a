//! Who may allocate programs to this node (compute.md §5.4).
//!
//! ```text
//! Authorization: Aleph-EIP191-V1 sig=…,payload=…   signed, bound to this request, once
//! X-Auth-Signature: <token>                        shared secret, deprecated upstream
//! ```
//!
//! An `Authorization` header of any kind excludes the token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use beth_protocol::signature::evm;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::limits;
use crate::operator::token::is_same;

/// The scheduler of the public network.
const DEFAULT_SIGNER: &str = "0x2937f62e5F81A88e921f883f8fE56ceCf4A4A44A";

/// How far `iat` may be from now, in seconds.
const AGE_SECONDS_MAX: i64 = 300;

/// The parts of a request that decide.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// Upper case.
    pub method: &'a str,
    /// Path with query, as in the request line.
    pub target: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `X-Auth-Signature` header.
    pub token: Option<&'a str>,
    /// Whether a `Content-Length` header was there.
    pub has_length: bool,
    /// The whole body.
    pub body: &'a [u8],
}

/// Checks allocations.
#[derive(Debug)]
pub struct AllocationAuth {
    signers: Vec<String>,
    token_hash: String,
    /// When each accepted payload becomes too old to be replayed.
    seen: Mutex<HashMap<(String, [u8; 32]), i64>>,
}

#[derive(Deserialize)]
struct Payload {
    method: String,
    path: String,
    body_sha256: String,
    iat: i64,
}

impl AllocationAuth {
    /// Accepts these signers (none: those that the network publishes, else the
    /// public network's) and the token of this hash (empty: none).
    pub fn new(signers: &[String], token_hash: &str) -> AllocationAuth {
        AllocationAuth {
            signers: signers.to_vec(),
            token_hash: token_hash.to_lowercase(),
            seen: Mutex::default(),
        }
    }

    /// True when the request may allocate. A signed one is remembered and not
    /// accepted again. `published` are the network's signers, `now` is Unix
    /// seconds.
    pub fn accepts(&self, request: &SignedRequest<'_>, published: &[String], now: i64) -> bool {
        match request.authorization {
            Some(header) => self
                .accepts_signature(header, request, published, now)
                .unwrap_or(false),
            None => request.token.is_some_and(|token| self.accepts_token(token)),
        }
    }

    /// True when the network's own list of signers counts.
    pub fn asks_network(&self) -> bool {
        self.signers.is_empty()
    }

    fn accepts_token(&self, token: &str) -> bool {
        let hash = const_hex::encode(Sha256::digest(token.as_bytes()));
        is_same(hash.as_bytes(), self.token_hash.as_bytes())
    }

    fn trusts(&self, signer: &str, published: &[String]) -> bool {
        let default = [DEFAULT_SIGNER.to_owned()];
        let signers = match (self.signers.is_empty(), published.is_empty()) {
            (false, _) => &self.signers[..],
            (true, false) => published,
            (true, true) => &default,
        };
        signers
            .iter()
            .any(|known| known.eq_ignore_ascii_case(signer))
    }

    fn accepts_signature(
        &self,
        header: &str,
        request: &SignedRequest<'_>,
        published: &[String],
        now: i64,
    ) -> Option<bool> {
        let (signature, payload) = parameters(header)?;
        let payload = const_hex::decode(payload).ok()?;
        let claims: Payload = serde_json::from_slice(&payload).ok()?;
        let is_bound = request.has_length
            && claims.method == request.method
            && claims.path == request.target
            && !request.target.contains('?')
            && claims.body_sha256 == const_hex::encode(Sha256::digest(request.body));
        let is_fresh = now.checked_sub(claims.iat)?.checked_abs()? <= AGE_SECONDS_MAX;
        if !is_bound || !is_fresh {
            return Some(false);
        }
        let signer = evm::recover(evm::digest(&payload), signature)?;
        let signer = format!("0x{}", const_hex::encode(signer));
        if !self.trusts(&signer, published) {
            return Some(false);
        }
        Some(self.is_first(
            signer,
            Sha256::digest(&payload).into(),
            claims.iat + AGE_SECONDS_MAX,
            now,
        ))
    }

    fn is_first(&self, signer: String, payload: [u8; 32], expires: i64, now: i64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, expires| *expires >= now);
        if seen.len() >= limits::REPLAY_KEYS_MAX {
            return false;
        }
        seen.insert((signer, payload), expires).is_none()
    }
}

/// Signature and payload, in hex without prefix, of the header.
fn parameters(header: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Aleph-EIP191-V1") {
        return None;
    }
    let (mut signature, mut payload) = (None, None);
    for parameter in rest.split(',') {
        let (name, value) = parameter.trim().split_once('=')?;
        let value = value
            .strip_prefix("0x")
            .or_else(|| value.strip_prefix("0X"))
            .unwrap_or(value);
        let place = match name {
            "sig" => &mut signature,
            "payload" => &mut payload,
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    Some((signature?, payload?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../../vectors/crn/auth_vectors.json")).unwrap()
    }

    fn signed<'a>(vector: &'a Value, header: &'a str) -> SignedRequest<'a> {
        SignedRequest {
            method: vector["http_method"].as_str().unwrap(),
            target: vector["http_path"].as_str().unwrap(),
            authorization: Some(header),
            token: None,
            has_length: true,
            body: vector["body_utf8"].as_str().unwrap().as_bytes(),
        }
    }

    #[test]
    fn signatures_of_the_vectors() {
        let vectors = vectors();
        let signer = vectors["eip191_v1"]["signer_address"]
            .as_str()
            .unwrap()
            .to_owned();
        for name in ["eip191_v1", "eip191_v1_empty_body"] {
            let vector = &vectors[name];
            let now = vector["now_unix"].as_i64().unwrap();
            let header = vector["authorization_header"].as_str().unwrap();
            let request = signed(vector, header);
            let auth = || AllocationAuth::new(std::slice::from_ref(&signer), "");
            let once = auth();
            assert!(once.accepts(&request, &[], now), "{name}");
            assert!(!once.accepts(&request, &[], now), "{name}: replayed");
            assert!(auth().accepts(&request, &[], now + 300));
            assert!(!auth().accepts(&request, &[], now + 301));
            assert!(!auth().accepts(&request, &[], now - 301));
            assert!(!auth().accepts(
                &SignedRequest {
                    body: b"other",
                    ..request
                },
                &[],
                now
            ));
            assert!(!auth().accepts(
                &SignedRequest {
                    target: "/control/other",
                    ..request
                },
                &[],
                now
            ));
            assert!(!auth().accepts(
                &SignedRequest {
                    method: "PUT",
                    ..request
                },
                &[],
                now
            ));
            assert!(!auth().accepts(
                &SignedRequest {
                    has_length: false,
                    ..request
                },
                &[],
                now
            ));
            let query = format!("{}?x=1", request.target);
            assert!(!auth().accepts(
                &SignedRequest {
                    target: &query,
                    ..request
                },
                &[],
                now
            ));
            assert!(
                !AllocationAuth::new(&[], "").accepts(&request, &[], now),
                "{name}: another signer"
            );
            let published = std::slice::from_ref(&signer);
            let nobody = AllocationAuth::new(&[], "");
            assert!(
                nobody.accepts(&request, published, now),
                "{name}: published"
            );
            let other = AllocationAuth::new(&["0x00".into()], "");
            assert!(
                !other.accepts(&request, published, now),
                "{name}: configured"
            );
            let loose = header
                .replace("Aleph-EIP191-V1", "aleph-eip191-v1")
                .replace("sig=", "sig=0x")
                .replace("payload=", "payload=0x");
            assert!(auth().accepts(&signed(vector, &loose), &[], now));
            assert!(!auth().accepts(&signed(vector, &format!("{header},x=1")), &[], now));
        }
    }

    #[test]
    fn tokens() {
        let vectors = vectors();
        let vector = &vectors["legacy_token"];
        let auth = AllocationAuth::new(&[], vector["ALLOCATION_TOKEN_HASH"].as_str().unwrap());
        let token = vector["header"]
            .as_str()
            .unwrap()
            .strip_prefix("X-Auth-Signature: ");
        let request = SignedRequest {
            method: "POST",
            target: "/control/allocations",
            authorization: None,
            token,
            has_length: true,
            body: b"{}",
        };
        assert!(auth.accepts(&request, &[], 0));
        assert!(
            auth.accepts(&request, &[], 0),
            "a token is no signature: it may come again"
        );
        assert!(!auth.accepts(
            &SignedRequest {
                token: Some("nope"),
                ..request
            },
            &[],
            0
        ));
        assert!(!auth.accepts(
            &SignedRequest {
                token: None,
                ..request
            },
            &[],
            0
        ));
        assert!(
            !auth.accepts(
                &SignedRequest {
                    authorization: Some("Bearer x"),
                    ..request
                },
                &[],
                0
            ),
            "no way back"
        );
        assert!(!AllocationAuth::new(&[], "").accepts(
            &SignedRequest {
                token: Some(""),
                ..request
            },
            &[],
            0
        ));
    }
}
