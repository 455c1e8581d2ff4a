//! What one call of a component holds: its WASI context and its bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::Bounds;
use super::log::Log;
use crate::limits;

/// The host's side of one instance.
pub(super) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    memory: MemoryLimit,
    outgoing: NoOutgoing,
}

impl Guest {
    /// A store for one call, bound in memory and giving way every tick.
    pub(super) fn store(engine: &wasmtime::Engine, bounds: &Bounds, log: &Log) -> Store<Guest> {
        let wasi = WasiCtx::builder()
            .envs(&bounds.variables)
            .stdout(log.clone())
            .stderr(log.clone())
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::WASM_RESOURCES_MAX);
        let memory = MemoryLimit {
            limit_bytes: bounds.memory_bytes,
            used_bytes: 0,
            refused: Arc::default(),
        };
        let outgoing = NoOutgoing(log.clone());
        let mut store = Store::new(
            engine,
            Guest {
                wasi,
                http: WasiHttpCtx::new(),
                table,
                memory,
                outgoing,
            },
        );
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// Set once the guest was refused memory; stays readable after the store.
    pub(super) fn memory_refused(&self) -> Arc<AtomicBool> {
        self.memory.refused.clone()
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
            hooks: &mut self.outgoing,
        }
    }
}

/// Bounds the sum of all memories of a guest.
struct MemoryLimit {
    limit_bytes: usize,
    used_bytes: usize,
    refused: Arc<AtomicBool>,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used_bytes = self
            .used_bytes
            .saturating_sub(current)
            .saturating_add(desired);
        if used_bytes > self.limit_bytes {
            self.refused.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        self.used_bytes = used_bytes;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ELEMENTS_MAX)
    }
}

/// Refuses outgoing requests and says so where the author looks.
struct NoOutgoing(Log);

type Io = Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>;

impl WasiHttpHooks for NoOutgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sent: Io,
    ) -> Box<
        dyn Future<Output = Result<(http::Response<WasiBody>, Io), wasmtime_wasi_http::Error>>
            + Send,
    > {
        self.0.line(&format!(
            "outgoing request to {} refused: this node gives Wasm programs no network",
            request.uri()
        ));
        Box::new(std::future::ready(Err(
            wasmtime_wasi_http::Error::HttpRequestDenied,
        )))
    }
}
