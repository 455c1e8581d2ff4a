#!/usr/bin/env bash
# Kills a core node under load again and again (two hundred times, or as often as told), and compares its
# state with that of one which heard the same in peace.
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_KILLS="${1:-200}"
cargo test --release --locked --workspace --test network -- --nocapture nothing_accepted
