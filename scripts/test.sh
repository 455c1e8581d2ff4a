#!/usr/bin/env bash
# Every test: unit, integration, the described API, whole networks, guests,
# released clients, another libp2p.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/guest.sh
scripts/image.sh
# Together, so that every dependency is compiled once, with one set of features.
cargo build --release --locked --workspace --bins --examples --tests
cargo test --release --locked --workspace

# These mostly wait for each other's answers, so they share the machine. Each
# has a network of its own; what one says is shown whole when it ends.
suites=(test-api test-clients test-clients-ts test-clients-rs test-gossip-js test-ipfs)
logs=target/test-logs
mkdir -p "$logs"
declare -A running
for suite in "${suites[@]}"; do
    "scripts/$suite.sh" > "$logs/$suite.log" 2>&1 &
    running[$suite]=$!
done
failed=()
for suite in "${suites[@]}"; do
    wait "${running[$suite]}" || failed+=("$suite")
    echo "== $suite"
    cat "$logs/$suite.log"
done
if ((${#failed[@]})); then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
