//! What the QEMU of an instance may touch: its own disks and sockets to write,
//! what several instances stand on to read, nothing else.
//!
//! ```text
//! root, seed, volumes ─▶ its user's      parents, immutable volumes ─▶ read only
//! sockets' folder     ─▶ its user's      tap ─▶ a descriptor, opened by the node
//! ```
//!
//! Its user id stays its own until it is erased, for its disks stay. A longest
//! file keeps a disk from growing past what was declared. Only QEMU's user-mode
//! network needs the host's, for QEMU itself is the router there.
//!
//! Unsafe code: one control call on the tap.
#![allow(unsafe_code)]

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::hardware::Card;
use super::link::Link;
use super::qcow2::{self, Format};
use super::qemu::{Drive, Machine};
use super::sev;
use crate::jail::{Jail, Jails, Limits};

/// What QEMU does beside running processors, in processors.
const EXTRA_CPUS: u64 = 1;
/// Room of QEMU for caches of disks, translated code and threads, in MiB, beside
/// what every jail has.
const EXTRA_MEMORY_MIB: u64 = 1024;
/// Tables of a qcow2 image beside its data: less than this part of it, and this.
const TABLES_PART: u64 = 512;
const TABLES_BYTES: u64 = 64 << 20;
const KVM: &str = "/dev/kvm";
const VFIO: &str = "/dev/vfio/vfio";
const SYSTEM: &str = "/sys";
const TUN: &str = "/dev/net/tun";
const RESOLVERS: &str = "/etc/resolv.conf";

/// The jail of a machine; blocks for looks at files.
pub(super) fn jail(
    jails: &Jails,
    machine: &Machine<'_>,
    name: &str,
    tap: Option<Arc<OwnedFd>>,
) -> Jail {
    let limits = Limits {
        memory_mib: Some(machine.memory_mib.saturating_add(EXTRA_MEMORY_MIB)),
        cpus: Some(machine.vcpus.saturating_add(EXTRA_CPUS)),
        file_bytes: file_bytes(machine.drives),
        // Cards write to the guest's memory, which must stay where it is.
        locked_mib: match machine.cards.is_empty() && machine.hidden.is_none() {
            true => 0,
            false => machine.memory_mib.saturating_add(EXTRA_MEMORY_MIB),
        },
        ..Limits::default()
    };
    let jail = jails.jail(name).keep().limits(limits);
    let mut jail = jail.write(machine.sockets);
    for drive in machine.drives {
        let is_own = !drive.read_only || drive.name == "seed";
        jail = match is_own {
            true => jail.write(&drive.path),
            false => lend(jail, &drive.path),
        };
        if let Some((parent, _)) = &drive.backing {
            jail = lend(jail, parent);
        }
    }
    if machine.kvm {
        jail = jail.device(Path::new(KVM));
    }
    let jail = special(jail, machine);
    match (machine.link, tap) {
        (Link::None, _) => jail,
        (Link::Tap(_), Some(tap)) => jail.hand(tap),
        (Link::Tap(_), None) => jail.network().device(Path::new(TUN)),
        (Link::User { .. }, _) if Path::new(RESOLVERS).exists() => {
            jail.network().read(Path::new(RESOLVERS))
        }
        (Link::User { .. }, _) => jail.network(),
    }
}

/// What graphics cards and hidden memory need: the devices, and where the system
/// tells of the cards.
fn special(mut jail: Jail, machine: &Machine<'_>) -> Jail {
    if let Some(launch) = machine.hidden {
        jail = lend(jail.device(Path::new(sev::DEVICE)), &launch.firmware);
        jail = jail.write(&launch.session).write(&launch.godh);
    }
    if !machine.cards.is_empty() {
        jail = jail.device(Path::new(VFIO)).read(Path::new(SYSTEM));
    }
    let devices = machine.cards.iter().filter_map(Card::device);
    devices.fold(jail, |jail, device| jail.device(&device))
}

/// A file that everybody on the network may have, in a folder that only the node
/// can enter.
fn lend(jail: Jail, path: &Path) -> Jail {
    if let Ok(metadata) = fs::metadata(path) {
        let mode = metadata.permissions().mode();
        if mode & 0o004 == 0 {
            // The jail says it if it cannot be read.
            drop(fs::set_permissions(
                path,
                Permissions::from_mode(mode | 0o444),
            ));
        }
    }
    jail.read(path)
}

/// The longest file that it needs: its largest disk, full.
fn file_bytes(drives: &[Drive]) -> u64 {
    let written = drives.iter().filter(|drive| !drive.read_only);
    let length = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
    let size = |drive: &Drive| match drive.format {
        Format::Raw => length(&drive.path),
        Format::Qcow2 => {
            let image = qcow2::inspect_delta(&drive.path);
            image.map_or_else(|_| length(&drive.path), |image| image.size_bytes)
        }
    };
    let largest = written.map(size).max().unwrap_or_default();
    largest
        .saturating_add(largest / TABLES_PART)
        .saturating_add(TABLES_BYTES)
}

/// The tap of a link, opened with the node's rights; `None`: there is none, or
/// QEMU must open it with its own.
pub(super) fn tap(link: &Link) -> Option<Arc<OwnedFd>> {
    let Link::Tap(tap) = link else { return None };
    open_tap(&tap.name)
        .inspect_err(|error| tracing::info!("QEMU opens {} itself: {error}", tap.name))
        .ok()
        .map(Arc::new)
}

/// Opens a tap that is there.
pub(crate) fn open_tap(name: &str) -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open(TUN)?;
    // SAFETY: it is a plain structure; all zeroes are a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
    // SAFETY: the descriptor is open, and the request lives and is what it reads.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    match result {
        0.. => Ok(file.into()),
        _ => Err(io::Error::last_os_error()),
    }
}
