//! Whether one more workload fits here, and cards that somebody is about to
//! pay for (compute.md §8.3, §25.3–§25.4).
//!
//! ```text
//!  node:   memory − host − programs │ cores × overcommit │ free disk − promised
//!                     ≥                      ≥                      ≥
//!  known workloads + the wanted one (declared, whether used or not)
//! ```
//!
//! What runs already is never refused again. Cards are reserved for one
//! address for a minute, so that nobody pays for one that is gone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use beth_protocol::ItemHash;
use beth_protocol::content::machine::GpuRequirement;

use crate::gpu::Gpu;
use crate::limits;
use crate::workloads::{Demand, Kind, Known};

/// What the node has for others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Room {
    /// For instances, all together.
    pub instance_memory_mib: u64,
    /// For programs, all together.
    pub program_memory_mib: u64,
    /// Processors that may be promised.
    pub vcpus: u64,
    /// Free on the disk of the volumes, now.
    pub disk_free_mib: u64,
    /// What workloads may declare, all together, if the operator bounds it; what
    /// is free, otherwise.
    pub disk_mib: Option<u64>,
    /// Cards.
    pub gpus: Vec<Gpu>,
}

/// What lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// Memory.
    #[error(
        "Insufficient capacity to create VM. Memory ({bucket} bucket): required {required_mib} MiB, available {available_mib} MiB"
    )]
    Memory {
        /// `instance` or `program`.
        bucket: &'static str,
        /// With what is promised already.
        required_mib: u64,
        /// For all.
        available_mib: u64,
    },
    /// Processors.
    #[error(
        "Insufficient capacity to create VM. vCPUs: required {required}, available {available}"
    )]
    Processors {
        /// With what is promised already.
        required: u64,
        /// For all.
        available: u64,
    },
    /// Disk.
    #[error(
        "Insufficient capacity to create VM. Disk: required {required_mib} MiB, available {available_mib} MiB"
    )]
    Disk {
        /// Of this one.
        required_mib: u64,
        /// Not promised yet.
        available_mib: u64,
    },
    /// Something that this node does not do.
    #[error("{0}")]
    Feature(String),
    /// A card.
    #[error("No available GPU of device_id {0}")]
    Gpu(String),
}

/// The disk that is not promised, given what the known workloads
/// have written.
pub fn disk_available_mib(room: &Room, known: &[Known], used_mib: u64) -> u64 {
    let declared = known.iter().map(|known| known.demand.disk_mib);
    let declared = declared.fold(0, u64::saturating_add);
    room.disk_mib
        .unwrap_or(room.disk_free_mib.saturating_add(used_mib))
        .saturating_sub(declared)
}

/// Cards that somebody waits for.
#[derive(Debug, Default)]
pub struct Reservations(Mutex<HashMap<String, (String, Instant)>>);

impl Reservations {
    /// Whether a workload fits besides the known ones. `used_mib` is what they
    /// have written of the disks they declared.
    pub fn admit(
        &self,
        room: &Room,
        known: &[Known],
        used_mib: u64,
        wanted: &Wanted<'_>,
    ) -> Result<(), Lack> {
        if known
            .iter()
            .any(|known| Some(&known.item_hash) == wanted.item_hash)
        {
            return Ok(());
        }
        let is_program = |kind| kind != Kind::Instance;
        let same = |known: &&Known| {
            (known.is_running || known.is_starting || known.awaits_secret)
                && is_program(known.kind) == is_program(wanted.kind)
        };
        let (bucket, available_mib) = match is_program(wanted.kind) {
            true => ("program", room.program_memory_mib),
            false => ("instance", room.instance_memory_mib),
        };
        let promised = known
            .iter()
            .filter(same)
            .map(|known| known.demand.memory_mib);
        let required_mib = promised.fold(wanted.demand.memory_mib, u64::saturating_add);
        if required_mib > available_mib {
            return Err(Lack::Memory {
                bucket,
                required_mib,
                available_mib,
            });
        }
        let busy = known
            .iter()
            .filter(|known| known.is_running || known.is_starting);
        let promised = busy.map(|known| known.demand.vcpus);
        let required = promised.fold(wanted.demand.vcpus, u64::saturating_add);
        if required > room.vcpus {
            return Err(Lack::Processors {
                required,
                available: room.vcpus,
            });
        }
        let available_mib = disk_available_mib(room, known, used_mib);
        if wanted.demand.disk_mib > available_mib {
            return Err(Lack::Disk {
                required_mib: wanted.demand.disk_mib,
                available_mib,
            });
        }
        self.cards(room, known, wanted.demand, wanted.owner)
            .map(drop)
    }

    /// A distinct free card for each that is wanted.
    pub fn cards(
        &self,
        room: &Room,
        known: &[Known],
        wanted: &Demand,
        owner: &str,
    ) -> Result<Vec<Gpu>, Lack> {
        let mut free = self.free(room, known, Some(owner));
        let take = |wanted: &GpuRequirement| {
            let place = free
                .iter()
                .position(|gpu| gpu.device_id == wanted.device_id);
            place
                .map(|place| free.remove(place))
                .ok_or_else(|| Lack::Gpu(wanted.device_id.clone()))
        };
        wanted.gpus.iter().map(take).collect()
    }

    /// Cards that nobody uses or waits for; one's own reservations are free.
    pub fn free(&self, room: &Room, known: &[Known], owner: Option<&str>) -> Vec<Gpu> {
        let reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |gpu: &&Gpu| {
            reserved.get(&gpu.pci_host).is_none_or(|(holder, until)| {
                *until < Instant::now()
                    || owner.is_some_and(|owner| owner.eq_ignore_ascii_case(holder))
            })
        };
        let mut free: Vec<Gpu> = room.gpus.iter().filter(is_free).cloned().collect();
        for used in known.iter().flat_map(|known| &known.demand.gpus) {
            let place = free.iter().position(|gpu| gpu.device_id == used.device_id);
            place.map(|place| free.remove(place));
        }
        free
    }

    /// Keeps the cards for this address; how long from now.
    pub fn reserve(
        &self,
        room: &Room,
        known: &[Known],
        wanted: &Demand,
        owner: &str,
    ) -> Result<Duration, Lack> {
        let cards = self.cards(room, known, wanted, owner)?;
        let until = Instant::now() + limits::RESERVATION;
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for card in cards {
            reserved.insert(card.pci_host, (owner.to_owned(), until));
        }
        Ok(limits::RESERVATION)
    }

    /// The owner has what it waited for.
    pub fn release(&self, owner: &str) {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.retain(|_, (holder, _)| !holder.eq_ignore_ascii_case(owner));
    }
}

/// Who wants what.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its message, if there is one already.
    pub item_hash: Option<&'a ItemHash>,
    /// What it is.
    pub kind: Kind,
    /// What it asks for.
    pub demand: &'a Demand,
    /// Whose it is.
    pub owner: &'a str,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
