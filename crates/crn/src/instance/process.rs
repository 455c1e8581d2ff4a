//! A QEMU that does not depend on the node: started in a session of its own,
//! found again by its monitor.
//!
//! ```text
//! launch: setsid qemu … ─▶ Process { pid, started, pidfd }
//! adopt:  pid of the monitor's other end, start time as recorded ─▶ the same
//! ```
//!
//! A process is held by a descriptor, so that a signal never reaches another
//! process that got its number. Dropping it leaves QEMU alone.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::limits;

/// Which process it is, across restarts of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it began, in clock ticks since the host's start.
    pub started: u64,
}

/// How long a process may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until it is ended; it does not notice that the node ends.
    OfItsOwn,
    /// The kernel kills it when the node ends, however that happens.
    OfTheNode,
}

/// A QEMU that runs or has just ended.
#[derive(Debug)]
pub struct Process {
    /// Which one.
    pub identity: Identity,
    descriptor: AsyncFd<OwnedFd>,
    child: Option<Child>,
}

impl Process {
    /// Starts a program in a session of its own; what it prints goes to `log`.
    /// The error is a sentence.
    pub fn launch(
        (program, life): (&Path, Life),
        arguments: &[OsString],
        log: &Path,
    ) -> Result<Process, String> {
        let log = fs::File::create(log).map_err(|error| format!("its log: {error}"))?;
        let twin = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new("setsid");
        if life == Life::OfTheNode {
            // Bound to the thread that starts it: one of the runtime's own, which
            // lives as long as the node.
            command.args(["setpriv", "--pdeathsig", "KILL"]);
        }
        let child = command
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(twin)
            .spawn()
            .map_err(|error| format!("setsid {}: {error}", program.display()))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let mut process = Process::open(pid.ok_or("it ended at once")?)?;
        process.child = Some(child);
        Ok(process)
    }

    /// Holds a process that another node started.
    pub fn open(pid: i32) -> Result<Process, String> {
        let named = Pid::from_raw(pid).ok_or("no process number")?;
        let descriptor = pidfd_open(named, PidfdFlags::NONBLOCK)
            .map_err(|error| format!("process {pid}: {error}"))?;
        let started = start_time(pid).ok_or_else(|| format!("process {pid} has ended"))?;
        // SAFETY: the descriptor is owned, so it stays open and the same until the
        // registration is dropped with it.
        #[allow(unsafe_code)]
        let descriptor = unsafe { AsyncFd::register(descriptor) };
        Ok(Process {
            identity: Identity { pid, started },
            descriptor: descriptor.map_err(|error| error.to_string())?,
            child: None,
        })
    }

    /// Returns when it has ended.
    pub async fn ended(&mut self) {
        if let Ok(guard) = self.descriptor.readable().await {
            drop(guard);
        }
        if let Some(child) = &mut self.child {
            drop(child.wait().await);
        }
    }

    /// Kills it and waits until it is gone, or for a bounded time.
    pub async fn kill(&mut self) {
        // It may be gone already.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::KILL);
        drop(timeout(limits::INSTANCE_KILL_DEADLINE, self.ended()).await);
    }
}

/// Field 22 of its `stat`; `None` when it is gone or only waits to be buried.
fn start_time(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_found_again_and_killed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let arguments = [OsString::from("60")];
        let first =
            Process::launch((Path::new("sleep"), Life::OfItsOwn), &arguments, &log).unwrap();
        let identity = first.identity;
        drop(first);
        let mut again = Process::open(identity.pid).unwrap();
        assert_eq!(again.identity, identity);
        again.kill().await;
        assert!(Process::open(identity.pid).is_err());
    }

    #[tokio::test]
    async fn the_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process = Process::launch((Path::new("true"), Life::OfTheNode), &[], &log).unwrap();
        timeout(limits::INSTANCE_MONITOR_DEADLINE, process.ended())
            .await
            .unwrap();
    }
}
