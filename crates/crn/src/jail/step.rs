//! The steps into a jail, each one system call or a few.

use std::ffi::CString;
use std::os::fd::RawFd;

use super::landlock::Rule;

/// Attributes of mounts, as the kernel numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes(pub(super) u64);

impl Attributes {
    /// Cannot be written; no set-user-id programs, no devices.
    pub(super) const READ_ONLY: Attributes =
        Attributes(libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV);
    /// Can be written, and nothing in it executed.
    pub(super) const WRITABLE: Attributes =
        Attributes(libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC);
    /// A device.
    pub(super) const DEVICE: Attributes =
        Attributes(libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC);
    /// The root: cannot be written, its devices work.
    pub(super) const ROOT: Attributes =
        Attributes(libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC);
}

/// A bound of the kernel's per process or user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) resource: libc::__rlimit_resource_t,
    pub(super) value: u64,
}

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    /// Writes a text into a file that is there.
    Write { path: CString, text: Vec<u8> },
    /// Nothing that is open now survives exec, the standard three aside.
    CloseOnExec,
    /// A session of its own.
    Session,
    /// This one does.
    Inherit(RawFd),
    /// Leaves namespaces for new ones.
    Unshare(libc::c_int),
    /// No mount made from now on is seen outside.
    Private,
    /// A filesystem in memory.
    Memory { path: CString, options: CString },
    /// A folder, unless it is there.
    Folder(CString),
    /// An empty file, unless it is there.
    File(CString),
    /// A character device of this user's.
    Device {
        path: CString,
        number: libc::dev_t,
        user: u32,
    },
    /// A symbolic link.
    Link { path: CString, to: CString },
    /// Something seen at a second place.
    Bind { from: CString, to: CString },
    /// Attributes added to a mount, and to those below it.
    Restrict {
        path: CString,
        attributes: Attributes,
    },
    /// The folder becomes the root.
    Root(CString),
    /// Nothing more is made in the root.
    Seal,
    /// Changes the working folder.
    Enter(CString),
    /// Another host name.
    HostName,
    /// A bound, for good.
    Limit(Limit),
    /// Nothing executed gains capabilities.
    NoBoundingCapabilities,
    /// Another user and group, no further groups.
    User { user: u32, group: u32 },
    /// All capabilities of now are given up.
    NoCapabilities,
    /// Nothing executed gains privileges.
    NoNewPrivileges,
    /// Paths and sockets.
    Landlock {
        version: u32,
        rules: Vec<Rule>,
        network: bool,
    },
    /// System calls that are refused from now on.
    Filter(Vec<libc::sock_filter>),
    /// Fails with this error: ends a trial that executes nothing.
    Give(i32),
}

impl Step {
    /// What was tried, for an error.
    pub(super) fn name(&self) -> String {
        let path = |path: &CString| path.to_string_lossy().into_owned();
        match self {
            Step::Write { path: file, .. } => format!("writing {}", path(file)),
            Step::CloseOnExec | Step::Inherit(_) => "marking descriptors".to_owned(),
            Step::Session => "beginning a session".to_owned(),
            Step::Unshare(_) => "making namespaces".to_owned(),
            Step::Private => "making mounts private".to_owned(),
            Step::Memory { .. } => "mounting a filesystem in memory".to_owned(),
            Step::Folder(at)
            | Step::File(at)
            | Step::Device { path: at, .. }
            | Step::Link { path: at, .. } => {
                format!("making {}", path(at))
            }
            Step::Bind { from, .. } => format!("showing {} in the jail", path(from)),
            Step::Restrict { path: at, .. } => format!("restricting {}", path(at)),
            Step::Root(_) => "changing the root".to_owned(),
            Step::Seal => "sealing the root".to_owned(),
            Step::Enter(at) => format!("entering {}", path(at)),
            Step::HostName => "setting the host name".to_owned(),
            Step::Limit(limit) => format!("setting limit {}", limit.resource),
            Step::NoBoundingCapabilities | Step::NoCapabilities => {
                "giving up capabilities".to_owned()
            }
            Step::User { user, .. } => format!("becoming user {user}"),
            Step::NoNewPrivileges => "giving up new privileges".to_owned(),
            Step::Landlock { .. } => "restricting paths with Landlock".to_owned(),
            Step::Filter(_) => "filtering system calls".to_owned(),
            Step::Give(_) => "the end of a trial".to_owned(),
        }
    }
}
