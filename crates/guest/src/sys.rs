//! The system calls that the standard library does not wrap: the only unsafe
//! code of the guest. Every pointer passed lives until its call returns.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_ulong};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// One mount, as mount(2) wants it; empty `kind` or `options` mean none.
pub struct Mount<'a> {
    pub source: &'a str,
    pub target: &'a str,
    pub kind: &'a str,
    pub options: &'a str,
    pub flags: c_ulong,
}

/// Mounts; the error names the target.
pub fn mount(what: &Mount<'_>) -> Result<(), String> {
    let text = |value: &str| CString::new(value).map_err(|_| format!("'{value}' has a zero byte"));
    let (source, target) = (text(what.source)?, text(what.target)?);
    let (kind, options) = (text(what.kind)?, text(what.options)?);
    let or_null = |value: &CString| -> *const c_char {
        if value.as_bytes().is_empty() {
            std::ptr::null()
        } else {
            value.as_ptr()
        }
    };
    // SAFETY: four strings that end in zero and outlive the call, or null where mount(2) allows it.
    let code = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            or_null(&kind),
            what.flags,
            or_null(&options).cast(),
        )
    };
    done(code).map_err(|error| format!("mounting {}: {error}", what.target))
}

/// Loads a kernel module; one that is there already is fine.
pub fn load_module(file: &File) -> io::Result<()> {
    // SAFETY: an open descriptor, an empty parameter string that ends in zero, no flags.
    let code = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    match done(code as c_int) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// Milliseconds since the kernel started.
pub fn uptime_ms() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel fills the structure that we own.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Sets the wall clock.
pub fn set_clock(unix_ns: u64) {
    let time = libc::timespec {
        tv_sec: (unix_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (unix_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the kernel reads a structure that we own; failure leaves the clock as it was.
    unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) };
}

/// Names the machine.
pub fn set_hostname(name: &str) {
    // SAFETY: pointer and length describe the same string.
    unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
}

/// Brings up the loopback interface.
pub fn raise_loopback() -> io::Result<()> {
    // SAFETY: `ifreq` is plain data, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as c_char, b'o' as c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: an open socket and a request that we own, as SIOCSIFFLAGS wants it.
    done(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) })
}

/// Lets children inherit the file under its own number.
pub fn make_inheritable(file: &File) -> io::Result<c_int> {
    let fd = file.as_raw_fd();
    // SAFETY: sets a flag of an open descriptor.
    done(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    Ok(fd)
}

/// Undoes what the runner did to the port that we share with it.
pub fn make_blocking(file: &File) {
    // SAFETY: sets a flag of an open descriptor.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_RDWR) };
}

/// Waits for any child to end: its process id, and its exit status or minus the
/// signal that killed it. `None` when there are no children.
pub fn wait_any() -> Option<(u32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel fills an integer that we own.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid > 0 {
            let signalled = libc::WIFSIGNALED(status);
            let code = if signalled {
                -libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            };
            return Some((pid as u32, code));
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Waits until something can be read; `TimedOut` when nothing comes.
pub fn wait_readable(file: &File, limit: std::time::Duration) -> io::Result<()> {
    let mut polled = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let milliseconds = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: one structure that we own, and its count.
    let ready = unsafe { libc::poll(&mut polled, 1, milliseconds) };
    done(ready)?;
    if ready == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}

/// Writes to disks what is not there yet.
pub fn sync() {
    // SAFETY: takes nothing and always succeeds.
    unsafe { libc::sync() };
}

/// Ends the machine.
pub fn restart() -> ! {
    // SAFETY: no arguments but constants; neither call returns anything we use.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_AUTOBOOT);
    }
    // Process 1 must not end: the kernel would panic, which ends the machine too.
    std::process::exit(1)
}

fn done(code: c_int) -> io::Result<()> {
    if code < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
