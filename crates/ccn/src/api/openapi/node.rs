//! What the node is (core-api.md §10).
#![allow(dead_code, missing_docs)]

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::words::ItemHash;

/// What runs here.
#[derive(ToSchema)]
pub struct Version {
    version: String,
    name: String,
}

/// Where the node can be reached.
#[derive(ToSchema)]
pub struct PublicInformation {
    /// Addresses for gossip, as multiaddresses.
    node_multi_addresses: Vec<String>,
}

/// The digest of the state, and of each part of it.
#[derive(ToSchema)]
pub struct StateDigest {
    digest: String,
    /// Messages in force.
    messages: u64,
    /// Digests by part.
    parts: HashMap<String, String>,
}

/// Every channel in use.
#[derive(ToSchema)]
pub struct Channels {
    channels: Vec<String>,
}

/// A program that messages start.
#[derive(ToSchema)]
pub struct Trigger {
    item_hash: ItemHash,
    content: TriggerContent,
}

#[derive(ToSchema)]
pub struct TriggerContent {
    on: TriggerOn,
}

#[derive(ToSchema)]
pub struct TriggerOn {
    /// Descriptions of the messages, verbatim.
    #[schema(value_type = Vec<Object>)]
    message: Vec<Value>,
}

/// The answer of the one route that refuses parameters it does not know:
/// the array of faults as text, as JSON.
#[derive(ToSchema)]
pub struct FaultsAsText(String);

/// Upstream's measurements by their names; null where there is nothing to
/// count.
#[derive(ToSchema)]
pub struct Metrics {
    pyaleph_build_info: BuildInformation,
    /// Every other measurement.
    #[serde(flatten)]
    others: HashMap<String, Option<i64>>,
}

#[derive(ToSchema)]
pub struct BuildInformation {
    python_version: String,
    version: String,
}

/// That a process answers.
#[derive(ToSchema)]
pub struct Health {
    status: String,
    uptime_seconds: u64,
}

/// Whether a node can serve.
#[derive(ToSchema)]
pub struct Readiness {
    /// `ready` or `not ready`.
    status: String,
    /// By name: database, writer, queues, gossip, disk.
    checks: HashMap<String, Finding>,
}

/// What was found about a part of a node.
#[derive(ToSchema)]
pub struct Finding {
    ok: bool,
    text: String,
}
