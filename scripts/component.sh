#!/usr/bin/env bash
# Builds an example component unless it is there already, and prints where it is: scripts/component.sh python|javascript|rust
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1
folder=${BETH_COMPONENTS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/beth/components}
mkdir -p "$folder"
inputs=$(find "examples/wasm-$name" crates/crn/wit -type f -not -path '*/target/*' -not -path '*/__pycache__/*' -not -path '*/node_modules/*' | LC_ALL=C sort)
# Names of files without spaces.
# shellcheck disable=SC2086
component=$folder/$name-$(sha256sum $inputs | sha256sum | cut -c1-16).wasm
exec 9>"$folder/$name.lock"
flock 9
if [ ! -f "$component" ]; then
    part=$folder/$name.part.wasm
    "examples/wasm-$name/build.sh" "$part" >&2
    mv "$part" "$component"
fi
echo "$component"
