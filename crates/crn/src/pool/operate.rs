//! The pool under an operator's hand: keeping, stopping and forgetting
//! programs that nobody calls.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use beth_protocol::ItemHash;

use super::slot::{Running, Slot};
use super::{CallFault, Pool};
use crate::limits;

impl Pool {
    /// From now on this program's machine is not stopped for being idle, and
    /// is begun again when it ended by itself.
    pub fn keep(&self, item_hash: &ItemHash) {
        self.0.remembered.keep(item_hash);
    }

    /// Ends [`keep`](Self::keep).
    pub fn release(&self, item_hash: &ItemHash) {
        self.0.remembered.release(item_hash);
    }

    /// True between [`keep`](Self::keep) and [`release`](Self::release).
    pub fn is_kept(&self, item_hash: &ItemHash) -> bool {
        self.0.remembered.is_kept(item_hash)
    }

    /// The programs that are kept.
    pub fn kept(&self) -> Vec<ItemHash> {
        self.0.remembered.kept()
    }

    /// Makes a machine if there is none.
    pub async fn run(&self, item_hash: &ItemHash) -> Result<(), CallFault> {
        let slot = self.slot(item_hash);
        self.machine(&slot).await.map(drop)
    }

    /// Ends the machine once the calls under way have ended; calls that come
    /// meanwhile get a new one. False when there was none.
    pub async fn stop(&self, item_hash: &ItemHash) -> bool {
        let Some(slot) = self.known(item_hash) else {
            return false;
        };
        let Some(machine) = slot.take_machine(|_| true) else {
            return false;
        };
        finished_calls(&machine).await;
        machine.handle.stop().await;
        true
    }

    /// Ends the machine, forgets the program, and removes what was made for it.
    pub async fn forget(&self, item_hash: &ItemHash) {
        self.stop(item_hash).await;
        self.0.remembered.unlisten(item_hash);
        for executor in [&self.0.executors.wasm, &self.0.executors.microvm] {
            executor.forget(item_hash);
        }
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots
            .get(item_hash)
            .is_some_and(|slot: &Arc<Slot>| slot.is_at_rest())
        {
            slots.remove(item_hash);
        }
    }

    /// Ends the machine and empties the program's persistent volumes.
    pub async fn erase(&self, item_hash: &ItemHash) -> Result<(), CallFault> {
        self.stop(item_hash).await;
        Ok(self.0.executors.microvm.erase(item_hash).await?)
    }

    /// Room that a program's persistent volumes take on this node, in bytes.
    pub async fn disk_bytes(&self, item_hash: &ItemHash) -> u64 {
        self.0.executors.microvm.disk_bytes(item_hash).await
    }

    /// The programs that are known.
    pub fn names(&self) -> HashSet<ItemHash> {
        let slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.keys().cloned().collect()
    }

    /// Waits until no call is under way.
    pub async fn quiet(&self) {
        while self.0.calls.available_permits() < limits::CALLS_MAX {
            tokio::time::sleep(limits::CALLS_CHECK_PERIOD).await;
        }
    }

    /// Begins the machines of kept programs that ended by themselves.
    pub async fn revive_kept(&self) {
        for item_hash in self.kept() {
            if let Err(fault) = self.run(&item_hash).await {
                tracing::warn!("the program {item_hash} is kept and does not run: {fault}");
            }
        }
    }
}

/// Waits until nobody else holds the machine, within bounds.
async fn finished_calls(machine: &Arc<Running>) {
    let alone = async {
        while Arc::strong_count(machine) > 1 {
            tokio::time::sleep(limits::CALLS_CHECK_PERIOD).await;
        }
    };
    drop(tokio::time::timeout(limits::DRAIN_DEADLINE, alone).await);
}
