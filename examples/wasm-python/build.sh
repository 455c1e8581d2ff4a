#!/usr/bin/env bash
# Builds the component: examples/wasm-python/build.sh [OUTPUT]. Needs Python 3.10 or newer with venv; packages come from PyPI.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
output=$(realpath -m "${1:-function.wasm}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --disable-pip-version-check componentize-py==0.25.1
# pydantic is built without its optional compiled part.
"$work/tools/bin/pip" install --quiet --disable-pip-version-check --no-binary pydantic --target "$work/packages" -r "$here/packages.txt"
"$work/tools/bin/componentize-py" -d "$here/../../crates/crn/wit" -w function componentize -p "$here" -p "$work/packages" main -o "$output"
