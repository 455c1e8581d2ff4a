#!/usr/bin/env bash
# Simulates networks of nodes and prints what docs/simulation.md keeps; draws docs/propagation.svg again.
# With words of its own only that run: scripts/simulate.sh --nodes 500 --scenario churn
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked -p beth-network --example simulate
simulate() {
    echo "== simulate $*"
    target="${CARGO_TARGET_DIR:-target}/release/examples/simulate"
    "$target" "$@"
}
if [ "$#" -gt 0 ]; then
    simulate "$@"
    exit
fi
simulate --plot docs/propagation.svg
for scenario in churn partition; do
    simulate --scenario "$scenario"
done
simulate --neighbours all
simulate --bandwidth 20
simulate --loss 0.02
simulate --upstream-share 0.5
simulate --bytes 100000 --rate 1
simulate --real 16 --neighbours 8 --messages 60 --rate 20 --latency 20-60
simulate --real 20 --neighbours 10 --messages 60 --rate 10
simulate --real 16 --neighbours 8 --messages 60 --rate 20 --latency 0-0
