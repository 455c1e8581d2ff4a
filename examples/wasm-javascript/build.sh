#!/usr/bin/env bash
# Builds the component: examples/wasm-javascript/build.sh [OUTPUT]. Needs Node.js 20 or newer; packages come from npm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
output=$(realpath -m "${1:-function.wasm}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/package.json "$here"/*.js "$work"
cp -r "$here/../../crates/crn/wit" "$work/wit"
# The JavaScript engine knows this version of WASI; nodes take every 0.2.
sed -i 's/0\.2\.12/0.2.10/g' "$work"/wit/*.wit "$work"/wit/deps/*.wit
cd "$work"
npm install --silent --no-audit --no-fund
node build.js function.js wit "$output"
