#!/usr/bin/env bash
# Builds what microVMs boot from: a kernel, its modules, a Python root filesystem.
#
#   Debian packages ─▶ mmdebstrap ─┬▶ tree ─▶ mksquashfs ─▶ python.squashfs
#                                  └▶ linux-image-….deb ─▶ vmlinux, modules/NN-name.ko,
#                                                           modules-network/NN-name.ko
#
# The result is kept in $BETH_GUEST_DIR and rebuilt only when this file changes
# (or with --force, to take newer Debian packages). It is reproducible: the same
# packages give the same bytes, because every time stamp is $SOURCE_DATE_EPOCH,
# byte code is validated by hash, and logs, caches and machine identities go.
#
# Root is needed for two things only, and asked for (sudo) only then: to install
# missing host tools, and for mmdebstrap, which makes device nodes and chroots.
set -Eeuo pipefail
export LC_ALL=C

SUITE=bookworm
KERNEL=linux-image-cloud-amd64
MODULES=(virtio_ring virtio virtio_mmio virtio_blk virtio_console squashfs overlay)
NETWORK_MODULES=(failover net_failover virtio_net)
PACKAGES=(python3-minimal python3-fastapi python3-aiohttp python3-msgpack python3-requests ca-certificates)
export SOURCE_DATE_EPOCH=1700000000

folder=${BETH_GUEST_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/beth/guest}
inputs=$(sha256sum < "${BASH_SOURCE[0]}" | cut -d' ' -f1)
began=$SECONDS

trap 'echo "guest: line $LINENO failed: $BASH_COMMAND" >&2' ERR

say() { printf 'guest: %s (%ss)\n' "$*" "$((SECONDS - began))"; }
fail() { printf 'guest: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then env "$@"
    elif command -v sudo > /dev/null; then sudo env "$@"
    else fail "root is needed for '$1' and sudo is not installed: run this script as root"; fi
}

is_current() {
    [ -s "$folder/vmlinux" ] && [ -s "$folder/python.squashfs" ] &&
        grep -q "\"inputs\": \"$inputs\"" "$folder/manifest.json" 2> /dev/null
}

# QEMU and the build tools. QEMU packages from elsewhere (backports) forbid
# Debian's own QEMU; they are then brought to its version.
install_tools() {
    local missing=() pins=() version package fitting
    command -v qemu-system-x86_64 > /dev/null || missing+=(qemu-system-x86)
    command -v mksquashfs > /dev/null || missing+=(squashfs-tools)
    command -v mmdebstrap > /dev/null || missing+=(mmdebstrap)
    command -v lz4 > /dev/null || missing+=(lz4)
    command -v strip > /dev/null || missing+=(binutils)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get > /dev/null || fail "please install: ${missing[*]} (this script can do it on Debian only)"
    say "installing with apt-get: ${missing[*]}; this needs root"
    as_root apt-get update -q > "$work/apt.log" 2>&1 || fail "apt-get update failed: $(tail -n 1 "$work/apt.log")"
    local install=(DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
    if ! as_root "${install[@]}" "${missing[@]}" > "$work/apt.log" 2>&1; then
        version=$(apt-cache policy qemu-system-x86 | awk '/Candidate:/ {print $2}')
        for package in $(dpkg-query -W -f '${Package} ${Status}\n' 'qemu-*' | awk '/ installed$/ {print $1}'); do
            # Architecture-independent packages lack the suffix of a rebuild.
            fitting=$(apt-cache madison "$package" | awk -v base="${version%+b*}" 'index($3, base) == 1 {print $3; exit}')
            [ -z "$fitting" ] || pins+=("$package=$fitting")
        done
        [ ${#pins[@]} -gt 0 ] || fail "apt-get install failed: $(tail -n 3 "$work/apt.log")"
        say "other QEMU packages do not fit QEMU $version: installing ${pins[*]} too"
        as_root "${install[@]}" --allow-downgrades "${missing[@]}" "${pins[@]}" > "$work/apt.log" 2>&1 ||
            fail "apt-get install failed: $(tail -n 3 "$work/apt.log")"
    fi
}

# Runs inside mmdebstrap: fetches the kernel beside the tree, then cleans the tree.
write_hooks() {
    cat > "$work/kernel.sh" << HOOK
set -e
export APT_CONFIG="\$MMDEBSTRAP_APT_CONFIG"
cd "$work"
package=\$(apt-cache depends $KERNEL | awk '/Depends:/ {print \$2; exit}')
apt-get download -q -o APT::Sandbox::User=root "\$package"
HOOK
    cat > "$work/clean.sh" << 'HOOK'
set -e
cd "$1"
rm -rf usr/share/perl usr/lib/*/perl usr/share/man usr/share/info usr/share/locale usr/share/doc \
    usr/share/zoneinfo/right usr/share/zoneinfo/posix var/cache/* var/log/* var/lib/apt var/backups/* \
    var/lib/dpkg/*-old var/lib/systemd tmp/* run/*
rm -f etc/hostname etc/resolv.conf etc/*- boot/* root/.??*
: > etc/machine-id
mkdir -p opt/code opt/packages data
find usr/lib/python3* -name __pycache__ -prune -exec rm -rf {} +
chroot . python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.* > /dev/null || true
chroot . dpkg-query -W -f '${Package} ${Version}\n' > "$2"
HOOK
}

build_tree() {
    say "building the root filesystem with mmdebstrap ($SUITE, ${#PACKAGES[@]} packages and what they need); this needs root"
    local include
    include=$(IFS=,; printf '%s' "${PACKAGES[*]}")
    as_root SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" mmdebstrap --mode=root --variant=minbase --include="$include" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --customize-hook="sh '$work/kernel.sh'" \
        --customize-hook="sh '$work/clean.sh' \"\$1\" '$work/packages'" \
        "$SUITE" "$work/tree.tar" > "$work/mmdebstrap.log" 2>&1 ||
        fail "mmdebstrap failed, is the network up? Its last lines: $(tail -n 5 "$work/mmdebstrap.log")"
}

# mksquashfs sorts, and takes all time stamps from SOURCE_DATE_EPOCH.
pack_tree() {
    say "packing python.squashfs"
    mksquashfs - "$work/python.squashfs" -tar -comp lz4 -Xhc -b 128K -quiet -no-progress \
        < "$work/tree.tar" > "$work/squash.log" 2>&1 || fail "mksquashfs failed: $(tail -n 3 "$work/squash.log")"
}

# A number in the header of the kernel image: little endian, at $2, $3 bytes long.
header() { od -An -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; }

# The payload of Debian's bzImage is an LZ4 legacy frame with the length of the
# ELF behind it; the ELF starts faster than the bzImage, by its PVH note.
unpack_kernel() {
    local image offset length
    say "unpacking the kernel"
    dpkg -x "$work"/linux-image-*.deb "$work/kernel"
    image=$(echo "$work"/kernel/boot/vmlinuz-*)
    offset=$((($(header "$image" 0x1f1 1) + 1) * 512 + $(header "$image" 0x248 4)))
    length=$(($(header "$image" 0x24c 4) - 4))
    # lz4 reads what follows the frame as another one, hence the exact length.
    tail -c "+$((offset + 1))" "$image" | head -c "$length" > "$work/payload.lz4" || true
    lz4 -dcq "$work/payload.lz4" > "$work/vmlinux" || fail "the kernel's payload is not LZ4: $image"
    take_modules modules "${MODULES[@]}"
    take_modules modules-network "${NETWORK_MODULES[@]}"
}

# Modules by name, in the order in which they must be loaded, into a folder.
take_modules() {
    local folder=$1 module found path number=1
    shift
    mkdir -p "$work/$folder"
    for module in "$@"; do
        found=$(find "$work/kernel" -name "$module.ko")
        [ -n "$found" ] || fail "the kernel package has no module $module"
        path=$(printf '%s/%02d-%s.ko' "$work/$folder" "$number" "$module")
        strip -g -o "$path" "$found"
        number=$((number + 1))
    done
}

write_manifest() {
    local file first=1
    {
        printf '{\n  "inputs": "%s",\n  "suite": "%s",\n' "$inputs" "$SUITE"
        printf '  "kernel": "%s",\n  "files": {' "$(basename "$work"/linux-image-*.deb .deb)"
        (cd "$work" && for file in vmlinux modules/*.ko modules-network/*.ko python.squashfs; do
            [ "$first" = 1 ] || printf ','
            first=0
            printf '\n    "%s": {"size_bytes": %s, "sha256": "%s"}' "$file" "$(stat -c %s "$file")" \
                "$(sha256sum "$file" | cut -d' ' -f1)"
        done)
        printf '\n  },\n  "packages": {'
        awk '{printf "%s\n    \"%s\": \"%s\"", (NR > 1 ? "," : ""), $1, $2}' "$work/packages"
        printf '\n  }\n}\n'
    } > "$work/manifest.json"
}

# The manifest goes last: an interrupted run is not taken for a finished one.
publish() {
    mkdir -p "$folder"
    rm -rf "$folder/manifest.json" "$folder/modules" "$folder/modules-network"
    mv "$work/modules" "$work/modules-network" "$work/vmlinux" "$work/python.squashfs" "$folder/"
    mv "$work/manifest.json" "$folder/"
}

main() {
    case "${1:-}" in
        "") if is_current && command -v qemu-system-x86_64 > /dev/null; then
                say "up to date in $folder"
                return
            fi ;;
        --force) rm -f "$folder/manifest.json" ;;
        *) fail "unknown option $1: there is only --force" ;;
    esac
    mkdir -p "$folder"
    work=$(mktemp -d "$folder/build.XXXXXX")
    trap 'as_root rm -rf "$work"' EXIT
    install_tools
    if ! is_current; then
        write_hooks
        build_tree
        pack_tree
        unpack_kernel
        write_manifest
        publish
    fi
    say "ready in $folder"
    grep -o '"[a-z./0-9_-]*": {"size_bytes": [0-9]*' "$folder/manifest.json" | tr -d '"{' | sed 's/^/guest:   /'
}

main "$@"
