//! A call under way: it ends when its answer does.
//!
//! ```text
//! visit ─▶ head ─▶ whole body ──────────▶ end
//!             └──▶ stream … ended, dropped ─▶ a task of the pool: end
//! ```

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Pool;
use super::slot::{Running, Slot, Visit};
use crate::executor::Fault;

/// What a call holds: its place on the node, its visit of the slot, its machine.
pub(super) struct Visiting {
    pub(super) pool: Pool,
    pub(super) slot: Arc<Slot>,
    pub(super) machine: Arc<Running>,
    /// `None` once it has ended.
    pub(super) held: Option<(Visit, OwnedSemaphorePermit)>,
}

impl Visiting {
    /// The call is over; `fault` if its machine died of it. A machine that
    /// should not go on is ended first.
    pub(super) async fn end(&mut self, fault: Option<Fault>) {
        let held = self.held.take();
        if fault.is_some() || self.is_last() {
            self.pool.retire(&self.slot, &self.machine, fault).await;
        }
        drop(held);
    }

    fn is_last(&self) -> bool {
        !self.machine.handle.is_alive() || self.pool.0.bounds.reuse.is_zero()
    }
}

impl Drop for Visiting {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let alive = self.machine.handle.is_alive();
        if alive && !self.is_last() {
            return;
        }
        // Outside of a runtime nothing is left that a task could do.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let fault =
                (!alive).then(|| Fault::Died("the machine ended before the answer did".to_owned()));
            let (pool, slot, machine) =
                (self.pool.clone(), self.slot.clone(), self.machine.clone());
            let retired = async move {
                pool.retire(&slot, &machine, fault).await;
                drop(held);
            };
            self.pool.0.tasks.spawn_on(retired, &runtime);
        }
    }
}
