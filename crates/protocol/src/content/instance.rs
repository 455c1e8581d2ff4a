//! INSTANCE: a virtual machine with its own disk (messages.md §8.8).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Payment;
use super::machine::{
    HostRequirements, InstanceEnvironment, MachineResources, ParentVolume, Persistence, Volume,
};

/// Content of an INSTANCE message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceContent {
    /// Owner.
    pub address: String,
    /// Unix seconds.
    pub time: f64,
    /// May be replaced by a later message.
    pub allow_amend: bool,
    /// Free, within limits.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// SSH keys.
    #[serde(default)]
    pub authorized_keys: Option<Vec<String>>,
    /// Environment variables.
    #[serde(default)]
    pub variables: Option<Map<String, Value>>,
    /// What it may do and who runs it.
    pub environment: InstanceEnvironment,
    /// How large it is.
    pub resources: MachineResources,
    /// `None` = hold.
    #[serde(default)]
    pub payment: Option<Payment>,
    /// Where it wants to run.
    #[serde(default)]
    pub requirements: Option<HostRequirements>,
    /// Further disks.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Message being replaced.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Its root disk.
    pub rootfs: RootFilesystem,
}

/// `rootfs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootFilesystem {
    /// The image it is made from.
    pub parent: ParentVolume,
    /// Where it lives.
    pub persistence: Persistence,
    /// Size in MiB.
    pub size_mib: u64,
    /// Legacy.
    #[serde(default)]
    pub forgotten_by: Option<Vec<String>>,
}
