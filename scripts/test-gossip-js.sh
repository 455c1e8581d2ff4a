#!/usr/bin/env bash
# An implementation of libp2p of others, unmodified, against nodes of this build.
set -euo pipefail
cd "$(dirname "$0")/.."
export BETH_BIN=${BETH_BIN:-$PWD/target/release/beth}

node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' 2> /dev/null ||
    { echo "test-gossip-js: Node.js 20 or later is needed: see https://nodejs.org, then run this again" >&2; exit 1; }
command -v npm > /dev/null || { echo "test-gossip-js: npm is needed beside Node.js" >&2; exit 1; }

cd tests/gossip-js
installed=node_modules/.installed.json
if ! cmp -s package-lock.json "$installed"; then
    mkdir -p ../../target
    npm ci --loglevel=error > ../../target/gossip-js-install.log 2>&1 ||
        { echo "test-gossip-js: libp2p could not be installed: see target/gossip-js-install.log" >&2; exit 1; }
    cp package-lock.json "$installed"
fi
exec node --test --test-reporter="${TEST_REPORTER:-spec}" suite.test.js
