//! This node's settings under upstream's names (compute.md §6.9, §6.14, §29).
//! What this node has no setting for has the value by which it behaves.

use std::net::IpAddr;

use beth_protocol::{Chain, ItemHash};
use serde_json::{Map, Value, json};

use super::VERSION;
use crate::config::CrnConfig;
use crate::lan::{self, Ipv6Policy};
use crate::{jail, microvm};

/// Program that diagnoses a node.
pub(super) const CHECK_PROGRAM: &str =
    "d2b74aa29898457bde0560e47f7cdd4e77287e9f1f7a1456161d2fd7d5c855d7";

/// Its predecessor.
pub(super) const LEGACY_CHECK_PROGRAM: &str =
    "ad67c6857d6319486794ec2a3d14b584ac7e6c27593f3172148e486dbd1e0e21";

/// The body of `/status/config`.
pub(super) fn public(
    config: &CrnConfig,
    node_hash: Option<ItemHash>,
    streams: &[Chain],
    (runs_instances, has_taps): (bool, bool),
) -> Value {
    let executors: &[&str] = match microvm::is_installed(config.guest_folder.as_deref()) {
        true => &["wasm", "microvm"],
        false => &["wasm"],
    };
    let payments: Map<String, Value> = streams
        .iter()
        .map(|chain| (format!("Chain.{chain}"), stream(config, *chain)))
        .collect();
    json!({
        "DOMAIN_NAME": config.domain_name,
        "node_hash": node_hash,
        "version": VERSION,
        "references": {
            "API_SERVER": config.core_node.trim_end_matches('/'),
            "CHECK_FASTAPI_VM_ID": CHECK_PROGRAM,
            "CONNECTOR_URL": "http://localhost:4021/",
        },
        "security": {
            "USE_JAILER": config.jail != jail::Mode::Off,
            "PRINT_SYSTEM_LOGS": false,
            "WATCH_FOR_UPDATES": config.watch,
            "ALLOW_VM_NETWORKING": runs_instances,
            "USE_DEVELOPER_SSH_KEYS": false,
        },
        "networking": {
            "IPV6_ADDRESS_POOL": config.lan.ipv6_pool.to_string(),
            "IPV6_ALLOCATION_POLICY": format!("IPv6AllocationPolicy.{}", policy(config)),
            "IPV6_SUBNET_PREFIX": 124,
            "IPV6_FORWARDING_ENABLED": has_taps,
            "USE_NDP_PROXY": has_taps && config.lan.ndp_proxy,
        },
        "debug": {"SENTRY_DSN_CONFIGURED": false, "DEBUG_ASYNCIO": false, "EXECUTION_LOG_ENABLED": false},
        "payment": {
            "PAYMENT_RECEIVER_ADDRESS": config.receiver(),
            "AVAILABLE_PAYMENTS": payments,
            "PAYMENT_MONITOR_INTERVAL": config.payment_interval_seconds as f64,
        },
        "computing": {
            "ENABLE_QEMU_SUPPORT": runs_instances,
            "INSTANCE_DEFAULT_HYPERVISOR": "qemu",
            "ENABLE_CONFIDENTIAL_COMPUTING": config.enable_confidential,
            "ENABLE_GPU_SUPPORT": config.enable_gpus,
        },
        "beth": {"executors": executors},
    })
}

fn policy(config: &CrnConfig) -> &'static str {
    match config.lan.ipv6_policy {
        Ipv6Policy::Static => "static",
        Ipv6Policy::Dynamic => "dynamic",
    }
}

fn stream(config: &CrnConfig, chain: Chain) -> Value {
    let (chain_id, rpc) = match chain {
        Chain::Avax => (43114, &config.rpc_avax),
        _ => (8453, &config.rpc_base),
    };
    json!({
        "chain_id": chain_id, "rpc": rpc, "standard_token": null,
        "super_token": "0xc0Fbc4967259786C743361a5885ef49380473dCF", "testnet": false, "active": true,
    })
}

/// The body of `/about/config`.
pub(super) fn all(config: &CrnConfig, node_hash: Option<ItemHash>) -> Value {
    let mut all = Map::new();
    for part in [
        own(config, node_hash),
        places(config),
        network(config),
        fixed(),
        bounds(),
        development(),
    ] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    all.into()
}

fn own(config: &CrnConfig, node_hash: Option<ItemHash>) -> Value {
    json!({
        "SUPERVISOR_HOST": config.listen.ip(),
        "SUPERVISOR_PORT": config.listen.port(),
        "DOMAIN_NAME": config.domain_name,
        "NODE_HASH": node_hash,
        "OWNER_ADDRESS": config.owner.clone().unwrap_or_default(),
        "REUSE_TIMEOUT": config.reuse_seconds as f64,
        "DRAIN_TIMEOUT": config.drain_seconds as f64,
        "WATCH_FOR_MESSAGES": config.watch,
        "WATCH_FOR_UPDATES": config.watch,
        "API_SERVER": config.core_node.trim_end_matches('/'),
        "CONNECTIVITY_IPV4_URL": config.checks.ipv4_url,
        "CONNECTIVITY_IPV6_URL": config.checks.ipv6_url,
        "CONNECTIVITY_DNS_HOSTNAME": config.checks.dns_hostname,
        "CONNECTIVITY_HTTP_URLS": config.checks.http_urls,
        "INIT_TIMEOUT": config.ready_timeout_seconds as f64,
        "HOST_MEMORY_RESERVED_MIB": config.admission.host_memory_reserved_mib,
        "PROGRAM_MEMORY_RESERVED_MIB": config.admission.program_memory_reserved_mib,
        "VCPU_OVERCOMMIT_FACTOR": config.admission.vcpu_overcommit,
        "PAYMENT_MONITOR_INTERVAL": config.payment_interval_seconds as f64,
        "PAYMENT_RECEIVER_ADDRESS": config.receiver(),
        "RPC_AVAX": config.rpc_avax,
        "RPC_BASE": config.rpc_base,
        "ALLOCATION_TOKEN_HASH": config.allocation_token_hash,
        "AUTHORIZED_ALLOCATION_SIGNERS": config.allocation_signers,
        "ENABLE_CONFIDENTIAL_COMPUTING": config.enable_confidential,
        "ENABLE_GPU_SUPPORT": config.enable_gpus,
        "SETTINGS_AGGREGATE_ADDRESS": config.settings_address,
    })
}

fn places(config: &CrnConfig) -> Value {
    let place = |name: &str| config.folder.join(name).display().to_string();
    json!({
        "CACHE_ROOT": place(""), "MESSAGE_CACHE": place("messages"), "CODE_CACHE": place("files"),
        "RUNTIME_CACHE": place("files"), "DATA_CACHE": place("files"), "EXECUTION_ROOT": place(""),
        "JAILER_BASE_DIRECTORY": place("machines"), "JAILER_BASE_DIR": place("machines"),
        "EXECUTION_DATABASE": place("instances"), "EXECUTION_LOG_DIRECTORY": place("executions"),
        "BACKUP_DIRECTORY": place("backups"), "PERSISTENT_VOLUMES_DIR": place("instances"),
        "CONFIDENTIAL_DIRECTORY": place("confidential"), "CONFIDENTIAL_SESSION_DIRECTORY": place("sessions"),
        "LINUX_PATH": config.guest_folder.as_ref().map(|path| path.display().to_string()),
    })
}

/// How guests reach the network, and names reach them.
fn network(config: &CrnConfig) -> Value {
    let (lan, names) = (&config.lan, &config.names);
    let (ipv4, ipv6): (Vec<&IpAddr>, Vec<&IpAddr>) = lan.dns.iter().partition(|ip| ip.is_ipv4());
    json!({
        "ALLOW_VM_NETWORKING": lan.mode != lan::Mode::None,
        "NETWORK_INTERFACE": lan.external_interface,
        "IPV4_ADDRESS_POOL": lan.ipv4_pool.to_string(), "IPV4_NETWORK_PREFIX_LENGTH": 24,
        "IPV6_ADDRESS_POOL": lan.ipv6_pool.to_string(),
        "IPV6_ALLOCATION_POLICY": policy(config), "IPV6_SUBNET_PREFIX": 124,
        "IPV6_FORWARDING_ENABLED": matches!(lan.mode, lan::Mode::Tap | lan::Mode::Auto),
        "USE_NDP_PROXY": lan.ndp_proxy, "START_ID_INDEX": lan.first_number,
        "DNS_RESOLUTION": "detect",
        "DNS_NAMESERVERS": (!lan.dns.is_empty()).then_some(&lan.dns),
        "DNS_NAMESERVERS_IPV4": (!ipv4.is_empty()).then_some(ipv4),
        "DNS_NAMESERVERS_IPV6": (!ipv6.is_empty()).then_some(ipv6),
        "USE_JAILER": config.jail != jail::Mode::Off,
        "ENABLE_QEMU_SUPPORT": config.instances.enabled,
        "DOMAIN_SERVICE_URL": names.service_url, "HAPROXY_SOCKET": names.haproxy_socket,
        "DOMAIN_RESYNC_INTERVAL": names.period_seconds as f64,
    })
}

fn fixed() -> Value {
    json!({
        "PREALLOC_VM_COUNT": 0, "MAX_CONCURRENT_MIGRATIONS": 1,
        "IPFS_GATEWAY": "https://ipfs.aleph.im/ipfs", "PRINT_SYSTEM_LOGS": false,
        "IGNORE_TRACEBACK_FROM_DIAGNOSTICS": true, "LOG_LEVEL": "INFO", "DEBUG_ASYNCIO": false,
        "NFTABLES_CHAIN_PREFIX": "aleph", "FIRECRACKER_PATH": null, "JAILER_PATH": null,
        "SEV_CTL_PATH": "/opt/sevctl", "CONNECTOR_URL": "http://localhost:4021/",
    })
}

/// Bounds and ages.
fn bounds() -> Value {
    json!({
        "EXECUTION_LOG_ENABLED": false, "MAX_RESTORE_UPLOAD_BYTES": 107374182400u64,
        "MAX_PROGRAM_ARCHIVE_SIZE": crate::limits::CODE_BYTES_MAX,
        "MAX_DATA_ARCHIVE_SIZE": crate::limits::CODE_BYTES_MAX,
        "PAYMENT_PRICING_AGGREGATE": "", "PAYMENT_BUFFER": "1E-10",
        "CACHE_TTL_SECURITY_AGGREGATE": crate::limits::DELEGATIONS_AGE_MAX.as_secs_f64(),
        "CACHE_TTL_EXECUTION_PRICE": crate::limits::PRICE_AGE_MAX.as_secs_f64(),
        "CACHE_TTL_ADDRESS_BALANCE": crate::limits::BALANCE_AGE_MAX.as_secs_f64(),
        "CACHE_TTL_MESSAGE_STATUS": crate::limits::BALANCE_AGE_MAX.as_secs_f64(),
        "SNAPSHOT_FREQUENCY": 0, "SNAPSHOT_COMPRESSION_ALGORITHM": "gzip",
        "DEFAULT_ALLOCATION_SIGNERS": ["0x2937f62e5F81A88e921f883f8fE56ceCf4A4A44A"],
        "ALLOCATION_SIGNATURE_MAX_AGE_SECONDS": 300,
        "INSTANCE_DEFAULT_HYPERVISOR": "qemu", "CHECK_FASTAPI_VM_ID": CHECK_PROGRAM,
        "LEGACY_CHECK_FASTAPI_VM_ID": LEGACY_CHECK_PROGRAM, "SENTRY_DSN": null,
        "SENTRY_TRACES_SAMPLE_RATE": 0.0,
    })
}

/// Upstream's switches for its own development: none is on.
fn development() -> Value {
    json!({
        "FAKE_DATA_PROGRAM": null, "BENCHMARK_FAKE_DATA_PROGRAM": null, "FAKE_DATA_MESSAGE": null,
        "FAKE_DATA_DATA": null, "FAKE_DATA_RUNTIME": null, "FAKE_DATA_VOLUME": null,
        "TEST_INSTANCE_ID": null, "USE_FAKE_INSTANCE_BASE": false, "FAKE_INSTANCE_BASE": null,
        "FAKE_QEMU_INSTANCE_BASE": null, "FAKE_INSTANCE_ID": null, "FAKE_INSTANCE_MESSAGE": null,
        "FAKE_INSTANCE_QEMU_MESSAGE": null, "DEVELOPER_SSH_KEYS": [], "USE_DEVELOPER_SSH_KEYS": false,
        "SENSITIVE_FIELDS": ["SENTRY_DSN"],
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_setting_has_a_value() {
        let text = include_str!("../../../../vectors/crn/api_responses.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let ours = all(&CrnConfig::default(), None);
        let recorded = &vectors["responses"]["about_config_ok"]["body"];
        for name in recorded.as_object().unwrap().keys() {
            assert!(ours.get(name).is_some(), "{name}");
        }
        let ours = public(
            &CrnConfig::default(),
            None,
            &[Chain::Avax, Chain::Base],
            (true, true),
        );
        let recorded = &vectors["responses"]["status_config"]["body"];
        assert_eq!(
            ours["payment"]["AVAILABLE_PAYMENTS"]["Chain.AVAX"]
                .as_object()
                .unwrap()
                .len(),
            6
        );
        for (name, value) in recorded.as_object().unwrap() {
            for (member, _) in value.as_object().into_iter().flatten() {
                assert!(ours[name].get(member).is_some(), "{name}.{member}");
            }
        }
    }
}
