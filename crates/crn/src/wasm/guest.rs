//! What one call of a component holds: its WASI context and its bounds.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::Bounds;
use super::factors::outgoing::Requests;
use super::factors::{Factors, Services};
use super::log::Log;
use super::memory::{MemoryLimit, Refused};
use crate::limits;

/// The host's side of one instance.
pub(super) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    memory: MemoryLimit,
    requests: Requests,
    factors: Factors,
}

impl Guest {
    /// A store for one call, bound in memory and giving way every tick.
    pub(super) fn store(
        engine: &wasmtime::Engine,
        services: &Arc<Services>,
        bounds: &Bounds,
        log: &Log,
    ) -> Store<Guest> {
        let wasi = WasiCtx::builder()
            .envs(&bounds.rights.variables)
            .stdout(log.clone())
            .stderr(log.clone())
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::WASM_RESOURCES_MAX);
        let memory = MemoryLimit::new(bounds.memory_bytes, services.memory.clone());
        let rights = &bounds.rights;
        let requests = Requests::new(services.clone(), rights.clone(), log.clone());
        let factors = Factors::new(services.clone(), rights.clone(), log.clone());
        let mut store = Store::new(
            engine,
            Guest {
                wasi,
                http: WasiHttpCtx::new(),
                table,
                memory,
                requests,
                factors,
            },
        );
        store.set_hostcall_fuel(limits::WASM_HOST_CALL_BYTES_MAX);
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// What the factors work with.
    pub(super) fn parts(&mut self) -> (&mut ResourceTable, &mut Factors) {
        (&mut self.table, &mut self.factors)
    }

    /// What memory the guest was refused; stays readable after the store.
    pub(super) fn memory_refused(&self) -> Arc<Refused> {
        self.memory.refused()
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.requests,
        }
    }
}
