#!/usr/bin/env bash
# Helia, an implementation of IPFS of others, unmodified, against a node of this build.
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_BIN=${BETH_BIN:-$PWD/target/release/beth}

node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' 2> /dev/null ||
    { echo "test-ipfs: Node.js 20 or later is needed: see https://nodejs.org, then run this again" >&2; exit 1; }
command -v npm > /dev/null || { echo "test-ipfs: npm is needed beside Node.js" >&2; exit 1; }

cd tests/ipfs
installed=node_modules/.installed.json
if ! cmp -s package-lock.json "$installed"; then
    mkdir -p ../../target
    npm ci --loglevel=error > ../../target/ipfs-install.log 2>&1 ||
        { echo "test-ipfs: Helia could not be installed: see target/ipfs-install.log" >&2; exit 1; }
    cp package-lock.json "$installed"
fi
exec node --test --test-reporter="${TEST_REPORTER:-spec}" suite.test.js dht.test.js
