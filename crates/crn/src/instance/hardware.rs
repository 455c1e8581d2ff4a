//! What a machine may have beside processors, memory and disks: graphics cards
//! and memory that its node cannot read (compute.md §18, §19).
//!
//! ```text
//! message ─▶ examine: does this node have it at all? ─▶ take: is it free? ─▶ QEMU
//!                                                        └ given back when it ends
//! ```
//!
//! A card belongs to one instance at a time. An instance that shall run keeps
//! its cards when its machine or the node begins anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use beth_protocol::ItemHash;
use beth_protocol::content::InstanceContent;
use beth_protocol::content::machine::GpuRequirement;
use serde::{Deserialize, Serialize};

use super::fault::InstanceFault;
use super::sev;
use crate::gpu::Gpu;

/// Class of cards that drive a display.
const DISPLAY_CLASS: &str = "0300";

/// What a node has.
#[derive(Clone, Debug, Default)]
pub struct Hardware {
    /// How its processor hides memory, if it does.
    pub sev: Option<sev::Geometry>,
    /// Cards that no driver of its own uses.
    pub cards: Vec<Gpu>,
}

/// A card that a machine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its place on the bus, `02:00.0`.
    pub place: String,
    /// Whether it drives a display.
    pub is_display: bool,
}

/// The hardware of a node, and who has it.
#[derive(Debug)]
pub struct Cabinet {
    hardware: Hardware,
    taken: Mutex<BTreeMap<String, ItemHash>>,
}

impl Hardware {
    /// Refuses what this node never can run.
    pub fn examine(&self, content: &InstanceContent) -> Result<(), InstanceFault> {
        let refuse = |reason: &str| Err(InstanceFault::Unusable(reason.to_owned()));
        if let Some(trusted) = &content.environment.trusted_execution {
            let mode = trusted.get("mode").and_then(|mode| mode.as_str());
            if !matches!(mode, None | Some("sev")) {
                return refuse("this node hides memory by AMD SEV only; choose a node that can");
            }
            if self.sev.is_none() {
                return refuse(
                    "this node has no confidential computing; choose a node that has it",
                );
            }
        }
        let mut left: Vec<&str> = self.cards.iter().map(|card| &*card.device_id).collect();
        for wish in wishes(content) {
            match left
                .iter()
                .position(|device_id| *device_id == wish.device_id)
            {
                Some(index) => drop(left.swap_remove(index)),
                None => {
                    return refuse(&format!(
                        "this node has no graphics card {} for it; choose a node that has them",
                        wish.device_id
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Cabinet {
    /// Of which nobody has anything.
    pub fn new(hardware: Hardware) -> Cabinet {
        Cabinet {
            hardware,
            taken: Mutex::default(),
        }
    }

    /// What there is.
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// Notes what an instance of an earlier node has.
    pub fn remember(&self, item_hash: &ItemHash, cards: &[Card]) {
        let mut taken = self.taken();
        for card in cards {
            taken.insert(card.place.clone(), item_hash.clone());
        }
    }

    /// The cards of an instance: those it has, or as many free ones as it asks
    /// for; all or none.
    pub fn take(
        &self,
        item_hash: &ItemHash,
        content: &InstanceContent,
    ) -> Result<Vec<Card>, InstanceFault> {
        let mut taken = self.taken();
        let mut chosen: Vec<&Gpu> = Vec::new();
        for wish in wishes(content) {
            let is_free = |card: &&Gpu| {
                card.device_id == wish.device_id
                    && !chosen.iter().any(|other| other.pci_host == card.pci_host)
                    && taken
                        .get(&card.pci_host)
                        .is_none_or(|owner| owner == item_hash)
            };
            // What it has already comes first.
            let mut free: Vec<&Gpu> = self.hardware.cards.iter().filter(is_free).collect();
            free.sort_by_key(|card| !taken.contains_key(&card.pci_host));
            match free.first() {
                Some(card) => chosen.push(card),
                None => {
                    return Err(InstanceFault::NoRoom(format!(
                        "every graphics card {} is in use",
                        wish.device_id
                    )));
                }
            }
        }
        taken.retain(|_, owner| owner != item_hash);
        for card in &chosen {
            taken.insert(card.pci_host.clone(), item_hash.clone());
        }
        let cards = chosen.into_iter().map(|card| Card {
            place: card.pci_host.clone(),
            is_display: card.device_class == DISPLAY_CLASS,
        });
        Ok(cards.collect())
    }

    /// An instance needs its cards no more.
    pub fn give_back(&self, item_hash: &ItemHash) {
        self.taken().retain(|_, owner| owner != item_hash);
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ItemHash>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Card {
    /// The device file of its group, which a process that drives it opens.
    pub fn device(&self) -> Option<PathBuf> {
        let place = match self.place.matches(':').count() {
            1 => format!("0000:{}", self.place),
            _ => self.place.clone(),
        };
        let group = Path::new("/sys/bus/pci/devices").join(place);
        let group = std::fs::read_link(group.join("iommu_group")).ok()?;
        Some(Path::new("/dev/vfio").join(group.file_name()?))
    }
}

fn wishes(content: &InstanceContent) -> impl Iterator<Item = &GpuRequirement> {
    let requirements = content.requirements.as_ref();
    requirements
        .and_then(|requirements| requirements.gpu.as_ref())
        .into_iter()
        .flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gpu(pci_host: &str, device_id: &str, device_class: &str) -> Gpu {
        Gpu {
            vendor: "NVIDIA".into(),
            model: None,
            device_name: "a card".into(),
            device_class: device_class.into(),
            pci_host: pci_host.into(),
            device_id: device_id.into(),
            compatible: true,
        }
    }

    fn wanting(device_ids: &[&str]) -> InstanceContent {
        let text = include_str!("../../../../vectors/crn/messages.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut content = find(&vectors).unwrap();
        let cards = device_ids.iter().map(|id| {
            json!({"vendor": "NVIDIA", "device_name": "a card", "device_class": "0302", "device_id": id})
        });
        let node = json!({"node_hash": ItemHash::of_bytes(b"node")});
        content["requirements"] = json!({"gpu": cards.collect::<Vec<_>>(), "node": node});
        let parsed = beth_protocol::Content::parse(beth_protocol::MessageType::Instance, &content);
        match parsed.unwrap() {
            beth_protocol::Content::Instance(content) => *content,
            other => panic!("{other:?}"),
        }
    }

    /// The content of the first instance of the vectors.
    fn find(value: &serde_json::Value) -> Option<serde_json::Value> {
        match value {
            serde_json::Value::Object(members) if members.contains_key("rootfs") => {
                let mut content = value.clone();
                content["environment"] = json!({"internet": true, "hypervisor": "qemu"});
                Some(content)
            }
            serde_json::Value::Object(members) => members.values().find_map(find),
            serde_json::Value::Array(items) => items.iter().find_map(find),
            _ => None,
        }
    }

    fn cabinet() -> Cabinet {
        Cabinet::new(Hardware {
            sev: None,
            cards: vec![
                gpu("02:00.0", "10de:27b0", "0302"),
                gpu("03:00.0", "10de:27b0", "0300"),
                gpu("04:00.0", "1002:0001", "0300"),
            ],
        })
    }

    #[test]
    fn a_card_has_one_owner_at_a_time() {
        let (first, second) = (ItemHash::of_bytes(b"1"), ItemHash::of_bytes(b"2"));
        let cabinet = cabinet();
        let two = wanting(&["10de:27b0", "10de:27b0"]);
        let cards = cabinet.take(&first, &two).unwrap();
        assert_eq!(cards[0].place, "02:00.0");
        assert!(!cards[0].is_display && cards[1].is_display);
        assert_eq!(cabinet.take(&first, &two).unwrap(), cards);
        let one = wanting(&["10de:27b0"]);
        let fault = cabinet.take(&second, &one).unwrap_err();
        assert!(fault.to_string().contains("in use"), "{fault}");
        assert_eq!(
            cabinet
                .take(&second, &wanting(&["1002:0001"]))
                .unwrap()
                .len(),
            1
        );
        cabinet.give_back(&first);
        assert_eq!(cabinet.take(&second, &one).unwrap()[0].place, "02:00.0");
    }

    #[test]
    fn what_an_earlier_node_gave_is_not_given_again() {
        let (first, second) = (ItemHash::of_bytes(b"1"), ItemHash::of_bytes(b"2"));
        let cabinet = cabinet();
        let one = wanting(&["10de:27b0"]);
        let card = Card {
            place: "02:00.0".into(),
            is_display: false,
        };
        cabinet.remember(&first, std::slice::from_ref(&card));
        assert_eq!(cabinet.take(&second, &one).unwrap()[0].place, "03:00.0");
        assert_eq!(cabinet.take(&first, &one).unwrap(), [card]);
    }

    #[test]
    fn what_the_node_never_has_is_refused() {
        let hardware = cabinet().hardware.clone();
        assert!(
            hardware
                .examine(&wanting(&["10de:27b0", "10de:27b0"]))
                .is_ok()
        );
        let many = ["10de:27b0"; 3];
        assert!(hardware.examine(&wanting(&many)).is_err());
        assert!(hardware.examine(&wanting(&["8086:0001"])).is_err());
        let mut hidden = wanting(&[]);
        let trusted = |mode: &str| json!({"policy": 1, "mode": mode}).as_object().cloned();
        hidden.environment.trusted_execution = trusted("sev");
        assert!(hardware.examine(&hidden).is_err());
        let able = Hardware {
            sev: Some(sev::Geometry {
                encryption_bit: 51,
                reduced_bits: 1,
            }),
            ..hardware
        };
        assert!(able.examine(&hidden).is_ok());
        hidden.environment.trusted_execution = trusted("tdx");
        assert!(able.examine(&hidden).is_err());
    }
}
