#!/usr/bin/env bash
# Fetches KVM's modules for the guest kernel, which has none, and prints their folder. They are for the machine in which
# the tests find KVM (crates/crn/tests/nested); run scripts/guest.sh first.
set -Eeuo pipefail
export LC_ALL=C
trap 'echo "nested: line $LINENO failed: $BASH_COMMAND" >&2' ERR

cache=${XDG_CACHE_HOME:-$HOME/.cache}/beth
manifest=${BETH_GUEST_DIR:-$cache/guest}/manifest.json
# name_version_architecture
kernel=$(grep -o '"kernel": "[^"]*' "$manifest" | cut -d'"' -f4)
folder=$cache/nested/$kernel
mkdir -p "$cache/nested"
exec 9> "$cache/nested/lock"
flock 9
if [ ! -d "$folder" ]; then
    work=$(mktemp -d "$cache/nested/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    IFS=_ read -r name version _ <<< "$kernel"
    cd "$work"
    download() { apt-get download -q -o APT::Sandbox::User=root "$name=$version" > log 2>&1; }
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    if ! download && { ! "${as_root[@]}" apt-get update -q > log 2>&1 || ! download; }; then
        echo "nested: Debian has no $name $version any more: run scripts/guest.sh --force; apt-get said:" >&2
        tail -n 3 log >&2
        exit 1
    fi
    dpkg -x linux-image-*.deb tree
    mkdir modules
    number=1
    # Each needs those before it.
    for module in irqbypass kvm kvm-amd; do
        strip -g -o "modules/0$number-$module.ko" "$(find tree -name "$module.ko")"
        number=$((number + 1))
    done
    mv modules "$folder"
fi
echo "$folder"
