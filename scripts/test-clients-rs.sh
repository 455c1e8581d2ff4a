#!/usr/bin/env bash
# The released Rust command line and the released Rust SDK, unmodified, against a network of this build.
#
# Both are compiled once, into one folder, and kept in target/clients-rs: unoptimised, but for what makes keys of
# passwords and hashes. The SDK is compiled again when its cases have changed.
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_BIN=${BETH_BIN:-$PWD/target/release/beth}
version=0.22.0
kept=target/clients-rs
export ALEPH_CLI=${ALEPH_CLI:-$PWD/$kept/bin/aleph}
export ALEPH_SDK_CASES=$PWD/$kept/bin/aleph-sdk-cases
sdk=tests/clients-rs/sdk
mkdir -p "$kept/bin"

compile() {
    local what=$1 log=$kept/$2.log
    shift 2
    echo "test-clients-rs: compiling $what, once" >&2
    local quick=()
    for name in scrypt salsa20 pbkdf2 sha2; do quick+=(--config "profile.dev.package.$name.opt-level=3"); done
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$kept/build cargo "${quick[@]}" "$@" 2> "$log" ||
        { echo "test-clients-rs: $what could not be compiled: see $log" >&2; exit 1; }
}

if [[ "$("$ALEPH_CLI" --version 2> /dev/null)" != "aleph $version "* ]]; then
    compile "aleph-cli $version" install install aleph-cli --version "=$version" --locked --debug --root "$kept"
fi
cases=$(cat "$sdk"/Cargo.* "$sdk"/src/*.rs | sha256sum)
if [[ ! -x "$ALEPH_SDK_CASES" || "$(cat "$kept/cases.sha256" 2> /dev/null)" != "$cases" ]]; then
    compile "aleph-sdk $version and its cases" sdk \
        test --no-run --locked --manifest-path "$sdk/Cargo.toml" --message-format json > "$kept/sdk.json"
    cp "$(sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$kept/sdk.json")" "$ALEPH_SDK_CASES"
    echo "$cases" > "$kept/cases.sha256"
fi
rm -rf "$kept/build"

venv=target/clients-venv/rs wanted=tests/clients-rs/requirements.txt
if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv/requirements.txt"
fi
cd tests/clients-rs
# The last file looks at what the others ran.
exec ../../"$venv"/bin/python -m pytest -q -p no:cacheprovider test_messages.py test_files.py test_accounts.py test_machines.py test_sdk.py test_commands.py
