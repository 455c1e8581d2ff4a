//! The client of placement: which node runs what (network.md §23.4).

use std::collections::BTreeMap;

use beth_protocol::ItemHash;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::limits;
use crate::transport::Transport;

/// One scheduler. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scheduler {
    host: Transport,
}

/// A compute node, as the scheduler lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduledNode {
    /// Hash of the node in the registry.
    pub node_id: String,
    /// Base URL.
    pub url: String,
    /// Pool of addresses for machines.
    #[serde(default)]
    pub ipv6: Option<String>,
    /// Machines there have public IPv6 addresses.
    #[serde(default)]
    pub supports_ipv6: bool,
    /// It answers and can be used (an addition of ours).
    #[serde(default)]
    pub healthy: Option<bool>,
}

/// What the scheduler decided about a program or instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It has a node.
    Placed(Box<Allocation>),
    /// It is known and fits nowhere; why, in words.
    Unplaced(String),
    /// It is not known there (yet).
    Unknown,
}

/// Where a program or instance was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// The message.
    pub vm_hash: String,
    /// `micro_vm`, `persistent_program` or `instance`.
    #[serde(default)]
    pub vm_type: Option<String>,
    /// The node.
    pub node: ScheduledNode,
    /// The core node that was chosen to have it run (an addition of ours).
    #[serde(default)]
    pub core_node: Option<AllocatingNode>,
    /// Why these nodes, in words (an addition of ours).
    #[serde(default)]
    pub reason: Option<String>,
}

/// The core node that a compute node is linked to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AllocatingNode {
    /// Hash of the node in the registry.
    pub node_id: String,
    /// Its name; may be absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Its base URL; may be absent.
    #[serde(default)]
    pub url: Option<String>,
}

/// What one node shall run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Programs that run all the time.
    #[serde(default, deserialize_with = "hashes")]
    pub persistent_vms: Vec<ItemHash>,
    /// Instances.
    #[serde(default, deserialize_with = "hashes")]
    pub instances: Vec<ItemHash>,
    /// Programs started by calls.
    #[serde(default, deserialize_with = "hashes")]
    pub on_demand_vms: Vec<ItemHash>,
}

impl Scheduler {
    /// A client of the scheduler at a base URL; on a local network every core
    /// node serves it.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for anything but an `http` or `https` URL.
    pub fn new(base_url: &str) -> Result<Scheduler, Error> {
        Ok(Scheduler {
            host: Transport::new("scheduler", base_url)?,
        })
    }

    /// Its base URL, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.host.base()
    }

    /// Where a program or instance is, or why it is nowhere.
    pub async fn allocation(&self, hash: &ItemHash) -> Result<Decision, Error> {
        #[derive(Default, Deserialize)]
        struct Refusal {
            #[serde(default)]
            reason: Option<String>,
        }
        let request = self.host.get(&["api", "v0", "allocation", hash.as_str()]);
        let answer = self.host.ask(request, limits::REQUEST_TIMEOUT).await?;
        if answer.status.as_u16() != 404 {
            return Ok(Decision::Placed(Box::new(self.host.json(&answer)?)));
        }
        let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(refusal.reason.map_or(Decision::Unknown, Decision::Unplaced))
    }

    /// The compute nodes that may be given work.
    pub async fn nodes(&self) -> Result<Vec<ScheduledNode>, Error> {
        #[derive(Deserialize)]
        struct Nodes {
            nodes: Vec<ScheduledNode>,
        }
        let nodes: Nodes = self
            .host
            .fetch(self.host.get(&["api", "v0", "nodes"]))
            .await?;
        Ok(nodes.nodes)
    }

    /// What every node shall run, by node hash.
    pub async fn plan(&self) -> Result<BTreeMap<String, NodePlan>, Error> {
        #[derive(Deserialize)]
        struct Plan {
            plan: BTreeMap<String, NodePlan>,
        }
        let plan: Plan = self
            .host
            .fetch(self.host.get(&["api", "v0", "plan"]))
            .await?;
        Ok(plan.plan)
    }
}

/// A list of hashes; `{}` and null count as empty.
fn hashes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ItemHash>, D::Error> {
    match Value::deserialize(deserializer)? {
        list @ Value::Array(_) => serde_json::from_value(list).map_err(serde::de::Error::custom),
        Value::Null => Ok(Vec::new()),
        Value::Object(members) if members.is_empty() => Ok(Vec::new()),
        other => Err(serde::de::Error::custom(format!(
            "a list of hashes was expected, not {other}"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_has_three_forms() {
        let hash = ItemHash::of_bytes(b"x");
        let text = format!(
            r#"{{"persistent_vms": {{}}, "instances": null, "on_demand_vms": ["{hash}"], "jobs": []}}"#
        );
        let plan: NodePlan = serde_json::from_str(&text).unwrap();
        assert_eq!(
            plan,
            NodePlan {
                on_demand_vms: vec![hash],
                ..NodePlan::default()
            }
        );
        assert!(serde_json::from_str::<NodePlan>(r#"{"instances": "x"}"#).is_err());
    }
}
