#!/usr/bin/env bash
# Schemathesis against a seeded core node of this build: does it answer as its
# OpenAPI document says? Arguments are passed on, e.g. --include-path-regex posts
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_BIN=${BETH_BIN:-$PWD/target/release/beth}
venv=$PWD/target/schemathesis wanted=tests/api/requirements.txt
if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv/requirements.txt"
fi
PATH="$venv/bin:$PATH" exec "$venv/bin/python" tests/api/run.py "$@"
