//! V-PROGRAM: a program in a measured, confidential machine (messages.md §8.9).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Payment;
use super::machine::{HostRequirements, MachineResources};
use crate::ItemHash;

/// Content of a V-PROGRAM message. The parts that only a confidential host
/// reads are kept as validated JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedProgramContent {
    /// Owner.
    pub address: String,
    /// Unix seconds.
    pub time: f64,
    /// Always false.
    pub allow_amend: bool,
    /// Free, within limits.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// Absent or empty.
    #[serde(default)]
    pub authorized_keys: Option<Vec<String>>,
    /// Absent or empty.
    #[serde(default)]
    pub variables: Option<Map<String, Value>>,
    /// `{internet}`.
    pub environment: Map<String, Value>,
    /// How large it is.
    pub resources: MachineResources,
    /// Always credit.
    #[serde(default)]
    pub payment: Option<Payment>,
    /// Where it wants to run.
    #[serde(default)]
    pub requirements: Option<HostRequirements>,
    /// Verified volumes.
    #[serde(default)]
    pub volumes: Vec<VerifiedVolume>,
    /// Absent.
    #[serde(default)]
    pub replaces: Option<String>,
    /// The measured runtime.
    pub runtime: VerifiedRuntime,
    /// The workload and its hash tree.
    pub workload: Workload,
    /// What is measured, by whom.
    pub verification: Map<String, Value>,
    /// Graphics cards.
    #[serde(default)]
    pub gpu: Option<Map<String, Value>>,
}

/// `runtime` of a V-PROGRAM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedRuntime {
    /// STORE message.
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    /// Free text.
    #[serde(default)]
    pub comment: String,
}

/// `workload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// STORE message.
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    /// STORE message of the hash tree.
    pub hash_tree: ItemHash,
    /// Root of the hash tree, hex.
    pub roothash: String,
}

/// A verified volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifiedVolume {
    /// STORE message.
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    /// STORE message of the hash tree.
    pub hash_tree: ItemHash,
    /// Root of the hash tree, hex.
    pub roothash: String,
    /// Free text.
    #[serde(default)]
    pub comment: String,
}
