#!/usr/bin/env bash
# The released Rust command line, unmodified, against a network of this build.
#
# It is compiled once and kept in target/clients-rs: unoptimised, but for what makes keys of passwords and hashes.
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_BIN=${BETH_BIN:-$PWD/target/release/beth}
version=0.22.0
kept=target/clients-rs
export ALEPH_CLI=${ALEPH_CLI:-$PWD/$kept/bin/aleph}

if [[ "$("$ALEPH_CLI" --version 2> /dev/null)" != "aleph $version "* ]]; then
    echo "test-clients-rs: compiling aleph-cli $version, once"
    mkdir -p "$kept"
    quick=()
    for name in scrypt salsa20 pbkdf2 sha2; do quick+=(--config "profile.dev.package.$name.opt-level=3"); done
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$kept/build \
        cargo "${quick[@]}" install aleph-cli --version "=$version" --locked --debug --root "$kept" > "$kept/install.log" 2>&1 ||
        { echo "test-clients-rs: aleph-cli could not be compiled: see $kept/install.log" >&2; exit 1; }
    rm -rf "$kept/build"
fi

venv=target/clients-venv/rs wanted=tests/clients-rs/requirements.txt
if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv/requirements.txt"
fi
cd tests/clients-rs
# The last file looks at what the others ran.
exec ../../"$venv"/bin/python -m pytest -q -p no:cacheprovider test_messages.py test_files.py test_accounts.py test_machines.py test_commands.py
