//! The configuration of a compute node: `[crn]` of `beth.toml`, or a file of
//! its own. Every key has a default; unknown keys are errors.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use beth_protocol::ItemHash;
use serde::{Deserialize, Serialize};

use crate::instance::InstancesConfig;
use crate::jail::Mode;
use crate::lan::LanConfig;
use crate::microvm::{FirecrackerConfig, TEMPLATES_MIB};
use crate::names::NamesConfig;
use crate::wasm::WasmConfig;

/// Everything a compute node can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrnConfig {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base URL of the core node that is asked for messages and files.
    pub core_node: String,
    /// Folder of everything the node keeps: messages, files, compiled
    /// components, machines. Created if needed.
    pub folder: PathBuf,
    /// Folder of kernel, modules and runtime images for microVMs (see
    /// `scripts/guest.sh`). Unset: `$BETH_GUEST_DIR`, else the user's cache.
    pub guest_folder: Option<PathBuf>,
    /// Public host name, without scheme and port. Programs answer at
    /// `<label>.<domain_name>`.
    pub domain_name: String,
    /// Item hash of the message that registered this node.
    pub node_hash: Option<String>,
    /// Address of the operator: receiver of payments.
    pub owner: Option<String>,
    /// How long an unused machine is kept, in seconds; 0 stops it after a call.
    pub reuse_seconds: u64,
    /// How long a microVM may be unused until its processors stand still, in
    /// seconds; the next call goes on with it. 0: it never pauses.
    pub pause_seconds: u64,
    /// How long a machine may take until it can answer, in seconds.
    pub ready_timeout_seconds: u64,
    /// How long calls under way may go on when the node ends, in seconds.
    pub drain_seconds: u64,
    /// Memory of all microVMs together, in MiB. Unset: four fifths of what is
    /// free when the node starts.
    pub machine_memory_mib: Option<u64>,
    /// Room of the frozen machines of which microVMs are clones, in MiB of the
    /// disk below `folder`; the longest unused go first. 0: every microVM boots.
    pub templates_mib: u64,
    /// How microVMs are run.
    pub acceleration: Acceleration,
    /// Whether the processes of machines are jailed.
    pub jail: Mode,
    /// First of the 10,000 user ids that machines get, each its own.
    pub jail_first_user: u32,
    /// Largest body of a request to a program, and of its answer, in MiB.
    /// 0: any; either way they pass in pieces.
    pub program_body_mib: u64,
    /// Whether everybody may read what programs print, and their tracebacks.
    /// False: only who connects from this computer, not through a proxy.
    pub public_logs: bool,
    /// Addresses whose signature allocates programs here. Empty: the network's
    /// scheduler.
    pub allocation_signers: Vec<String>,
    /// Hex SHA-256 of the token accepted in `X-Auth-Signature` (deprecated
    /// upstream). Empty: none is accepted.
    pub allocation_token_hash: String,
    /// Where streams of payments must flow. Unset: to `owner`.
    pub payment_receiver: Option<String>,
    /// How often it is looked whether everything is paid, in seconds.
    pub payment_interval_seconds: u64,
    /// A node of Avalanche, asked for streams. Empty: none are accepted there.
    pub rpc_avax: String,
    /// A node of Base, asked for streams. Empty: none are accepted there.
    pub rpc_base: String,
    /// Address whose aggregate `settings` holds what is the same on all nodes.
    pub settings_address: String,
    /// Whether new messages are followed: versions, deletions, triggers.
    pub watch: bool,
    /// How long a message that an owner names is waited for, in seconds.
    pub notify_patience_seconds: u64,
    /// Whether confidential machines (AMD SEV) are accepted.
    pub enable_confidential: bool,
    /// Whether graphics cards are given to machines.
    pub enable_gpus: bool,
    /// Whether machines may arrive from nodes on this computer: for private
    /// networks.
    pub allow_private_sources: bool,
    /// What is kept back from workloads.
    pub admission: AdmissionConfig,
    /// What the self-check of the network asks.
    pub checks: CheckConfig,
    /// Files that need no download: hash of the STORE message to local path.
    pub well_known_files: BTreeMap<ItemHash, PathBuf>,
    /// Bounds of Wasm programs.
    pub wasm: WasmConfig,
    /// The guest network.
    pub lan: LanConfig,
    /// Domain names that lead to guests.
    pub names: NamesConfig,
    /// Whole machines.
    pub instances: InstancesConfig,
    /// An operator's own Firecracker, which then runs what QEMU would run.
    pub firecracker: Option<FirecrackerConfig>,
}

/// What is kept back from workloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// Memory for the node itself, in MiB; at most an eighth of all.
    pub host_memory_reserved_mib: u64,
    /// Memory that instances leave to programs, in MiB; at most half of all.
    pub program_memory_reserved_mib: u64,
    /// Processors promised per processor.
    pub vcpu_overcommit: f64,
    /// Disk that workloads may declare, in MiB. Unset: what is free.
    pub disk_mib: Option<u64>,
}

impl Default for AdmissionConfig {
    fn default() -> AdmissionConfig {
        AdmissionConfig {
            host_memory_reserved_mib: 2048,
            program_memory_reserved_mib: 8192,
            vcpu_overcommit: 4.0,
            disk_mib: None,
        }
    }
}

/// What the self-check of the network asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckConfig {
    /// Answers over IPv4.
    pub ipv4_url: String,
    /// Answers over IPv6.
    pub ipv6_url: String,
    /// Has addresses of both families.
    pub dns_hostname: String,
    /// One of them answers.
    pub http_urls: Vec<String>,
}

impl Default for CheckConfig {
    fn default() -> CheckConfig {
        CheckConfig {
            ipv4_url: "https://1.1.1.1/".into(),
            ipv6_url: "https://[2606:4700:4700::1111]/".into(),
            dns_hostname: "example.org".into(),
            http_urls: vec![
                "http://detectportal.firefox.com/success.txt".into(),
                "https://connectivity-check.ubuntu.com/".into(),
                "https://www.gstatic.com/generate_204".into(),
            ],
        }
    }
}

impl CrnConfig {
    /// Where streams of payments must flow.
    pub fn receiver(&self) -> Option<&str> {
        self.payment_receiver.as_deref().or(self.owner.as_deref())
    }
}

/// How microVMs are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// KVM if a self-test runs guest code, else emulation.
    #[default]
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Default for CrnConfig {
    fn default() -> CrnConfig {
        CrnConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4020)),
            core_node: "http://127.0.0.1:4024".into(),
            folder: "crn".into(),
            guest_folder: None,
            domain_name: "localhost".into(),
            node_hash: None,
            owner: None,
            reuse_seconds: 3600,
            pause_seconds: 5,
            ready_timeout_seconds: 120,
            drain_seconds: 30,
            machine_memory_mib: None,
            templates_mib: TEMPLATES_MIB,
            acceleration: Acceleration::Auto,
            jail: Mode::Auto,
            jail_first_user: 200_000,
            program_body_mib: 0,
            public_logs: false,
            allocation_signers: Vec::new(),
            allocation_token_hash:
                "151ba92f2eb90bce67e912af2f7a5c17d8654b3d29895b042107ea312a7eebda".into(),
            payment_receiver: None,
            payment_interval_seconds: 60,
            rpc_avax: "https://api.avax.network/ext/bc/C/rpc".into(),
            rpc_base: "https://base-mainnet.public.blastapi.io/".into(),
            settings_address: "0xFba561a84A537fCaa567bb7A2257e7142701ae2A".into(),
            watch: true,
            notify_patience_seconds: 10,
            enable_confidential: false,
            enable_gpus: false,
            allow_private_sources: false,
            admission: AdmissionConfig::default(),
            checks: CheckConfig::default(),
            well_known_files: BTreeMap::new(),
            wasm: WasmConfig::default(),
            lan: LanConfig::default(),
            names: NamesConfig::default(),
            instances: InstancesConfig::default(),
            firecracker: None,
        }
    }
}

impl CrnConfig {
    /// [`program_body_mib`](Self::program_body_mib) in bytes; `None`: any.
    pub fn program_body_limit(&self) -> Option<u64> {
        (self.program_body_mib > 0).then(|| self.program_body_mib.saturating_mul(1 << 20))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_unknown_keys() {
        let config: CrnConfig =
            serde_json::from_str(r#"{"reuse_seconds": 5, "wasm": {"calls_max": 7}}"#).unwrap();
        assert_eq!((config.reuse_seconds, config.wasm.calls_max), (5, 7));
        assert_eq!(
            config.wasm.memory_mib_max,
            WasmConfig::default().memory_mib_max
        );
        let error = serde_json::from_str::<CrnConfig>(r#"{"reuse_second": 5}"#).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `reuse_second`"),
            "{error}"
        );
    }

    #[test]
    fn reads_what_it_writes() {
        let config = CrnConfig::default();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<CrnConfig>(&text).unwrap().listen,
            config.listen
        );
    }
}
