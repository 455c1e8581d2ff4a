#!/usr/bin/env bash
# Builds the Debian 12 image that instances can start from.
#
#   Debian packages ─▶ mmdebstrap ─▶ tree + boot/* ─▶ ext4 ─┐
#                                     GRUB ─────────────────┴▶ debian-12.qcow2
#
# One disk with an MBR: GRUB in front of the first partition, one ext4 partition.
# It boots by BIOS, takes the NoCloud seed of the node (host name, SSH keys,
# addresses) with the script below instead of cloud-init, which under emulation
# takes longer than all the rest, and grows its partition to the disk.
#
# The result is kept in $BETH_GUEST_DIR and rebuilt only when this file changes
# (or with --force). Root is needed for mmdebstrap and to install host tools.
set -Eeuo pipefail
export LC_ALL=C

SUITE=bookworm
PACKAGES=(linux-image-cloud-amd64 initramfs-tools systemd-sysv udev kmod dbus openssh-server
    iproute2 fdisk grub-pc-bin grub-common qemu-guest-agent ca-certificates curl sudo)
DISK_MIB=1536
PARTITION_MIB=$((DISK_MIB - 2))
export SOURCE_DATE_EPOCH=1700000000

folder=${BETH_GUEST_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/beth/guest}
inputs=$(sha256sum < "${BASH_SOURCE[0]}" | cut -d' ' -f1)
image=$folder/debian-12.qcow2
began=$SECONDS

trap 'echo "image: line $LINENO failed: $BASH_COMMAND" >&2' ERR

say() { printf 'image: %s (%ss)\n' "$*" "$((SECONDS - began))"; }
fail() { printf 'image: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then env "$@"
    elif command -v sudo > /dev/null; then sudo env "$@"
    else fail "root is needed for '$1' and sudo is not installed: run this script as root"; fi
}

is_current() { [ -s "$image" ] && [ "$(cat "$image.inputs" 2> /dev/null)" = "$inputs" ]; }

has_tools() {
    command -v qemu-img > /dev/null && command -v mmdebstrap > /dev/null &&
        command -v qemu-system-x86_64 > /dev/null && command -v ssh > /dev/null
}

install_tools() {
    local missing=()
    command -v qemu-system-x86_64 > /dev/null || missing+=(qemu-system-x86)
    command -v qemu-img > /dev/null || missing+=(qemu-utils)
    command -v mmdebstrap > /dev/null || missing+=(mmdebstrap)
    command -v ssh > /dev/null || missing+=(openssh-client)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get > /dev/null || fail "please install: ${missing[*]} (this script can do it on Debian only)"
    say "installing with apt-get: ${missing[*]}; this needs root"
    as_root apt-get update -q > "$work/apt.log" 2>&1 || fail "apt-get update failed: $(tail -n 1 "$work/apt.log")"
    as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
        > "$work/apt.log" 2>&1 || fail "apt-get install failed: $(tail -n 3 "$work/apt.log")"
}

# What the image does with its seed at every start, before the network.
write_seed_reader() {
    cat > "$work/seed" << 'SEED'
#!/bin/sh
# Applies a NoCloud seed: the subset that an Aleph compute node writes.
set -u
mkdir -p /run/seed /var/lib/seed
device=$(blkid -L cidata || blkid -L CIDATA) && mount -o ro "$device" /run/seed || exit 0

# Addresses: at every start, since another node gives others.
awk '
    /^ *- / { sub(/^ *- /, ""); if (list == "addresses") print "Address=" $0; if (list == "names") print "DNS=" $0; next }
    /nameservers:/ { names = 1; next }
    /addresses:/ { list = names ? "names" : "addresses"; next }
    /gateway[46]:/ { gateways = gateways "Gateway=" $2 "\n"; next }
    { list = "" }
    END { printf "%s", gateways }
' /run/seed/network-config > /run/seed.lines 2> /dev/null
if grep -q '^Address=' /run/seed.lines; then
    mkdir -p /run/systemd/network
    { printf '[Match]\nName=e*\n[Link]\nRequiredForOnline=no\n[Network]\nIPv6AcceptRA=no\n'; cat /run/seed.lines; } \
        > /run/systemd/network/10-seed.network
    sed -n 's/^DNS=/nameserver /p' /run/seed.lines > /etc/resolv.conf
fi

# The rest: once for each identity.
identity=$(sed -n 's/.*"instance-id": *"\([^"]*\)".*/\1/p' /run/seed/meta-data)
if [ "$identity" != "$(cat /var/lib/seed/instance-id 2> /dev/null)" ]; then
    name=$(sed -n 's/^hostname: *//p' /run/seed/user-data)
    if [ -n "$name" ]; then
        echo "$name" > /etc/hostname
        hostname "$name"
        printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$name" > /etc/hosts
    fi
    mkdir -p -m 700 /root/.ssh
    awk '
        /^ssh_authorized_keys:/ { inside = 1; next }
        inside && /^- / { if (key != "") print key; key = substr($0, 3); next }
        inside && /^  / { key = key " " substr($0, 3); next }
        inside { inside = 0 }
        END { if (key != "") print key }
    ' /run/seed/user-data | sed "s/^'\(.*\)'$/\1/" > /root/.ssh/authorized_keys.seed
    cat /root/.ssh/authorized_keys.seed /root/.ssh/authorized_keys 2> /dev/null | sort -u > /root/.ssh/new
    chmod 600 /root/.ssh/new && mv /root/.ssh/new /root/.ssh/authorized_keys
    rm -f /root/.ssh/authorized_keys.seed
    echo "$identity" > /var/lib/seed/instance-id
fi
umount /run/seed

# The disk may have grown.
sectors=$(cat /sys/block/vda/size) start=$(cat /sys/block/vda/vda1/start) length=$(cat /sys/block/vda/vda1/size)
if [ $((start + length + 8192)) -lt "$sectors" ]; then
    echo ', +' | sfdisk -q --no-reread --no-tell-kernel -N 1 /dev/vda && partx -u /dev/vda
    resize2fs /dev/vda1
fi
SEED
    cat > "$work/seed.service" << 'UNIT'
[Unit]
Description=Host name, keys and addresses from the seed
DefaultDependencies=no
After=systemd-remount-fs.service systemd-udev-settle.service local-fs.target
Before=systemd-networkd.service sysinit.target ssh.service network-pre.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/seed

[Install]
WantedBy=sysinit.target
UNIT
    cat > "$work/hostkeys.conf" << 'UNIT'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'test -s /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
UNIT
}

# Runs inside mmdebstrap, with the tree as its argument.
write_hook() {
    cat > "$work/hook.sh" << HOOK
set -e
install -m 755 "$work/seed" "\$1/usr/local/sbin/seed"
install -m 644 "$work/seed.service" "\$1/etc/systemd/system/seed.service"
install -D -m 644 "$work/hostkeys.conf" "\$1/etc/systemd/system/ssh.service.d/hostkeys.conf"
cd "\$1"
HOOK
    cat >> "$work/hook.sh" << 'HOOK'
mkdir -p boot/grub etc/systemd/network
# Without a seed: what the network says.
printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' > etc/systemd/network/99-any.network
printf '/dev/vda1 / ext4 rw,noatime,discard 0 0\n' > etc/fstab
cat > boot/grub/grub.cfg << 'GRUB'
set timeout=0
insmod part_msdos
insmod ext2
set root=(hd0,msdos1)
linux /vmlinuz root=/dev/vda1 ro console=ttyS0 quiet net.ifnames=0 no_timer_check random.trust_cpu=on
initrd /initrd.img
boot
GRUB
chroot . grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /boot/grub/core.img biosdisk part_msdos ext2 linux normal
cp usr/lib/grub/i386-pc/boot.img boot/grub/boot.img
printf 'virtio_pci\nvirtio_blk\next4\n' > etc/initramfs-tools/modules
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=lz4/' etc/initramfs-tools/initramfs.conf
printf 'RESUME=none\nFSTYPE=ext4\n' > etc/initramfs-tools/conf.d/image
chroot . update-initramfs -u -k all
for link in vmlinuz initrd.img; do
    [ -e "$link" ] || ln -s "boot/$(basename boot/$link-*)" "$link"
done
chroot . systemctl enable seed.service systemd-networkd.service ssh.service
chroot . systemctl mask systemd-networkd-wait-online.service getty@tty1.service e2scrub_reap.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer man-db.timer e2scrub_all.timer
chroot . systemctl enable serial-getty@ttyS0.service
sed -i 's/^#*PermitRootLogin.*/PermitRootLogin prohibit-password/; s/^#*PasswordAuthentication.*/PasswordAuthentication no/; s/^#*UseDNS.*/UseDNS no/' etc/ssh/sshd_config
passwd -R "$PWD" -l root > /dev/null 2>&1 || true
rm -rf usr/share/doc/* usr/share/man/* usr/share/locale/* var/cache/apt/* var/lib/apt/lists/* var/log/* tmp/* run/*
rm -f etc/hostname etc/resolv.conf etc/*- etc/ssh/ssh_host_*
: > etc/machine-id
printf 'instance\n' > etc/hostname
: > etc/resolv.conf
HOOK
}

build_tree() {
    say "building the tree with mmdebstrap ($SUITE); this needs root"
    local include
    include=$(IFS=,; printf '%s' "${PACKAGES[*]}")
    mkdir "$work/tree"
    as_root SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" mmdebstrap --mode=root --variant=minbase --include="$include" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --customize-hook="sh '$work/hook.sh' \"\$1\"" \
        "$SUITE" "$work/tree" > "$work/mmdebstrap.log" 2>&1 ||
        fail "mmdebstrap failed, is the network up? Its last lines: $(tail -n 8 "$work/mmdebstrap.log")"
}

# Four bytes, little endian.
four() { printf '%b' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"; }

# GRUB's boot.img goes into the first sector (but for the partition table) and
# finds core.img in the sectors behind it; so written it needs no installer.
build_disk() {
    say "making the disk"
    local raw=$work/disk.raw core
    truncate -s "${DISK_MIB}M" "$raw"
    as_root mke2fs -q -t ext4 -L root -E "offset=1048576,root_owner=0:0,hash_seed=00000000-0000-4000-8000-000000000000" \
        -U 6265746e-0000-4000-8000-000000000001 -d "$work/tree" "$raw" "${PARTITION_MIB}M" > "$work/mke2fs.log" 2>&1 ||
        fail "mke2fs failed: $(tail -n 3 "$work/mke2fs.log")"
    core=$work/tree/boot/grub/core.img
    [ "$(stat -c %s "$core")" -lt $((2047 * 512)) ] || fail "GRUB does not fit in front of the partition"
    dd if="$work/tree/boot/grub/boot.img" of="$raw" bs=1 count=440 conv=notrunc status=none
    dd if="$core" of="$raw" bs=512 seek=1 conv=notrunc status=none
    { printf '\x80\xfe\xff\xff\x83\xfe\xff\xff'; four 2048; four $((PARTITION_MIB * 2048)); } |
        dd of="$raw" bs=1 seek=446 conv=notrunc status=none
    printf '\x55\xaa' | dd of="$raw" bs=1 seek=510 conv=notrunc status=none
    qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd "$raw" "$work/disk.qcow2"
}

# The mark goes last: an interrupted run is not taken for a finished one.
publish() {
    rm -f "$image.inputs"
    mv "$work/disk.qcow2" "$image"
    sync "$image"
    printf '%s\n' "$inputs" > "$image.inputs"
}

main() {
    case "${1:-}" in
        "") if is_current && has_tools; then
                say "up to date: $image"
                return
            fi ;;
        --force) rm -f "$image.inputs" ;;
        *) fail "unknown option $1: there is only --force" ;;
    esac
    mkdir -p "$folder"
    work=$(mktemp -d "$folder/image.XXXXXX")
    trap 'as_root rm -rf "$work"' EXIT
    install_tools
    if ! is_current; then
        write_seed_reader
        write_hook
        build_tree
        build_disk
        publish
    fi
    say "ready: $image, $(($(stat -c %s "$image") >> 20)) MiB, sha256 $(sha256sum < "$image" | cut -d' ' -f1)"
}

main "$@"
