//! The Wasm executor: Wasmtime, in process.
