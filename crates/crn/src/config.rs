//! The configuration of a compute node: `[crn]` of `beth.toml`, or a file of
//! its own. Every key has a default; unknown keys are errors.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use beth_protocol::ItemHash;
use serde::{Deserialize, Serialize};

use crate::lan::LanConfig;
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
    /// How long a machine may take until it can answer, in seconds.
    pub ready_timeout_seconds: u64,
    /// Memory of all microVMs together, in MiB. Unset: four fifths of what is
    /// free when the node starts.
    pub machine_memory_mib: Option<u64>,
    /// How microVMs are run.
    pub acceleration: Acceleration,
    /// Whether everybody may read what programs print, and their tracebacks.
    /// False: only who connects from this computer, not through a proxy.
    pub public_logs: bool,
    /// Addresses whose signature allocates programs here. Empty: the network's
    /// scheduler.
    pub allocation_signers: Vec<String>,
    /// Hex SHA-256 of the token accepted in `X-Auth-Signature` (deprecated
    /// upstream). Empty: none is accepted.
    pub allocation_token_hash: String,
    /// Files that need no download: hash of the STORE message to local path.
    pub well_known_files: BTreeMap<ItemHash, PathBuf>,
    /// Bounds of Wasm programs.
    pub wasm: WasmConfig,
    /// The guest network.
    pub lan: LanConfig,
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
            ready_timeout_seconds: 120,
            machine_memory_mib: None,
            acceleration: Acceleration::Auto,
            public_logs: false,
            allocation_signers: Vec::new(),
            allocation_token_hash:
                "151ba92f2eb90bce67e912af2f7a5c17d8654b3d29895b042107ea312a7eebda".into(),
            well_known_files: BTreeMap::new(),
            wasm: WasmConfig::default(),
            lan: LanConfig::default(),
        }
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
