//! `wasi:config/store`: the `variables` of the message.

use wasmtime::component::Linker;

use super::{Host, View, view};
use crate::wasm::guest::Guest;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "beth:host/config",
        imports: { default: trappable },
    });
}

use bindings::wasi::config::store;

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    store::add_to_linker::<Guest, Host>(linker, view)
}

impl store::Host for View<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        let mut variables = self.factors.rights.variables.iter();
        let found = variables.find(|(name, _)| *name == key);
        Ok(Ok(found.map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(self.factors.rights.variables.clone()))
    }
}
