#!/usr/bin/env bash
# Builds the component: examples/wasm-rust/build.sh [OUTPUT]. Needs `rustup target add wasm32-wasip2`; packages come from crates.io.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
output=$(realpath -m "${1:-function.wasm}")
target=${CARGO_TARGET_DIR:-$here/target}
env -u RUSTFLAGS cargo build --release --manifest-path "$here/Cargo.toml" --target wasm32-wasip2 --target-dir "$target"
cp "$target/wasm32-wasip2/release/wasm_rust.wasm" "$output"
