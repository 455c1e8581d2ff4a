#!/usr/bin/env bash
# Measures and prints tables; docs/benchmarks.md keeps the last figures.
# With --full the pipeline is measured up to three million stored messages.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/guest.sh
cargo build --release --locked --workspace --bins --examples
for what in "pipeline ${1:-}" http replay "replay --network" join; do
    echo "== measure_pipeline $what"
    # Words of a command line.
    # shellcheck disable=SC2086
    target/release/examples/measure_pipeline $what
done
echo "== measure_api"
target/release/examples/measure_api
for what in "" "--slow 20" "--everything --rate 50 --seconds 10"; do
    echo "== measure_stream $what"
    # shellcheck disable=SC2086
    target/release/examples/measure_stream $what
done
echo "== measure_wasm"
target/release/examples/measure_wasm "$(scripts/component.sh javascript)" "$(scripts/component.sh python)"
for measure in measure_content measure_network measure_microvm; do
    echo "== $measure"
    "target/release/examples/$measure"
done
