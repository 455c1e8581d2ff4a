#!/usr/bin/env bash
# Installs what is missing, builds, and starts a local network.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh
scripts/guest.sh || echo "up: Python functions will not run until \`make guest\` succeeds; Wasm functions will" >&2
exec target/release/beth up "$@"
