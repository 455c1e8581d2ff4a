//! A QEMU that does not depend on the node: started in a session of its own, in
//! a jail, found again by its monitor.
//!
//! ```text
//! launch: jail ─▶ qemu … ─▶ Process { pid, started, pidfd, cell }
//! adopt:  pid of the monitor's other end, start time as recorded ─▶ the same
//! ```
//!
//! A process is held by a descriptor, so that a signal never reaches another
//! process that got its number. Dropping it leaves QEMU alone, and its cell with
//! it; the cell of one that ended is cleared away.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::jail::{Cell, Jail};
use crate::limits;
use crate::microvm::spawn_with_the_node;

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
    cell: Option<Cell>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.leave();
        }
    }
}

impl Process {
    /// Starts a program in its jail, in a session of its own if it has a life of
    /// its own; what it prints goes to `log`. The error is a sentence.
    pub async fn launch(
        mut command: std::process::Command,
        (life, jail): (Life, Jail),
        log: &Path,
    ) -> Result<Process, String> {
        // At its end always: who shortens the log leaves no hole in it.
        drop(fs::remove_file(log));
        let log = fs::File::options().create(true).append(true).open(log);
        let log = log.map_err(|error| format!("its log: {error}"))?;
        let twin = log.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(log).stderr(twin);
        let program = command.get_program().to_string_lossy().into_owned();
        let started = match life {
            Life::OfItsOwn => start(command, jail.outlive()).await,
            Life::OfTheNode => spawn_with_the_node(command, Vec::new(), jail).await,
        };
        let (child, cell) = started.map_err(|error| format!("{program}: {error}"))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let mut process = Process::hold(pid.ok_or("it ended at once")?, start_time)?;
        process.child = Some(child);
        process.cell = Some(cell);
        Ok(process)
    }

    /// Holds a process that another node started.
    pub fn open(pid: i32) -> Result<Process, String> {
        Process::hold(pid, |pid| start_time(pid).filter(|_| !has_ended(pid)))
    }

    fn hold(pid: i32, started: impl FnOnce(i32) -> Option<u64>) -> Result<Process, String> {
        let named = Pid::from_raw(pid).ok_or("no process number")?;
        let descriptor = pidfd_open(named, PidfdFlags::NONBLOCK)
            .map_err(|error| format!("process {pid}: {error}"))?;
        let started = started(pid).ok_or_else(|| format!("process {pid} has ended"))?;
        // SAFETY: the descriptor is owned, so it stays open and the same until the
        // registration is dropped with it.
        #[allow(unsafe_code)]
        let descriptor = unsafe { AsyncFd::register(descriptor) };
        Ok(Process {
            identity: Identity { pid, started },
            descriptor: descriptor.map_err(|error| error.to_string())?,
            child: None,
            cell: None,
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
        drop(self.cell.take());
    }

    /// Kills it and waits until it is gone, or for a bounded time.
    pub async fn kill(&mut self) {
        // It may be gone already.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::KILL);
        drop(timeout(limits::INSTANCE_KILL_DEADLINE, self.ended()).await);
    }
}

/// On a thread of its own, for it leaves the node's process namespace meanwhile.
async fn start(mut command: std::process::Command, jail: Jail) -> io::Result<(Child, Cell)> {
    let (answer, answered) = oneshot::channel();
    let runtime = Handle::current();
    let run = move || {
        let _entered = runtime.enter();
        let started = jail
            .apply(&mut command)
            .map_err(io::Error::other)
            .and_then(|mut cell| {
                let mut command = Command::from(command);
                let child = cell.start(|| command.spawn())?;
                Ok((child, cell))
            });
        drop(answer.send(started));
    };
    std::thread::Builder::new()
        .name("beth-launch".to_owned())
        .spawn(run)?;
    let gone = |_| io::Error::other("the thread that starts it has ended");
    answered.await.map_err(gone)?
}

/// Field 22 of its `stat`; `None` when it is gone.
fn start_time(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    fields.nth(19)?.parse().ok()
}

/// Whether it has ended and only waits for its parent to notice.
fn has_ended(pid: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = text.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_none_or(|state| state.starts_with('Z'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::jail::Jails;

    async fn launch(arguments: &[&str], folder: &Path, life: Life) -> Process {
        let (program, rest) = arguments.split_first().unwrap();
        let mut command = std::process::Command::new(program);
        command.args(rest);
        let jail = Jails::off().jail("test");
        Process::launch(command, (life, jail), &folder.join("log"))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_process_is_found_again_and_killed() {
        let folder = tempfile::tempdir().unwrap();
        let first = launch(&["sleep", "60"], folder.path(), Life::OfItsOwn).await;
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
        let mut process = launch(&["true"], folder.path(), Life::OfTheNode).await;
        timeout(limits::INSTANCE_MONITOR_DEADLINE, process.ended())
            .await
            .unwrap();
    }
}
