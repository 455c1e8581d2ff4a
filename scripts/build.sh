#!/usr/bin/env bash
# Builds target/release/beth.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null || { echo "Rust is not installed: see https://rustup.rs, then run this again" >&2; exit 1; }
cargo build --release --locked
