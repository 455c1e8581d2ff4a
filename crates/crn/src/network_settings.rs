//! What the network's operators publish for every node: the aggregate
//! `settings` (compute.md §5.4, §18, §26).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::cache::Cache;
use crate::core_node::{CoreFault, CoreNode};
use crate::limits;

/// The values this node uses; absent ones are empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NetworkSettings {
    /// Graphics cards that are paid for.
    pub compatible_gpus: Vec<CompatibleGpu>,
    /// Who gets a fifth of every stream.
    pub community_wallet_address: Option<String>,
    /// Since when, in Unix seconds.
    pub community_wallet_timestamp: f64,
    /// Whose signatures allocate.
    pub authorized_allocation_signers: Vec<String>,
}

/// A card and its product name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct CompatibleGpu {
    pub name: String,
    pub model: String,
    pub vendor: String,
    pub device_id: String,
}

/// Reads them from the core node, at most once a minute.
#[derive(Clone, Debug)]
pub struct SettingsReader {
    core: CoreNode,
    address: String,
    read: Arc<Cache<(), Arc<NetworkSettings>>>,
}

impl SettingsReader {
    /// Of that address.
    pub fn new(core: CoreNode, address: &str) -> SettingsReader {
        SettingsReader {
            core,
            address: address.to_owned(),
            read: Arc::new(Cache::new(limits::SETTINGS_AGE_MAX, 1)),
        }
    }

    /// The settings; the defaults when nobody published any.
    pub async fn read(&self) -> Result<Arc<NetworkSettings>, CoreFault> {
        let asked = async {
            let found = self.core.aggregate(&self.address, "settings").await?;
            Ok(Arc::new(found.as_ref().map(parse).unwrap_or_default()))
        };
        self.read.or_ask(&(), asked).await
    }

    /// Forgets what was read: it was published again.
    pub fn forget(&self) {
        self.read.forget(&());
    }

    /// Whose aggregate it is.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// One strange member does not hide the others.
fn parse(value: &Value) -> NetworkSettings {
    fn member<T: serde::de::DeserializeOwned + Default>(value: &Value, name: &str) -> T {
        let found = value.get(name).cloned().unwrap_or_default();
        serde_json::from_value(found).unwrap_or_default()
    }
    NetworkSettings {
        compatible_gpus: member(value, "compatible_gpus"),
        community_wallet_address: member(value, "community_wallet_address"),
        community_wallet_timestamp: member(value, "community_wallet_timestamp"),
        authorized_allocation_signers: member(value, "authorized_allocation_signers"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_example() {
        let text = include_str!("../../../vectors/crn/messages.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let mut value = vectors["settings_aggregate_example"]["data"]["settings"].clone();
        let settings = parse(&value);
        assert_eq!(settings.compatible_gpus[0].device_id, "10de:26b9");
        assert_eq!(settings.community_wallet_timestamp, 1_739_996_239.0);
        let wallet = Some("0x5aBd3258C5492fD378EBC2e0017416E199e5Da56".to_owned());
        assert_eq!(settings.community_wallet_address, wallet);
        value["compatible_gpus"] = "all of them".into();
        let settings = parse(&value);
        assert_eq!(settings.community_wallet_address, wallet);
        assert!(settings.compatible_gpus.is_empty());
    }
}
