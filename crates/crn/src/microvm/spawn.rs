//! Starts QEMU so that it cannot outlive this program, and reads the processor's
//! clock for it.
//!
//! The kernel kills QEMU when the *thread* that started it ends, and threads of
//! an async runtime come and go. So one thread, which lives as long as the
//! program, starts them all.
//!
//! Unsafe code: what runs between fork and exec (only system calls that are safe
//! there), and one instruction.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::jail::{Cell, Jail};

const TICK: Duration = Duration::from_millis(20);

struct Job {
    command: std::process::Command,
    inherited: Vec<OwnedFd>,
    jail: Jail,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<(Child, Cell)>>,
}

/// Starts a jailed process that dies with this one, in a process group of its
/// own, and lets it have the descriptors under their own numbers. The child is
/// killed when dropped; its cell is dropped after it.
pub(crate) async fn spawn(
    command: std::process::Command,
    inherited: Vec<OwnedFd>,
    jail: Jail,
) -> io::Result<(Child, Cell)> {
    let (answer, answered) = oneshot::channel();
    let job = Job {
        command,
        inherited,
        jail,
        runtime: Handle::current(),
        answer,
    };
    let gone = || io::Error::other("the thread that starts processes has ended");
    thread()?.send(job).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

impl Job {
    /// On the thread that starts processes.
    fn run(self) {
        let Job {
            mut command,
            inherited,
            jail,
            runtime,
            answer,
        } = self;
        let _entered = runtime.enter();
        let started = jail
            .apply(&mut command)
            .map_err(io::Error::other)
            .and_then(|mut cell| {
                die_with_this(&mut command, &inherited)?;
                let mut command = Command::from(command);
                command.kill_on_drop(true);
                let child = cell.start(|| command.spawn())?;
                Ok((child, cell))
            });
        // Nobody waits any more: dropping the child kills it.
        let _ = answer.send(started);
    }
}

/// The process may be the first of a process namespace, where it sees no parent:
/// whether this one is alive, a descriptor of it tells.
fn die_with_this(command: &mut std::process::Command, inherited: &[OwnedFd]) -> io::Result<()> {
    let numbers: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: it makes a descriptor.
    let parent = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    if parent < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made it.
    let parent = unsafe { OwnedFd::from_raw_fd(parent as RawFd) };
    command.process_group(0);
    // SAFETY: between fork and exec it makes system calls only and allocates
    // nothing; the descriptors are open until the spawning is done.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            let mut ended = libc::pollfd {
                fd: parent.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            if libc::poll(&raw mut ended, 1, 0) != 0 {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            for &number in &numbers {
                if libc::fcntl(number, libc::F_SETFD, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    Ok(())
}

/// Frequency of the processor's time stamp counter, in kHz; blocks for about
/// 60 ms. An emulated guest sees that counter and cannot measure it itself.
pub(super) fn tsc_khz() -> u64 {
    let mut samples = [0; 3].map(|_| {
        let (began, first) = (Instant::now(), tsc());
        std::thread::sleep(TICK);
        let (ticks, took) = (tsc().wrapping_sub(first), began.elapsed());
        (u128::from(ticks) * 1_000_000 / took.as_nanos().max(1)) as u64
    });
    samples.sort_unstable();
    samples[1]
}

fn thread() -> io::Result<&'static Sender<Job>> {
    static THREAD: OnceLock<Sender<Job>> = OnceLock::new();
    if let Some(sender) = THREAD.get() {
        return Ok(sender);
    }
    let (sender, jobs) = channel::<Job>();
    std::thread::Builder::new()
        .name("beth-spawn".to_owned())
        .spawn(move || {
            for job in jobs {
                job.run();
            }
        })?;
    Ok(THREAD.get_or_init(|| sender))
}

#[cfg(target_arch = "x86_64")]
fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc() -> u64 {
    0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::jail::{Jails, Mode};

    #[test]
    fn the_counter_is_steady() {
        let (first, second) = (tsc_khz(), tsc_khz());
        assert!(first > 100_000, "{first}");
        assert!(first.abs_diff(second) < first / 100, "{first} {second}");
    }

    #[tokio::test]
    async fn children_get_the_descriptors_and_die_when_dropped() {
        use std::io::Read;
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let theirs = OwnedFd::from(theirs);
        let mut command = std::process::Command::new("/bin/bash");
        command.args([
            "-c",
            &format!("echo here >&{}; exec sleep 600", theirs.as_raw_fd()),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let jails = Jails::open(Mode::Off, 0, folder.path()).unwrap();
        let (child, _cell) = spawn(command, vec![theirs], jails.jail("any"))
            .await
            .unwrap();
        let mut word = [0; 5];
        ours.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"here\n");
        drop(child);
        assert_eq!(
            ours.read(&mut word).unwrap(),
            0,
            "the end of the child closes the descriptor"
        );
    }
}
