//! What PROGRAM, INSTANCE and V-PROGRAM have in common (messages.md §8.6).

use serde::de::Error;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ItemHash;

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Encoding {
    Plain,
    Zip,
    Squashfs,
}

/// How a program is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    /// A Python ASGI application.
    Asgi,
    /// A program that serves HTTP on localhost:8080, or a Wasm component.
    Binary,
}

/// Who runs the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Hypervisor {
    Qemu,
    Firecracker,
}

/// Where a persistent volume lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Persistence {
    Host,
    Store,
}

/// Requested size of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineResources {
    /// Virtual CPUs, 1–256.
    #[serde(default = "one")]
    pub vcpus: u64,
    /// Memory in MiB, 1–1 048 576.
    #[serde(default = "default_memory")]
    pub memory: u64,
    /// Longest time a call may take, in seconds.
    #[serde(default = "one")]
    pub seconds: u64,
    /// Ports to publish.
    #[serde(default)]
    pub published_ports: Option<Vec<PublishedPort>>,
}

fn default_memory() -> u64 {
    128
}

/// A port to publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// `tcp` or `udp`.
    #[serde(default = "tcp")]
    pub protocol: String,
    /// 1–65535.
    pub port: u16,
}

fn tcp() -> String {
    "tcp".into()
}

/// `environment` of a function. Serialises as an [`InstanceEnvironment`] when
/// the client wrote that form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct FunctionEnvironment {
    /// Same input, same output.
    #[serde(default)]
    pub reproducible: bool,
    /// May reach the internet.
    #[serde(default)]
    pub internet: bool,
    /// May call the network's API from inside.
    #[serde(default)]
    pub aleph_api: bool,
    /// Shares its cache with other programs.
    #[serde(default)]
    pub shared_cache: bool,
    /// What only the instance form has; `None` = the function form.
    #[serde(skip)]
    pub instance: Option<InstanceMembers>,
}

/// The members that [`InstanceEnvironment`] has over [`FunctionEnvironment`].
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct InstanceMembers {
    pub hypervisor: Option<Hypervisor>,
    pub trusted_execution: Option<Map<String, Value>>,
}

impl Serialize for FunctionEnvironment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(members) = self.instance.clone() {
            let form = InstanceEnvironment {
                internet: self.internet,
                aleph_api: self.aleph_api,
                hypervisor: members.hypervisor,
                trusted_execution: members.trusted_execution,
                reproducible: self.reproducible,
                shared_cache: self.shared_cache,
            };
            return form.serialize(serializer);
        }
        let mut form = serializer.serialize_struct("FunctionEnvironment", 4)?;
        form.serialize_field("reproducible", &self.reproducible)?;
        form.serialize_field("internet", &self.internet)?;
        form.serialize_field("aleph_api", &self.aleph_api)?;
        form.serialize_field("shared_cache", &self.shared_cache)?;
        form.end()
    }
}

/// `environment` of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InstanceEnvironment {
    /// May reach the internet.
    #[serde(default)]
    pub internet: bool,
    /// May call the network's API from inside.
    #[serde(default)]
    pub aleph_api: bool,
    /// Who runs it.
    #[serde(default)]
    pub hypervisor: Option<Hypervisor>,
    /// Confidential computing, as validated.
    #[serde(default)]
    pub trusted_execution: Option<Map<String, Value>>,
    /// Same input, same output.
    #[serde(default)]
    pub reproducible: bool,
    /// Shares its cache with other programs.
    #[serde(default)]
    pub shared_cache: bool,
}

/// Wishes about the host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostRequirements {
    /// Processor.
    #[serde(default)]
    pub cpu: Option<CpuRequirements>,
    /// Node.
    #[serde(default)]
    pub node: Option<NodeRequirements>,
    /// Graphics cards.
    #[serde(default)]
    pub gpu: Option<Vec<GpuRequirement>>,
}

/// Wishes about the processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuRequirements {
    /// `x86_64` or `arm64`.
    #[serde(default)]
    pub architecture: Option<String>,
    /// Vendor string.
    #[serde(default)]
    pub vendor: Option<String>,
    /// Features, e.g. `sev`.
    #[serde(default)]
    pub features: Option<Vec<String>>,
}

/// Wishes about the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRequirements {
    /// Owner of the compute node.
    #[serde(default)]
    pub owner: Option<String>,
    /// Pattern of its URL.
    #[serde(default)]
    pub address_regex: Option<String>,
    /// Exactly this compute node.
    #[serde(default)]
    pub node_hash: Option<ItemHash>,
    /// Terms the user accepted.
    #[serde(default)]
    pub terms_and_conditions: Option<ItemHash>,
}

/// One graphics card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct GpuRequirement {
    pub vendor: String,
    pub device_name: String,
    pub device_class: String,
    pub device_id: String,
}

/// The image a disk is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParentVolume {
    /// STORE message.
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    /// Follow updates of that file.
    #[serde(default = "yes")]
    pub use_latest: bool,
}

/// A volume of a machine. Its kind is told by its members, so it is read by
/// the schema and never member by member.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Volume {
    Immutable(ImmutableVolume),
    Persistent(PersistentVolume),
    Ephemeral(EphemeralVolume),
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Volume, D::Error> {
        let value = Value::deserialize(deserializer)?;
        super::schema::volume(&value).map_err(|faults| {
            D::Error::custom(faults.first().map_or("no volume", |fault| &fault.msg))
        })
    }
}

/// Read-only, from a STORE message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ImmutableVolume {
    #[serde(default)]
    pub comment: Option<String>,
    #[serde(default)]
    pub mount: Option<String>,
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    #[serde(default = "yes")]
    pub use_latest: bool,
}

/// Lives as long as the machine runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EphemeralVolume {
    #[serde(default)]
    pub comment: Option<String>,
    #[serde(default)]
    pub mount: Option<String>,
    #[serde(default = "yes")]
    pub ephemeral: bool,
    pub size_mib: u64,
}

/// Kept on the host (or, some day, on the network).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PersistentVolume {
    #[serde(default)]
    pub comment: Option<String>,
    #[serde(default)]
    pub mount: Option<String>,
    pub parent: Option<ParentVolume>,
    pub persistence: Option<Persistence>,
    pub name: Option<String>,
    pub size_mib: u64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_kind_of_a_volume_is_told_by_its_members() {
        let reference = "aa".repeat(32);
        let kind = |value: &Value| match serde_json::from_value(value.clone()).unwrap() {
            Volume::Immutable(_) => "immutable",
            Volume::Ephemeral(_) => "ephemeral",
            Volume::Persistent(_) => "persistent",
        };
        for (value, expected) in [
            (json!({"ref": reference, "mount": "/a"}), "immutable"),
            (json!({"size_mib": 1000}), "ephemeral"),
            (json!({"ephemeral": true, "size_mib": 5}), "ephemeral"),
            (json!({"size_mib": 1001}), "persistent"),
            (json!({"size_mib": 5, "name": null}), "persistent"),
            (json!({"size_mib": 5, "persistence": "host"}), "persistent"),
        ] {
            assert_eq!(kind(&value), expected, "{value}");
        }
        for bad in [json!({}), json!({"size_mib": "5"}), json!({"ref": "x"})] {
            assert!(
                serde_json::from_value::<Volume>(bad.clone()).is_err(),
                "{bad}"
            );
        }
    }
}
