//! Linked components in memory, those that were unused for longest going first.
//!
//! ```text
//! call ─▶ here? ─▶ instance        not here ─▶ compiled file ─▶ mapped, linked ─▶ here
//! ```
//!
//! What is mapped is the compiled file itself: its pages are read when they are
//! executed, are shared by all calls and programs of the component, and are the
//! system's to take back. The bound is therefore one of address space, and the
//! second one, of entries, is of what a component takes besides.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use beth_protocol::ItemHash;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::guest::Guest;
use crate::limits;

/// The components that can be called at once.
pub(super) struct Resident {
    bytes_max: u64,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<ItemHash, Entry>,
    bytes: u64,
    /// Counts uses.
    clock: u64,
}

struct Entry {
    linked: ProxyPre<Guest>,
    bytes: u64,
    used: u64,
}

impl Resident {
    /// Keeps at most that much mapped code, but always the newest component.
    pub(super) fn new(bytes_max: u64) -> Resident {
        Resident {
            bytes_max,
            shelf: Mutex::default(),
        }
    }

    /// A component that is here.
    pub(super) fn find(&self, component: &ItemHash) -> Option<ProxyPre<Guest>> {
        let mut shelf = self.lock();
        shelf.clock += 1;
        let now = shelf.clock;
        let entry = shelf.entries.get_mut(component)?;
        entry.used = now;
        Some(entry.linked.clone())
    }

    /// Adds a component and lets others go if need be. Calls under way keep
    /// theirs.
    pub(super) fn add(&self, component: ItemHash, linked: ProxyPre<Guest>) {
        let image = linked.instance_pre().component().image_range();
        let bytes = (image.end as usize).saturating_sub(image.start as usize) as u64;
        let mut shelf = self.lock();
        shelf.remove(&component);
        while !shelf.entries.is_empty()
            && (shelf.bytes + bytes > self.bytes_max
                || shelf.entries.len() >= limits::WASM_RESIDENT_MAX)
        {
            let oldest = shelf.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            shelf.remove(&oldest);
        }
        shelf.clock += 1;
        let used = shelf.clock;
        shelf.bytes += bytes;
        shelf.entries.insert(
            component,
            Entry {
                linked,
                bytes,
                used,
            },
        );
    }

    /// How many components are here, and the bytes of code they map.
    pub(super) fn size(&self) -> (usize, u64) {
        let shelf = self.lock();
        (shelf.entries.len(), shelf.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn remove(&mut self, component: &ItemHash) {
        if let Some(entry) = self.entries.remove(component) {
            self.bytes -= entry.bytes;
        }
    }
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (components, bytes) = self.size();
        write!(f, "Resident({components} components, {bytes} bytes)")
    }
}
