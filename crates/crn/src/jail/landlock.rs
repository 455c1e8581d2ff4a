//! Landlock's vocabulary: which rights a kernel knows, and which a path gets.
//!
//! Everything that this kernel can forbid is forbidden; rules give some of it
//! back, path by path.

use std::ffi::CString;

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_FOLDER: u64 = 1 << 3;
const TRUNCATE: u64 = 1 << 14;
const CONTROL_DEVICE: u64 = 1 << 15;
/// Removing and making entries of folders, ordinary files and sockets only.
const CHANGE_FOLDER: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9;

pub(super) const RULE_PATH_BENEATH: libc::c_int = 1;

/// What the kernel reads: what is forbidden unless a rule allows it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruleset {
    pub(super) files: u64,
    network: u64,
    scopes: u64,
}

impl Ruleset {
    /// All that a version of Landlock can forbid. With `network`, sockets stay
    /// as they are.
    pub(super) fn of(version: u32, network: bool) -> Ruleset {
        let rights = match version {
            0 | 1 => 13,
            2 => 14,
            3 | 4 => 15,
            _ => 16,
        };
        Ruleset {
            files: (1 << rights) - 1,
            network: if version >= 4 && !network { 3 } else { 0 },
            scopes: if version >= 6 { 3 } else { 0 },
        }
    }
}

/// How much of [`Ruleset`] a version knows, in bytes.
pub(super) fn ruleset_bytes(version: u32) -> usize {
    match version {
        0..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    }
}

/// What the kernel reads: a rule.
#[repr(C, packed)]
pub(super) struct Beneath {
    pub(super) rights: u64,
    pub(super) parent: libc::c_int,
}

/// A path, and what may be done with it and below it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) path: CString,
    pub(super) rights: u64,
}

/// What is given back for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading.
    Read,
    /// Reading and execution.
    Execute,
    /// Reading, writing, making and removing files.
    Write,
    /// Reading and writing of what is somebody else's too.
    Share,
    /// A device: reading, writing, controlling.
    Device,
}

impl Access {
    /// The bits, for a folder or something else.
    pub(super) fn rights(self, is_folder: bool) -> u64 {
        let folder = |rights: u64| if is_folder { rights } else { 0 };
        match self {
            Access::Read => READ_FILE | folder(READ_FOLDER),
            Access::Execute => EXECUTE | READ_FILE | folder(READ_FOLDER),
            Access::Write => {
                READ_FILE | WRITE_FILE | TRUNCATE | folder(READ_FOLDER | CHANGE_FOLDER)
            }
            Access::Share => READ_FILE | WRITE_FILE,
            Access::Device => READ_FILE | WRITE_FILE | CONTROL_DEVICE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_asked_for_what_it_knows() {
        assert_eq!(Ruleset::of(1, false).files, 0x1fff);
        let newest = Ruleset::of(7, false);
        assert_eq!(
            (newest.files, newest.network, newest.scopes),
            (0xffff, 3, 3)
        );
        assert_eq!(Ruleset::of(7, true).network, 0);
        assert_eq!(
            (ruleset_bytes(1), ruleset_bytes(5), ruleset_bytes(7)),
            (8, 16, 24)
        );
        assert_eq!(Access::Read.rights(false), READ_FILE);
        assert_eq!(Access::Write.rights(true) & EXECUTE, 0);
    }
}
