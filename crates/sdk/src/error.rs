//! What can go wrong between a client and a node.

use beth_protocol::ItemHash;
use beth_protocol::rejection::Code;
use serde_json::Value;

/// A call that did not give what it should. `Display` says what happened and
/// what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no address of a node.
    #[error("`{text}` is no node address: write it like http://127.0.0.1:4024")]
    BadUrl {
        /// As given.
        text: String,
    },
    /// Nobody listens there, or the name is unknown.
    #[error("no {role} answers at {url}: {}", unreachable_advice(role))]
    Unreachable {
        /// `core node`, `compute node`, `scheduler`.
        role: &'static str,
        /// Its base URL.
        url: String,
        /// The cause in the words of the system, for logs.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody listens and did not answer in time.
    #[error(
        "the {role} at {url} did not answer within {seconds} s: it may be overloaded; try again, or use another node with --node"
    )]
    TimedOut {
        /// `core node`, `compute node`, `scheduler`.
        role: &'static str,
        /// Its base URL.
        url: String,
        /// The deadline that passed.
        seconds: u64,
    },
    /// The connection broke in the middle.
    #[error("the connection to the {role} at {url} broke: {source}; try again")]
    Broken {
        /// `core node`, `compute node`, `scheduler`.
        role: &'static str,
        /// Its base URL.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what such a node says: most often a wrong port.
    #[error(
        "what answers at {url} does not speak like a {role} ({reason}): check address and port"
    )]
    Malformed {
        /// `core node`, `compute node`, `scheduler`.
        role: &'static str,
        /// Full URL of the request.
        url: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The node refused the request itself.
    #[error("the {role} refused the request ({status}): {body}")]
    Refused {
        /// `core node`, `compute node`, `scheduler`.
        role: &'static str,
        /// HTTP status.
        status: u16,
        /// Its words.
        body: String,
    },
    /// 402: the account cannot pay for a file.
    #[error(
        "{address} holds too few tokens to store this file of {size_bytes} bytes: add tokens to it, forget something, or sign with another key (--key)"
    )]
    PaymentRequired {
        /// Who would pay.
        address: String,
        /// Size of the file.
        size_bytes: u64,
    },
    /// 413: larger than the node takes.
    #[error(
        "the file of {size_bytes} bytes is larger than this node takes: store a smaller one, or ask another node (see /api/v0/storage/limits.json)"
    )]
    TooLarge {
        /// Size of the file.
        size_bytes: u64,
    },
    /// The network judged the message and refused it.
    #[error("{}", rejection_sentence(item_hash, *code, details))]
    Rejected {
        /// The message.
        item_hash: ItemHash,
        /// Number of the rejection (core-api.md §4.2); `None` when the node
        /// refused it before judging.
        code: Option<i32>,
        /// Details as served.
        details: Value,
    },
    /// The message was accepted, and not judged in time.
    #[error(
        "message {item_hash} is still pending after {seconds} s: {reason}; look again with `beth message get {item_hash}`"
    )]
    StillPending {
        /// The message.
        item_hash: ItemHash,
        /// How long we waited.
        seconds: u64,
        /// What is known about the cause.
        reason: String,
    },
    /// The node does not have it.
    #[error("{what} is unknown at {url}: check it, or wait until it has arrived there")]
    NotFound {
        /// What was asked for, with its name.
        what: String,
        /// Base URL of the node.
        url: String,
    },
    /// The bytes that arrived are not those that were asked for.
    #[error(
        "the file from {url} is not {expected} but {actual}: that node is damaged or lies; use another one"
    )]
    WrongFile {
        /// Base URL of the node.
        url: String,
        /// The hash asked for.
        expected: ItemHash,
        /// The hash of what came.
        actual: ItemHash,
    },
    /// The name is a CID with a hash function that is unknown here.
    #[error(
        "{hash} is an IPFS name with an unknown hash function, so the bytes cannot be verified: store the file under its SHA-256 instead"
    )]
    Unverifiable {
        /// The CID.
        hash: ItemHash,
    },
    /// More bytes than the caller wants.
    #[error("the answer from {url} is larger than {bytes_max} bytes: ask for less")]
    TooLong {
        /// Full URL of the request.
        url: String,
        /// The bound.
        bytes_max: u64,
    },
    /// The place where a download is written failed.
    #[error(
        "cannot write the downloaded file: {0}; check that the disk has space and the folder is writable"
    )]
    Local(#[from] std::io::Error),
}

fn unreachable_advice(role: &str) -> &'static str {
    match role {
        "core node" => "start one with `make up`, or name another with --node",
        "scheduler" => "start the network with `make up`, or name another core node with --node",
        _ => "is the node running? `beth doctor` looks at this machine",
    }
}

fn rejection_sentence(item_hash: &ItemHash, code: Option<i32>, details: &Value) -> String {
    let first = details
        .get("errors")
        .and_then(Value::as_array)
        .and_then(|errors| errors.first());
    let field = |name: &str| {
        first
            .and_then(|object| object.get(name))
            .map(plain)
            .unwrap_or_default()
    };
    let head = format!("the network refused message {item_hash}");
    match code.and_then(Code::from_number) {
        Some(Code::BalanceInsufficient) if first.is_some_and(Value::is_object) => format!(
            "{head}: the address holds {} ALEPH and needs {} for everything it runs and stores; add tokens to it, forget something, or sign with another key (--key)",
            tidy_decimal(&field("account_balance")),
            tidy_decimal(&field("required_balance")),
        ),
        Some(Code::CreditInsufficient) if first.is_some_and(Value::is_object) => format!(
            "{head}: the address has {} credits and needs {}; buy credits, or pay another way",
            tidy_decimal(&field("account_credits")),
            tidy_decimal(&field("required_credits")),
        ),
        Some(known) => format!("{head}: {}{}", known.advice(), listed(details)),
        None => match code {
            Some(number) => format!("{head} with code {number}{}", listed(details)),
            None => format!(
                "{head} as malformed{}; correct it and sign it again",
                listed(details)
            ),
        },
    }
}

/// ` (first; second)`, or nothing.
fn listed(details: &Value) -> String {
    let Some(errors) = details.get("errors").and_then(Value::as_array) else {
        return String::new();
    };
    let texts: Vec<String> = errors.iter().map(plain).collect();
    if texts.is_empty() {
        String::new()
    } else {
        format!(" ({})", texts.join("; "))
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `200.000000000000000000` reads `200`.
fn tidy_decimal(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

impl Error {
    /// True when trying the same call again may work.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::TimedOut { .. } | Error::Broken { .. } => true,
            Error::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rejected(code: Option<i32>, details: Value) -> String {
        Error::Rejected {
            item_hash: ItemHash::of_bytes(b"x"),
            code,
            details,
        }
        .to_string()
    }

    #[test]
    fn too_little_balance_names_both_amounts() {
        let details = json!({"errors": [{"required_balance": "200.500000000000000000", "account_balance": "0.000000000000000000"}]});
        let sentence = rejected(Some(5), details);
        assert!(
            sentence.contains("holds 0 ALEPH and needs 200.5 "),
            "{sentence}"
        );
    }

    #[test]
    fn every_rejection_has_a_sentence() {
        for (code, details, part) in [
            (
                Some(2),
                json!({"errors": ["Sender a is not authorized"]}),
                "(Sender a is not authorized)",
            ),
            (Some(301), json!({"errors": ["aa", "bb"]}), "(aa; bb)"),
            (Some(5), Value::Null, "too few tokens"),
            (
                Some(6),
                json!({"errors": [{"required_credits": "12.50", "account_credits": "0"}]}),
                "has 0 credits and needs 12.5;",
            ),
            (Some(999), Value::Null, "code 999"),
            (
                None,
                json!({"errors": ["InvalidMessageFormat"]}),
                "malformed (InvalidMessageFormat)",
            ),
        ] {
            let sentence = rejected(code, details);
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
