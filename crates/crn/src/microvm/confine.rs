//! What QEMU may touch: the files of its machine, and nothing else.

use std::path::Path;

use super::Inner;
use super::acceleration::DEVICE;
use super::qemu::{Drive, Machine, Memory, Processor};
use crate::jail::{Jail, Limits};

/// What QEMU does beside running processors, in processors.
const EXTRA_CPUS: u64 = 1;
/// The state of devices and processors, written into a template: far below this.
const STATE_BYTES_MAX: u64 = 256 << 20;

impl Inner {
    /// The jail of a machine. Clones share the file of their template's memory,
    /// each seeing its own copy; all of them are one program's.
    pub(super) fn jail(&self, machine: &Machine<'_>) -> Jail {
        let limits = Limits {
            memory_mib: Some(machine.memory_mib),
            cpus: Some(machine.vcpus.saturating_add(EXTRA_CPUS)),
            file_bytes: match machine.memory {
                Memory::Shared(_) => STATE_BYTES_MAX,
                Memory::Own | Memory::Copied(_) => longest_bytes(machine.drives),
            },
            ..Limits::default()
        };
        let mut jail = self.jails.jail("microvm").limits(limits);
        for path in [&machine.assets.kernel, &machine.assets.initrd] {
            jail = jail.read(path);
        }
        for drive in machine.drives {
            jail = match drive.is_writable {
                true => jail.write(&drive.path),
                false => jail.read(&drive.path),
            };
        }
        if let Memory::Shared(path) | Memory::Copied(path) = machine.memory {
            jail = jail.share(path);
        }
        match machine.processor {
            Processor::Kvm => jail.device(Path::new(DEVICE)),
            Processor::Tcg { .. } => jail,
        }
    }
}

/// Of the drives that are written, which are as long as they may become.
fn longest_bytes(drives: &[Drive]) -> u64 {
    let written = drives.iter().filter(|drive| drive.is_writable);
    let lengths = written.filter_map(|drive| Some(std::fs::metadata(&drive.path).ok()?.len()));
    lengths.max().unwrap_or(0)
}
