//! A call under way: it ends when its answer does.
//!
//! ```text
//! visit ─▶ head ─▶ whole body ──────────▶ end
//!             └──▶ stream … ended, dropped ─▶ a task of the pool: end
//! ```

use std::sync::Arc;

use beth_protocol::ItemHash;
use tokio::sync::OwnedSemaphorePermit;

use super::slot::{Running, Slot, Visit};
use super::{CallFault, Pool, busy};
use crate::executor::{Call, Connection, Fault, clip};
use crate::limits;

/// The type of an event's scope.
const MESSAGE_EVENT: &str = "aleph.message";

/// What a call holds: its place on the node, its visit of the slot, its machine.
pub(super) struct Visiting {
    pub(super) pool: Pool,
    pub(super) slot: Arc<Slot>,
    pub(super) machine: Arc<Running>,
    /// `None` once it has ended.
    pub(super) held: Option<(Visit, OwnedSemaphorePermit)>,
}

/// What became of a client that asked for a WebSocket.
pub struct Connected {
    /// The socket or a refusal.
    pub connection: Connection,
    /// `code.ref` of the program's message.
    pub code_ref: ItemHash,
}

impl Pool {
    /// Opens a WebSocket to a program, creating its machine if there is none.
    pub async fn connect(
        &self,
        item_hash: &ItemHash,
        call: Call,
        subprotocols: Vec<String>,
    ) -> Result<Connected, CallFault> {
        let mut visiting = self.visit(item_hash).await?;
        let machine = visiting.machine.clone();
        let code_ref = machine.code_ref.clone();
        let mut connection = machine.handle.connect(call, subprotocols).await;
        match &mut connection {
            Ok(Connection::Open(socket)) => socket.guards.push(Box::new(visiting)),
            Ok(Connection::Refused(answer)) => answer.body.hold(visiting),
            Err(fault) => {
                let died = matches!(fault, Fault::Died(_));
                visiting.end(died.then(|| fault.clone())).await;
            }
        }
        let connection = connection?;
        Ok(Connected {
            connection,
            code_ref,
        })
    }

    /// Tells a program of an event (compute.md §10.3), creating its machine if
    /// there is none. What it says to that is logged.
    pub async fn deliver_event(
        &self,
        item_hash: &ItemHash,
        event: &serde_json::Value,
    ) -> Result<(), CallFault> {
        let mut visiting = self.visit(item_hash).await?;
        let machine = visiting.machine.clone();
        let said = machine.handle.event(MESSAGE_EVENT, event.to_string()).await;
        let died = said
            .as_ref()
            .err()
            .filter(|fault| matches!(fault, Fault::Died(_)));
        visiting.end(died.cloned()).await;
        let said = said?;
        let said = clip(&String::from_utf8_lossy(&said), limits::ERROR_BYTES_MAX);
        tracing::info!(%item_hash, said, "a program was told of a message");
        Ok(())
    }

    /// A call's place, and the machine that answers it.
    pub(super) async fn visit(&self, item_hash: &ItemHash) -> Result<Visiting, CallFault> {
        let Ok(place) = self.0.calls.clone().try_acquire_owned() else {
            return Err(busy("this node answers as many calls as it can"));
        };
        let slot = self.slot(item_hash);
        let Some(visit) = slot.visit() else {
            return Err(busy("this program answers as many calls as it can"));
        };
        let machine = self.machine(&slot).await?;
        Ok(Visiting {
            pool: self.clone(),
            slot,
            machine,
            held: Some((visit, place)),
        })
    }
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
