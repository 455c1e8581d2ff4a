//! `wasi:logging/logging`: lines in the program's log, with their level.

use wasmtime::component::Linker;

use super::{Host, View, view};
use crate::executor::clip;
use crate::limits;
use crate::wasm::guest::Guest;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "beth:host/logging",
        imports: { default: trappable },
    });
}

use bindings::wasi::logging::logging::{self, Level};

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    logging::add_to_linker::<Guest, Host>(linker, view)
}

impl logging::Host for View<'_> {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        };
        let context = match context.as_str() {
            "" => String::new(),
            context => format!(" {context}:"),
        };
        for line in message.lines().take(limits::LOG_LINES_MAX) {
            let line = format!("{level}{context} {line}");
            self.factors
                .log
                .line(&clip(&line, limits::LOG_LINE_BYTES_MAX));
        }
        Ok(())
    }
}
