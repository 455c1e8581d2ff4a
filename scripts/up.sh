#!/usr/bin/env bash
# Installs what is missing, builds, and starts a local network.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh
scripts/guest.sh
exec target/release/beth up "$@"
