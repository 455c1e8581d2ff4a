#!/usr/bin/env bash
# The released clients, unmodified, against a network of this build.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${BETH_CLIENTS_VENV:-target/clients-venv}
wanted=tests/clients/requirements.txt
if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv/requirements.txt"
fi
BETH_BIN=${BETH_BIN:-$PWD/target/release/beth} exec "$venv/bin/python" -m pytest -q tests/clients "$@"
