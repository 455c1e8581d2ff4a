#!/usr/bin/env bash
# The released Python clients, unmodified, against a network of this build.
#
# Two sets, because the command line pins an older SDK than the newest one.
# Arguments go to both runs of pytest, for example `-k stream`.
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_BIN=${BETH_BIN:-$PWD/target/release/beth}

fail() {
    echo "test-clients: $1" >&2
    exit 1
}

install() { # set
    local venv=target/clients-venv/$1 wanted=tests/clients/requirements-$1.txt log=target/clients-install-$1.log
    cmp -s "$wanted" "$venv/requirements.txt" && return
    rm -rf "$venv"
    mkdir -p target/clients-venv
    python3 -m venv "$venv" > "$log" 2>&1 || fail "python3 makes no virtual environment: see $log"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" > "$log" 2>&1 ||
        fail "the clients of $wanted could not be installed: see $log"
    cp "$wanted" "$venv/requirements.txt"
}

run() { # set
    local set=$1
    shift
    "target/clients-venv/$set/bin/python" -m pytest -q -W ignore::DeprecationWarning -p no:cacheprovider "$@"
}

test -x "$BETH_BIN" || fail "$BETH_BIN is missing: build it first"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python 3.10 or later is needed"
install sdk
install client
run sdk tests/clients/test_sdk_*.py "$@"
run client tests/clients/test_cli_*.py "$@"
