#!/usr/bin/env bash
# Every test: unit, integration, the described API, whole networks, guests,
# released clients.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/guest.sh
cargo build --release --locked
cargo test --release --locked --workspace
scripts/test-api.sh
scripts/test-clients.sh
scripts/test-clients-ts.sh
scripts/test-clients-rs.sh
