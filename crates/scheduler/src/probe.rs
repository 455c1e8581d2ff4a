//! How a compute node is: `/about/usage/system` and `/status/config`, read
//! (compute.md §6.6, §6.14).

use std::collections::BTreeSet;

use beth_protocol::ItemHash;
use beth_protocol::placement::{Capability, Cpu, NodeState};
use beth_protocol::time::Timestamp;
use serde_json::Value;

use crate::Error;
use crate::client::json;
use crate::limits::CLAIM_MAX;
use crate::world::now;

/// What a compute node said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What placement needs.
    pub state: NodeState,
    /// Network of its machines, e.g. `2001:db8:1::/64`.
    pub ipv6_pool: Option<String>,
    /// Workloads it lists as running.
    pub running: BTreeSet<ItemHash>,
    /// Disk that is left, in MiB.
    pub disk_available_mib: u64,
    /// Whether it runs confidential machines.
    pub confidential: bool,
    /// Graphics cards nobody uses.
    pub gpus: Vec<Value>,
    /// Its whole answer about usage.
    pub usage: Value,
    /// Its whole answer about configuration.
    pub config: Value,
    /// When it answered, or was found not to.
    pub at: Timestamp,
}

impl Report {
    /// The report of a node that does not answer.
    pub fn fault(reason: String) -> Report {
        let state = NodeState {
            fault: Some(reason),
            ..NodeState::default()
        };
        Report {
            state,
            at: now(),
            ..Report::default()
        }
    }

    /// True when its machines have public IPv6 addresses.
    pub fn supports_ipv6(&self) -> bool {
        let global = |pool: &str| matches!(pool.as_bytes().first(), Some(b'2' | b'3'));
        self.ipv6_pool
            .as_deref()
            .is_some_and(|pool| pool.ends_with("/64") && global(pool))
    }
}

/// Asks a compute node both questions.
pub async fn probe(http: &reqwest::Client, url: &str) -> Result<Report, Error> {
    let usage_url = format!("{url}/about/usage/system");
    let config_url = format!("{url}/status/config");
    let (usage, config) = tokio::try_join!(
        json(http.get(&usage_url), &usage_url),
        json(http.get(&config_url), &config_url)
    )?;
    let mut report = read(&usage, &config).ok_or_else(|| Error::Malformed {
        url: usage_url,
        reason: "no cpu.count or mem.total_kB".to_owned(),
    })?;
    let list_url = format!("{url}/about/executions/list");
    // A node that does not list its machines can be used all the same.
    let list = json(http.get(&list_url), &list_url).await;
    report.running = list.map(|list| running(&list)).unwrap_or_default();
    Ok(report)
}

fn read(usage: &Value, config: &Value) -> Option<Report> {
    let number = |path: &str| {
        usage
            .pointer(path)
            .and_then(Value::as_f64)
            .filter(|number| (0.0..=CLAIM_MAX).contains(number))
            .map(|number| number as u64)
    };
    let text = |path: &str| {
        usage
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let features = usage
        .pointer("/properties/cpu/features")
        .and_then(Value::as_array);
    let inactive = usage.get("active").and_then(Value::as_bool) == Some(false);
    let state = NodeState {
        fault: inactive.then(|| "it says that it is not active".to_owned()),
        vcpus: number("/cpu/count")?,
        memory_mib: kilobytes_to_mib(number("/mem/total_kB")?),
        disk_mib: kilobytes_to_mib(number("/disk/total_kB").unwrap_or_default()),
        capabilities: capabilities(config),
        cpu: Cpu {
            architecture: text("/properties/cpu/architecture"),
            vendor: text("/properties/cpu/vendor"),
            features: features
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        },
    };
    let pool = config
        .pointer("/networking/IPV6_ADDRESS_POOL")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let gpus = usage.pointer("/gpu/available_devices");
    let confidential = config.pointer("/computing/ENABLE_CONFIDENTIAL_COMPUTING");
    Some(Report {
        state,
        ipv6_pool: pool,
        running: BTreeSet::new(),
        disk_available_mib: kilobytes_to_mib(number("/disk/available_kB").unwrap_or_default()),
        confidential: confidential.and_then(Value::as_bool) == Some(true),
        gpus: gpus.and_then(Value::as_array).cloned().unwrap_or_default(),
        usage: usage.clone(),
        config: config.clone(),
        at: now(),
    })
}

/// The item hashes that a list of executions has as keys.
fn running(list: &Value) -> BTreeSet<ItemHash> {
    let members = list.as_object().into_iter().flatten();
    members
        .filter_map(|(hash, _)| ItemHash::parse(hash).ok())
        .collect()
}

/// `beth.executors` lists them; a node without that member is upstream's,
/// which always runs microVMs and says whether it has QEMU for instances.
fn capabilities(config: &Value) -> BTreeSet<Capability> {
    if let Some(executors) = config.pointer("/beth/executors").and_then(Value::as_array) {
        return executors
            .iter()
            .filter_map(Value::as_str)
            .filter_map(capability)
            .collect();
    }
    let mut capabilities = BTreeSet::from([Capability::MicroVm]);
    if config
        .pointer("/computing/ENABLE_QEMU_SUPPORT")
        .and_then(Value::as_bool)
        == Some(true)
    {
        capabilities.insert(Capability::Instance);
    }
    capabilities
}

fn capability(name: &str) -> Option<Capability> {
    match name {
        "microvm" => Some(Capability::MicroVm),
        "instance" => Some(Capability::Instance),
        _ => None,
    }
}

fn kilobytes_to_mib(kilobytes: u64) -> u64 {
    kilobytes.saturating_mul(1_000) / (1024 * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_upstream_and_our_own() {
        let usage = json!({
            "cpu": {"count": 128}, "mem": {"total_kB": 270_582_940}, "disk": {"total_kB": 1_999_999_999},
            "properties": {"cpu": {"architecture": "x86_64", "vendor": "AuthenticAMD", "features": ["sev"]}},
            "active": true,
        });
        let upstream = json!({"networking": {"IPV6_ADDRESS_POOL": "fc00:1:2:3::/64"}, "computing": {"ENABLE_QEMU_SUPPORT": true}});
        let report = read(&usage, &upstream).unwrap();
        assert_eq!(
            (
                report.state.vcpus,
                report.state.memory_mib,
                report.state.fault.clone()
            ),
            (128, 258_048, None)
        );
        assert_eq!(
            report.state.capabilities,
            BTreeSet::from([Capability::MicroVm, Capability::Instance])
        );
        assert_eq!(report.state.cpu.features, ["sev"]);
        assert!(!report.supports_ipv6());

        let ours = json!({"networking": {"IPV6_ADDRESS_POOL": "2001:db8::/64"}, "beth": {"executors": ["wasm", "later"]}});
        let report = read(&usage, &ours).unwrap();
        assert!(report.state.capabilities.is_empty() && report.supports_ipv6());
        assert!(
            read(
                &json!({"active": false, "cpu": {"count": 1}, "mem": {"total_kB": 1}}),
                &ours
            )
            .unwrap()
            .state
            .fault
            .is_some()
        );
        assert_eq!(read(&json!({}), &ours), None);
        let absurd = json!({"cpu": {"count": 1e30}, "mem": {"total_kB": 1}});
        assert_eq!(read(&absurd, &ours), None);
    }
}
