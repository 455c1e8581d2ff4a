//! What a process does to itself between fork and exec, and the thread that
//! starts it.
//!
//! The steps are planned before the fork ([`super::plan`]): every path is a C
//! string already, so what runs in the child is system calls and nothing else.
//! A step that fails writes its number into a pipe; the error that the parent
//! sees names it.
//!
//! Unsafe code: system calls that have no safe form, and `pre_exec`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null;

use super::landlock::{self, Rule};
use super::step::{Attributes, Limit, Step};

const LAST_CAPABILITY: libc::c_int = 63;
const EVERY_GROUP_GONE: libc::size_t = 0;

/// Lets the process that `command` starts take the steps; `told` gets the number
/// of the one that failed.
pub(super) fn attach(command: &mut Command, steps: Vec<Step>, told: OwnedFd) {
    let run = move || {
        for (number, step) in steps.iter().enumerate() {
            if let Err(error) = take(step) {
                tell(told.as_raw_fd(), number as u8);
                return Err(error);
            }
        }
        Ok(())
    };
    // SAFETY: `take` makes system calls only; nothing is allocated or freed
    // between fork and exec, and no lock is taken.
    unsafe {
        command.pre_exec(run);
    }
}

/// Runs `start`, which starts processes, so that they become the first of a
/// process namespace of their own. Blocks no longer than `start` does.
pub(super) fn in_own_process_namespace<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let here = std::fs::File::open("/proc/thread-self/ns/pid")?;
    // SAFETY: it changes where this thread's next children live, nothing else.
    checked(unsafe { libc::unshare(libc::CLONE_NEWPID) })?;
    let started = start();
    // SAFETY: `here` is open and names the namespace that the thread lives in.
    checked(unsafe { libc::setns(here.as_raw_fd(), libc::CLONE_NEWPID) })?;
    started
}

/// The version of Landlock that this kernel has; 0: none.
pub(super) fn landlock_version() -> u32 {
    let version = 1;
    // SAFETY: with this flag the call reads no memory.
    let found = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            null::<u8>(),
            0usize,
            version,
        )
    };
    u32::try_from(found).unwrap_or(0)
}

/// The effective user id of this process.
pub(super) fn effective_user() -> u32 {
    // SAFETY: it cannot fail and touches no memory.
    unsafe { libc::geteuid() }
}

/// The effective group id of this process.
pub(super) fn effective_group() -> u32 {
    // SAFETY: it cannot fail and touches no memory.
    unsafe { libc::getegid() }
}

fn tell(pipe: RawFd, number: u8) {
    // SAFETY: one byte of a variable that lives; that nobody reads it is no harm.
    unsafe { libc::write(pipe, (&raw const number).cast(), 1) };
}

fn take(step: &Step) -> io::Result<()> {
    match step {
        Step::Write { path, text } => write(path, text),
        Step::CloseOnExec => close_on_exec(),
        // SAFETY: it touches no memory.
        Step::Session => checked(unsafe { libc::setsid() }),
        Step::Inherit(descriptor) => {
            // SAFETY: a flag of a descriptor.
            checked(unsafe { libc::fcntl(*descriptor, libc::F_SETFD, 0) })
        }
        // SAFETY: this process has one thread and leaves the namespaces alone.
        Step::Unshare(flags) => checked(unsafe { libc::unshare(*flags) }),
        Step::Private => mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None),
        Step::Memory { path, options } => mount(
            Some(c"jail"),
            path,
            Some(c"tmpfs"),
            libc::MS_NOSUID | libc::MS_NOEXEC,
            Some(options),
        ),
        // SAFETY: the path is a C string.
        Step::Folder(path) => unless_there(unsafe { libc::mkdir(path.as_ptr(), 0o755) }),
        // SAFETY: the path is a C string.
        Step::File(path) => {
            unless_there(unsafe { libc::mknod(path.as_ptr(), libc::S_IFREG | 0o444, 0) })
        }
        Step::Device { path, number, user } => device(path, *number, *user),
        Step::Link { path, to } => {
            // SAFETY: both are C strings.
            unless_there(unsafe { libc::symlink(to.as_ptr(), path.as_ptr()) })
        }
        Step::Bind { from, to } => mount(Some(from), to, None, libc::MS_BIND | libc::MS_REC, None),
        Step::Restrict { path, attributes } => restrict(path, *attributes, libc::AT_RECURSIVE),
        Step::Seal => restrict(c"/", Attributes::ROOT, 0),
        Step::Root(path) => root(path),
        // SAFETY: the path is a C string.
        Step::Enter(path) => checked(unsafe { libc::chdir(path.as_ptr()) }),
        Step::HostName => {
            // SAFETY: four bytes of a literal.
            checked(unsafe { libc::sethostname(c"jail".as_ptr(), 4) })
        }
        Step::Limit(limit) => set_limit(limit),
        Step::NoBoundingCapabilities => drop_bounding(),
        Step::User { user, group } => become_user(*user, *group),
        Step::NoCapabilities => drop_capabilities(),
        Step::NoNewPrivileges => {
            // SAFETY: a flag of this process.
            checked(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
        }
        Step::Landlock {
            version,
            rules,
            network,
        } => restrict_paths(*version, rules, *network),
        Step::Filter(program) => filter(program),
        Step::Give(errno) => Err(io::Error::from_raw_os_error(*errno)),
    }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn unless_there(result: libc::c_int) -> io::Result<()> {
    checked(result).or_else(|error| match error.raw_os_error() {
        Some(libc::EEXIST) => Ok(()),
        _ => Err(error),
    })
}

fn open(path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string.
    let descriptor = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
    checked(descriptor)?;
    // SAFETY: the call has just made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
    let file = open(path, libc::O_WRONLY)?;
    // SAFETY: the text lives and has this length.
    let written = unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) };
    match usize::try_from(written) {
        Ok(count) if count == text.len() => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whatever this process happens to have open stays behind, the standard three
/// aside; who wants more inherited says so afterwards.
fn close_on_exec() -> io::Result<()> {
    let (first, last) = (3u32, u32::MAX);
    // SAFETY: it marks descriptors.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    checked(result as libc::c_int)
}

fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(null(), CStr::as_ptr);
    // SAFETY: all are C strings or null, which the call understands.
    checked(unsafe {
        libc::mount(
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            pointer(options).cast(),
        )
    })
}

/// Adds attributes to a mount, or also to those below it; what it had stays.
fn restrict(path: &CStr, attributes: Attributes, below: libc::c_int) -> io::Result<()> {
    // SAFETY: four integers; zeros mean no change.
    let mut wanted: libc::mount_attr = unsafe { std::mem::zeroed() };
    wanted.attr_set = attributes.0;
    // SAFETY: the path is a C string, the structure lives and has this size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            below,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(result as libc::c_int)
}

fn device(path: &CStr, number: libc::dev_t, user: u32) -> io::Result<()> {
    // SAFETY: the path is a C string.
    checked(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, number) })?;
    // SAFETY: likewise.
    checked(unsafe { libc::chown(path.as_ptr(), user, user) })
}

/// The folder becomes the root; the old one is gone for this process.
fn root(path: &CStr) -> io::Result<()> {
    // SAFETY: C strings. With the same folder twice the old root lies over the new
    // one and is taken off.
    unsafe {
        checked(libc::chdir(path.as_ptr()))?;
        checked(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) as libc::c_int)?;
        checked(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        checked(libc::chdir(c"/".as_ptr()))
    }
}

fn set_limit(limit: &Limit) -> io::Result<()> {
    let value = libc::rlimit {
        rlim_cur: limit.value,
        rlim_max: limit.value,
    };
    // SAFETY: the structure lives; the resource is one of the library's.
    checked(unsafe { libc::setrlimit(limit.resource, &raw const value) })
}

fn drop_bounding() -> io::Result<()> {
    for capability in 0..=LAST_CAPABILITY {
        // SAFETY: an attribute of this process.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match checked(result) {
            // The kernel has no more of them.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

fn become_user(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: raw calls, for this thread, which is the only one. An empty list of
    // groups needs no memory.
    unsafe {
        checked(libc::syscall(libc::SYS_setgroups, EVERY_GROUP_GONE, null::<u8>()) as libc::c_int)?;
        checked(libc::syscall(libc::SYS_setresgid, group, group, group) as libc::c_int)?;
        checked(libc::syscall(libc::SYS_setresuid, user, user, user) as libc::c_int)
    }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    process: i32,
}

fn drop_capabilities() -> io::Result<()> {
    let header = CapabilityHeader {
        version: 0x2008_0522,
        process: 0,
    };
    let none = [0u32; 6];
    // SAFETY: header and data have the layout of this version, and live.
    unsafe {
        checked(libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        ))?;
        let result = libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr());
        checked(result as libc::c_int)
    }
}

fn restrict_paths(version: u32, rules: &[Rule], network: bool) -> io::Result<()> {
    let ruleset = landlock::Ruleset::of(version, network);
    // SAFETY: the structure lives; older kernels know a shorter one.
    let created = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            landlock::ruleset_bytes(version),
            0,
        )
    };
    checked(created as libc::c_int)?;
    // SAFETY: the call has just made it.
    let created = unsafe { OwnedFd::from_raw_fd(created as RawFd) };
    for rule in rules {
        let file = open(&rule.path, libc::O_PATH)?;
        let beneath = landlock::Beneath {
            rights: rule.rights & ruleset.files,
            parent: file.as_raw_fd(),
        };
        // SAFETY: the structure lives, both descriptors are open.
        let added = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                created.as_raw_fd(),
                landlock::RULE_PATH_BENEATH,
                &raw const beneath,
                0,
            )
        };
        checked(added as libc::c_int)?;
    }
    // SAFETY: the descriptor is open.
    let restricted =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, created.as_raw_fd(), 0) };
    checked(restricted as libc::c_int)
}

fn filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the program lives, has this length, and is only read.
    checked(unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    })
}
