#!/usr/bin/env bash
# Installs the tools that building and testing need, and only what is missing.
# (What microVMs need is installed by guest.sh.) Root is asked for only then.
set -euo pipefail

missing=()
command -v cc > /dev/null || missing+=(gcc libc6-dev)
command -v make > /dev/null || missing+=(make)
python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3 python3-venv)
command -v curl > /dev/null || missing+=(curl ca-certificates)
# The tests of whole networks in namespaces.
command -v ip > /dev/null || missing+=(iproute2)
command -v nft > /dev/null || [ -x /usr/sbin/nft ] || missing+=(nftables)
command -v cargo > /dev/null || { echo "setup: Rust is not installed: see https://rustup.rs, then run this again" >&2; exit 1; }
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get > /dev/null || { echo "setup: please install: ${missing[*]}" >&2; exit 1; }
echo "setup: installing with apt-get: ${missing[*]}; this needs root"
as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || { echo "setup: root is needed and sudo is not installed: run this as root" >&2; exit 1; }
    as_root=(sudo)
fi
"${as_root[@]}" apt-get update -q > /dev/null
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" > /dev/null
