#!/usr/bin/env bash
# The tests that take minutes: a node that joins late and finds 100,000 messages (or as many as told). Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
export BETH_LATE="${1:-100000}"
cargo test --release --locked --workspace --test network -- --nocapture a_late_joiner
# The examples of functions, built by their authors' tools.
rustup target add wasm32-wasip2
cargo test --release --locked -p beth-crn --test it -- --ignored wasm::examples
