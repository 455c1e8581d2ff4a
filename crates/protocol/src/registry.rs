//! The registry: which core and compute nodes exist (network.md §20).
//!
//! ```text
//!   corechannel aggregate ── nodes[]          ─▶ CoreNode ◀─┐
//!                         └─ resource_nodes[] ─▶ ResourceNode.parent
//! ```
//!
//! One account publishes the whole registry as the aggregate `corechannel`.
//! Reading is tolerant, as upstream's own records require it: an absent text is
//! empty, `locked` may be `""`, `authorized` may be `""`, an entry that is no
//! node is left out. Order and unknown members mean nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{ItemHash, limits};

/// The key of the aggregate.
pub const KEY: &str = "corechannel";

/// All nodes, in the order of the aggregate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Registry {
    /// Core nodes.
    pub nodes: Vec<CoreNode>,
    /// Compute nodes.
    pub resource_nodes: Vec<ResourceNode>,
}

/// A core node's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoreNode {
    /// The message that created it.
    pub hash: ItemHash,
    /// Address that owns it.
    #[serde(default, deserialize_with = "text")]
    pub owner: String,
    /// Address that is paid.
    #[serde(default, deserialize_with = "text")]
    pub reward: String,
    /// Takes no further stakers.
    #[serde(default, deserialize_with = "flag")]
    pub locked: bool,
    /// Staked ALEPH by address.
    #[serde(default, deserialize_with = "amounts")]
    pub stakers: BTreeMap<String, f64>,
    /// Their sum, in ALEPH.
    #[serde(default, deserialize_with = "number")]
    pub total_staked: f64,
    /// `waiting` or `active`.
    #[serde(default, deserialize_with = "text")]
    pub status: String,
    /// Unix seconds of its creation.
    #[serde(default, deserialize_with = "number")]
    pub time: f64,
    /// Addresses that may stake on a locked node.
    #[serde(default, deserialize_with = "texts")]
    pub authorized: Vec<String>,
    /// Its compute nodes, in no order.
    #[serde(default, deserialize_with = "hashes")]
    pub resource_nodes: Vec<ItemHash>,
    /// 0–1.
    #[serde(default, deserialize_with = "number")]
    pub score: f64,
    /// 0–1.
    #[serde(default, deserialize_with = "number")]
    pub decentralization: f64,
    /// 0–1.
    #[serde(default, deserialize_with = "number")]
    pub performance: f64,
    /// Ethereum height since which it does not answer.
    #[serde(default, deserialize_with = "height")]
    pub inactive_since: Option<u64>,
    /// Name shown to people.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// libp2p address ending in `/p2p/<peer id>`.
    #[serde(default, deserialize_with = "text")]
    pub multiaddress: String,
    /// HTTP URL, often empty.
    #[serde(default, deserialize_with = "text")]
    pub address: String,
    /// Address that may edit the record.
    #[serde(default, deserialize_with = "text")]
    pub manager: String,
    /// Created before the bonus ended.
    #[serde(default, deserialize_with = "flag")]
    pub has_bonus: bool,
}

/// A compute node's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceNode {
    /// The message that created it: its node hash.
    pub hash: ItemHash,
    /// `compute`.
    #[serde(rename = "type", default, deserialize_with = "text")]
    pub node_type: String,
    /// Address that owns it.
    #[serde(default, deserialize_with = "text")]
    pub owner: String,
    /// Address that may edit the record.
    #[serde(default, deserialize_with = "text")]
    pub manager: String,
    /// Address that is paid.
    #[serde(default, deserialize_with = "text")]
    pub reward: String,
    /// Cannot be linked.
    #[serde(default, deserialize_with = "flag")]
    pub locked: bool,
    /// `waiting` or `linked`.
    #[serde(default, deserialize_with = "text")]
    pub status: String,
    /// Addresses, unused.
    #[serde(default, deserialize_with = "texts")]
    pub authorized: Vec<String>,
    /// The core node it is linked to.
    #[serde(default, deserialize_with = "hash")]
    pub parent: Option<ItemHash>,
    /// Unix seconds of its creation.
    #[serde(default, deserialize_with = "number")]
    pub time: f64,
    /// 0–1.
    #[serde(default, deserialize_with = "number")]
    pub score: f64,
    /// 0–1.
    #[serde(default, deserialize_with = "number")]
    pub decentralization: f64,
    /// 0–1.
    #[serde(default, deserialize_with = "number")]
    pub performance: f64,
    /// Ethereum height since which it does not answer.
    #[serde(default, deserialize_with = "height")]
    pub inactive_since: Option<u64>,
    /// Name shown to people.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// Unused.
    #[serde(default, deserialize_with = "text")]
    pub multiaddress: String,
    /// HTTP URL.
    #[serde(default, deserialize_with = "text")]
    pub address: String,
    /// Address that receives token streams.
    #[serde(default, deserialize_with = "text")]
    pub stream_reward: String,
    /// STORE message with the terms that its users accept.
    #[serde(default, deserialize_with = "text")]
    pub terms_and_conditions: String,
}

impl Registry {
    /// Reads the content of the aggregate. Never fails: what is no node is
    /// left out, and of two nodes with one hash the first counts.
    pub fn parse(content: &Value) -> Registry {
        let mut registry = Registry {
            nodes: entries(content, "nodes"),
            resource_nodes: entries(content, "resource_nodes"),
        };
        let mut seen = std::collections::BTreeSet::new();
        registry.nodes.retain(|node| seen.insert(node.hash.clone()));
        seen.clear();
        registry
            .resource_nodes
            .retain(|node| seen.insert(node.hash.clone()));
        registry
    }

    /// The content of the aggregate.
    pub fn to_content(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// The core node of this hash.
    pub fn core_node(&self, hash: &ItemHash) -> Option<&CoreNode> {
        self.nodes.iter().find(|node| node.hash == *hash)
    }

    /// The compute node of this hash.
    pub fn resource_node(&self, hash: &ItemHash) -> Option<&ResourceNode> {
        self.resource_nodes.iter().find(|node| node.hash == *hash)
    }

    /// The compute nodes that count for a core node: linked to it, oldest
    /// first, at most [`limits::RESOURCE_NODES_PER_CORE_NODE_MAX`].
    pub fn linked(&self, core_node: &ItemHash) -> Vec<&ResourceNode> {
        let mut linked: Vec<&ResourceNode> = self
            .resource_nodes
            .iter()
            .filter(|node| node.is_linked() && node.parent.as_ref() == Some(core_node))
            .collect();
        linked.sort_by(|a, b| a.time.total_cmp(&b.time).then_with(|| a.hash.cmp(&b.hash)));
        linked.truncate(limits::RESOURCE_NODES_PER_CORE_NODE_MAX);
        linked
    }
}

impl CoreNode {
    /// True when enough is staked on it.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

impl ResourceNode {
    /// True when it belongs to a core node.
    pub fn is_linked(&self) -> bool {
        self.status == "linked" && self.parent.is_some()
    }

    /// Its URL without a slash at the end.
    pub fn url(&self) -> &str {
        self.address.trim_end_matches('/')
    }
}

fn entries<T: serde::de::DeserializeOwned>(content: &Value, name: &str) -> Vec<T> {
    let Some(Value::Array(items)) = content.get(name) else {
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| T::deserialize(item.clone()).ok())
        .collect()
}

fn lenient<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    Ok(read(&Value::deserialize(deserializer)?))
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(lenient(deserializer, |value| value.as_str().map(str::to_owned))?.unwrap_or_default())
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(lenient(deserializer, Value::as_bool)?.unwrap_or_default())
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(lenient(deserializer, Value::as_f64)?.unwrap_or_default())
}

fn height<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    lenient(deserializer, Value::as_u64)
}

fn as_hash(value: &Value) -> Option<ItemHash> {
    value.as_str().and_then(|text| ItemHash::parse(text).ok())
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ItemHash>, D::Error> {
    lenient(deserializer, as_hash)
}

fn hashes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ItemHash>, D::Error> {
    let list = lenient(deserializer, |value| {
        Some(value.as_array()?.iter().filter_map(as_hash).collect())
    })?;
    Ok(list.unwrap_or_default())
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = lenient(deserializer, |value| {
        Some(
            value
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        )
    })?;
    Ok(list.unwrap_or_default())
}

fn amounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let map = lenient(deserializer, |value| {
        let object = value.as_object()?;
        Some(
            object
                .iter()
                .filter_map(|(address, amount)| Some((address.clone(), amount.as_f64()?)))
                .collect(),
        )
    })?;
    Ok(map.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vector(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn reads_the_real_aggregate() {
        let message = vector(include_str!(
            "../../../vectors/network/corechannel/corechannel_aggregate_message_trimmed.json"
        ));
        let registry = Registry::parse(&message["content"]["content"]);
        let [core] = &registry.nodes[..] else {
            panic!("one core node")
        };
        assert_eq!(
            (
                core.name.as_str(),
                core.is_active(),
                core.resource_nodes.len()
            ),
            ("Moshe", true, 5)
        );
        assert_eq!(core.stakers.len(), 8);
        let [compute] = &registry.resource_nodes[..] else {
            panic!("one compute node")
        };
        assert_eq!(compute.url(), "https://a-node-719754-y.tokenchain.network");
        assert_eq!(compute.inactive_since, Some(19_401_322));
        assert_eq!(registry.linked(&core.hash), [compute]);
    }

    #[test]
    fn reads_every_snapshot_of_the_state_machine_without_loss() {
        let vector = vector(include_str!(
            "../../../vectors/network/corechannel/state_machine_vector.json"
        ));
        for snapshot in vector["snapshots"].as_array().unwrap() {
            let content = &snapshot["content"];
            let registry = Registry::parse(content);
            assert_eq!(
                registry.nodes.len(),
                content["nodes"].as_array().unwrap().len()
            );
            assert_eq!(
                registry.resource_nodes.len(),
                content["resource_nodes"].as_array().unwrap().len()
            );
            assert_eq!(Registry::parse(&registry.to_content()), registry);
        }
    }

    #[test]
    fn leaves_out_what_is_no_node() {
        let hash = "a".repeat(64);
        for (content, cores, computes) in [
            (json!(null), 0, 0),
            (json!({"nodes": {}, "resource_nodes": "x"}), 0, 0),
            (
                json!({"nodes": [1, {"hash": "no"}, {"hash": hash}, {"hash": hash}], "resource_nodes": [{"hash": hash, "locked": "", "authorized": "", "parent": 3, "time": "x"}]}),
                1,
                1,
            ),
        ] {
            let registry = Registry::parse(&content);
            assert_eq!(
                (registry.nodes.len(), registry.resource_nodes.len()),
                (cores, computes),
                "{content}"
            );
        }
    }

    #[test]
    fn the_oldest_links_count() {
        let core = "c".repeat(64);
        let nodes: Vec<Value> = (0..limits::RESOURCE_NODES_PER_CORE_NODE_MAX + 2)
            .map(|i| json!({"hash": format!("{i:064x}"), "status": "linked", "parent": core, "time": 100 - i}))
            .collect();
        let registry =
            Registry::parse(&json!({"nodes": [{"hash": core}], "resource_nodes": nodes}));
        let linked = registry.linked(&ItemHash::parse(&core).unwrap());
        assert_eq!(linked.len(), limits::RESOURCE_NODES_PER_CORE_NODE_MAX);
        assert_eq!(
            linked[0].hash.as_str(),
            format!("{:064x}", limits::RESOURCE_NODES_PER_CORE_NODE_MAX + 1)
        );
    }
}
