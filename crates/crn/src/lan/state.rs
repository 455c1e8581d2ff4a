//! What is remembered of guests: numbers, blocks, ports. One JSON file that is
//! replaced as a whole; rules and taps follow from it.
//!
//! A guest keeps its number, its addresses and its ports until it is forgotten,
//! also while it does not run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use beth_protocol::ItemHash;
use serde::{Deserialize, Serialize};

use super::address::{self, Ipv6Policy, Kind};
use super::block::Block;
use super::config::LanConfig;
use super::error::{LanError, unusable};
use super::ports::{Mapping, PortMap};

const FILE: &str = "state.json";

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct State {
    /// By item hash.
    pub(super) guests: BTreeMap<ItemHash, Guest>,
    /// Where the search for the next free port begins; 0: at the first.
    pub(super) next_port: u16,
}

/// What is remembered of one guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guest {
    /// Names its tap and its IPv4 network.
    pub(super) vm_id: u32,
    pub(super) kind: Kind,
    /// Index of its IPv6 block by the dynamic policy.
    #[serde(default)]
    pub(super) ipv6_index: Option<u32>,
    /// User that opens its tap.
    #[serde(default)]
    pub(super) owner_uid: Option<u32>,
    /// True from before its tap is made until after it is removed.
    pub(super) attached: bool,
    /// Port of the guest to port of the host.
    #[serde(default)]
    pub(super) ports: PortMap,
}

impl State {
    /// Reads what was remembered; nothing when there is no file.
    pub(super) fn load(folder: &Path) -> Result<State, LanError> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| LanError::State {
                path,
                reason: error.to_string(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(LanError::State {
                path,
                reason: error.to_string(),
            }),
        }
    }

    /// Replaces the file; after a power cut there is the old or the new one.
    pub(super) async fn save(&self, folder: PathBuf) -> Result<(), LanError> {
        let text = serde_json::to_vec_pretty(self).map_err(unusable)?;
        let path = folder.join(FILE);
        let wrong = |reason: String| LanError::State { path, reason };
        let written = tokio::task::spawn_blocking(move || write(&folder, &text)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(wrong(error.to_string())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// The lowest number that no guest has and that `taken` does not name.
    pub(super) fn free_vm_id(&self, config: &LanConfig, taken: &BTreeSet<u32>) -> Option<u32> {
        let used: BTreeSet<u32> = self.guests.values().map(|guest| guest.vm_id).collect();
        (config.first_number..)
            .take_while(|&vm_id| address::ipv4_network(config.ipv4_pool, 24, vm_id).is_some())
            .find(|vm_id| !used.contains(vm_id) && !taken.contains(vm_id))
    }

    /// Remembers a guest that is new.
    pub(super) fn admit(
        &mut self,
        config: &LanConfig,
        item_hash: &ItemHash,
        (vm_id, kind): (u32, Kind),
    ) -> Result<(), LanError> {
        if let Some((other, _)) = self.guests.iter().find(|(_, guest)| guest.vm_id == vm_id) {
            return Err(LanError::NumberTaken {
                vm_id,
                owner: other.clone(),
            });
        }
        let ipv6_index = match config.ipv6_policy {
            Ipv6Policy::Static => None,
            Ipv6Policy::Dynamic => {
                let used: BTreeSet<u32> = (self.guests.values())
                    .filter_map(|guest| guest.ipv6_index)
                    .collect();
                (0..).find(|index| !used.contains(index))
            }
        };
        let guest = Guest {
            vm_id,
            kind,
            ipv6_index,
            owner_uid: None,
            attached: false,
            ports: PortMap::new(),
        };
        let Some(network) = guest.ipv6_network(config, item_hash) else {
            return Err(LanError::Full);
        };
        if guest.ipv4_network(config).is_none() {
            return Err(LanError::Full);
        }
        if let Some((other, _)) = (self.guests.iter())
            .find(|(other, guest)| guest.ipv6_network(config, other) == Some(network))
        {
            return Err(LanError::AddressTaken {
                network,
                owner: other.clone(),
            });
        }
        self.guests.insert(item_hash.clone(), guest);
        Ok(())
    }

    /// The ports of the host that lead to guests.
    pub(super) fn host_ports(&self) -> BTreeSet<u16> {
        let mappings = self.guests.values().flat_map(|guest| guest.ports.values());
        mappings.map(|Mapping { host, .. }| *host).collect()
    }
}

impl Guest {
    /// Its IPv4 network.
    pub(super) fn ipv4_network(&self, config: &LanConfig) -> Option<Block> {
        address::ipv4_network(config.ipv4_pool, 24, self.vm_id)
    }

    /// Its IPv6 network.
    pub(super) fn ipv6_network(&self, config: &LanConfig, item_hash: &ItemHash) -> Option<Block> {
        match self.ipv6_index {
            Some(index) => address::ipv6_dynamic(config.ipv6_pool, index),
            None => address::ipv6_static(config.ipv6_pool, self.kind, item_hash),
        }
    }
}

fn write(folder: &Path, text: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(FILE))?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hash(text: &str) -> ItemHash {
        ItemHash::of_bytes(text.as_bytes())
    }

    #[test]
    fn numbers_are_the_lowest_free_ones() {
        let config = LanConfig::default();
        let mut state = State::default();
        assert_eq!(state.free_vm_id(&config, &BTreeSet::from([4, 5])), Some(6));
        for (name, expected) in [("a", 4), ("b", 5), ("c", 6)] {
            let vm_id = state.free_vm_id(&config, &BTreeSet::new()).unwrap();
            assert_eq!(vm_id, expected);
            let guest = (vm_id, Kind::Instance);
            state.admit(&config, &hash(name), guest).unwrap();
        }
        state.guests.remove(&hash("b"));
        assert_eq!(state.free_vm_id(&config, &BTreeSet::new()), Some(5));
        let error = state.admit(&config, &hash("d"), (4, Kind::Instance));
        assert!(matches!(error, Err(LanError::NumberTaken { vm_id: 4, .. })));
    }

    #[test]
    fn two_guests_never_share_a_block() {
        let config = LanConfig::default();
        let mut state = State::default();
        let one = ItemHash::parse(&format!("8920215b2e9{}", "0".repeat(53))).unwrap();
        let two = ItemHash::parse(&format!("8920215b2e9{}", "1".repeat(53))).unwrap();
        state.admit(&config, &one, (4, Kind::Instance)).unwrap();
        let error = state.admit(&config, &two, (5, Kind::Instance));
        assert!(matches!(error, Err(LanError::AddressTaken { .. })));
        state.admit(&config, &two, (5, Kind::Microvm)).unwrap();
    }

    #[tokio::test]
    async fn reads_what_it_wrote_and_refuses_nonsense() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), State::default());
        let mut state = State::default();
        let guest = (7, Kind::Microvm);
        state
            .admit(&LanConfig::default(), &hash("a"), guest)
            .unwrap();
        state.save(folder.path().to_owned()).await.unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), state);
        std::fs::write(folder.path().join(FILE), b"{\"guests\": 1}").unwrap();
        let error = State::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("state.json"), "{error}");
    }
}
