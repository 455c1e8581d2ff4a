#!/usr/bin/env bash
# The released clients, unmodified, against a network of this build.
#
# Two sets, because the command line pins an older SDK than the newest one.
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_BIN=${BETH_BIN:-$PWD/target/release/beth}

run() { # set tests...
    local venv=target/clients-venv/$1 wanted=tests/clients/requirements-$1.txt
    shift
    if ! cmp -s "$wanted" "$venv/requirements.txt"; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
        cp "$wanted" "$venv/requirements.txt"
    fi
    "$venv/bin/python" -m pytest -q -W ignore::DeprecationWarning -p no:cacheprovider "$@"
}

run client tests/clients
run sdk tests/clients/test_sdk.py
