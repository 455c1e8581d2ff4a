#!/usr/bin/env bash
# Measures and prints tables; docs/benchmarks.md keeps the last figures.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/guest.sh
cargo build --release --locked --workspace --bins --examples
for measure in measure_network measure_wasm measure_microvm; do
    echo "== $measure"
    "target/release/examples/$measure"
done
