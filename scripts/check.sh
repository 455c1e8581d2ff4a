#!/usr/bin/env bash
# Formatting, lints and unit tests: minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
cargo clippy --version > /dev/null 2>&1 || rustup component add clippy rustfmt
cargo fmt --all --check
cargo clippy --release --locked --workspace --all-targets -- -D warnings
cargo test --release --locked --workspace --lib --bins
