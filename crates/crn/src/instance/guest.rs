//! A running guest: its process, its monitor, its console.
//!
//! ```text
//! launch ─▶ QEMU, paused ─▶ monitor ─▶ console ─▶ cont
//! adopt  ─▶ monitor of an earlier node ─▶ the same process? ─▶ console ─▶ cont if paused
//! ```
//!
//! Dropping it leaves the guest running. A guest that writes while the node's disk
//! is full stands still and goes on when there is room: nothing that it wrote is
//! lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::console::Console;
use super::process::{Identity, Life, Process};
use super::qemu::{self, Machine};
use super::qmp::Qmp;
use crate::jail::Jail;
use crate::limits;

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    /// QEMU.
    pub process: Process,
    /// Its monitor.
    pub qmp: Qmp,
    _console: AbortOnDropHandle<()>,
    /// Whether the guest switched itself off.
    halted: bool,
    /// It stands still because the node's disk was full; then it tries again.
    waits_for_room: Option<Instant>,
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It switched itself off.
    Halted,
    /// QEMU died, or the guest's kernel did.
    Crashed,
}

impl Guest {
    /// Starts QEMU and the guest. The error is a sentence; nothing runs then.
    pub async fn launch(
        (program, life): (&Path, Life),
        machine: &Machine<'_>,
        console: &Console,
        jail: Jail,
    ) -> Result<Guest, String> {
        remove_sockets(machine.sockets);
        let longest = qemu::serial(machine.sockets).as_os_str().len();
        if longest > qemu::SOCKET_PATH_BYTES_MAX {
            return Err(format!(
                "the path {} is too long for a socket; choose a shorter `folder`",
                machine.sockets.display()
            ));
        }
        let mut command = std::process::Command::new(program);
        command.args(qemu::arguments(machine));
        let mut process = Process::launch(command, (life, jail), machine.log).await?;
        let goes = machine.hidden.is_none();
        let started = async {
            let qmp = first_contact(machine.sockets, &mut process, machine.log).await?;
            Guest::attach(process.identity, qmp, (machine.sockets, goes), console).await
        };
        match started.await {
            Ok((qmp, console)) => Ok(Guest {
                process,
                qmp,
                _console: console,
                halted: false,
                waits_for_room: None,
            }),
            Err(reason) => {
                // One that ended by itself has said why.
                let ended = timeout(limits::INSTANCE_LAST_WORDS_DEADLINE, process.ended()).await;
                process.kill().await;
                Err(ended.map_or(reason, |()| last_words(machine.log)))
            }
        }
    }

    /// Takes over a guest that an earlier node started: the process behind the
    /// monitor's socket in this folder. It must be of `uuid` and, if it has the
    /// recorded number, have begun when the record says. One that stands still
    /// goes on if it `goes` without its owner.
    pub async fn adopt(
        (folder, goes): (&Path, bool),
        uuid: &str,
        recorded: Option<Identity>,
        console: &Console,
    ) -> Result<Guest, String> {
        let mut qmp = Qmp::connect(&qemu::monitor(folder)).await?;
        let found = qmp.execute("query-uuid", Value::Null).await?;
        if found["UUID"] != uuid {
            return Err("its monitor is of another machine".to_owned());
        }
        let process = Process::open(qmp.pid)?;
        let is_other =
            |known: Identity| known.pid == process.identity.pid && known != process.identity;
        if recorded.is_some_and(is_other) {
            return Err("its process number belongs to another process now".to_owned());
        }
        let (qmp, console) = Guest::attach(process.identity, qmp, (folder, goes), console).await?;
        Ok(Guest {
            process,
            qmp,
            _console: console,
            halted: false,
            waits_for_room: None,
        })
    }

    async fn attach(
        identity: Identity,
        mut qmp: Qmp,
        (folder, goes): (&Path, bool),
        console: &Console,
    ) -> Result<(Qmp, AbortOnDropHandle<()>), String> {
        if qmp.pid != identity.pid {
            return Err("another process listens at its monitor".to_owned());
        }
        let console = console.attach(&qemu::serial(folder)).await?;
        let status = qmp.execute("query-status", Value::Null).await?;
        if status["running"] != true && goes {
            qmp.execute("cont", Value::Null).await?;
        }
        Ok((qmp, console))
    }

    /// Returns when it has ended, and how.
    pub async fn ended(&mut self) -> End {
        loop {
            tokio::select! {
                event = self.qmp.event() => match event {
                    Some(event) => self.note(&event.name, &event.data),
                    None => break,
                },
                () = due(self.waits_for_room) => {
                    self.waits_for_room = None;
                    // If there is no room still, QEMU says so again.
                    drop(self.qmp.execute("cont", Value::Null).await);
                }
                () = self.process.ended() => {
                    while let Ok(Some(event)) =
                        timeout(Duration::from_millis(100), self.qmp.event()).await
                    {
                        self.note(&event.name, &event.data);
                    }
                    break;
                }
            }
        }
        // A QEMU without monitor cannot be led any more.
        self.process.kill().await;
        match self.halted {
            true => End::Halted,
            false => End::Crashed,
        }
    }

    fn note(&mut self, name: &str, data: &Value) {
        if name == "SHUTDOWN" && data["reason"] == "guest-shutdown" {
            self.halted = true;
        }
        if name == "BLOCK_IO_ERROR" && data["nospace"] == true && self.waits_for_room.is_none() {
            let pid = self.process.identity.pid;
            tracing::warn!(
                "the disk is full: the guest of process {pid} stands still until there is room"
            );
            self.waits_for_room = Some(Instant::now() + limits::INSTANCE_ROOM_PERIOD);
        }
    }

    /// Ends it: asks the guest, then QEMU, then the system. Returns when it is
    /// gone.
    pub async fn stop(mut self, patience: Duration) {
        if self
            .qmp
            .execute("system_powerdown", Value::Null)
            .await
            .is_ok()
            && timeout(patience, self.ended()).await.is_ok()
        {
            return;
        }
        tracing::info!(
            "the guest of process {} does not shut down and is ended",
            self.process.identity.pid
        );
        if self.qmp.execute("quit", Value::Null).await.is_ok()
            && timeout(limits::INSTANCE_QUIT_DEADLINE, self.process.ended())
                .await
                .is_ok()
        {
            return;
        }
        self.process.kill().await;
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits for the monitor of a new QEMU.
async fn first_contact(folder: &Path, process: &mut Process, log: &Path) -> Result<Qmp, String> {
    let path = qemu::monitor(folder);
    let contact = async {
        while !path.exists() {
            sleep(limits::INSTANCE_LAUNCH_PERIOD).await;
        }
        // The socket has its name a moment before it listens.
        loop {
            match Qmp::connect(&path).await {
                Err(reason) if reason.contains("refused") => {
                    sleep(limits::INSTANCE_LAUNCH_PERIOD).await;
                }
                other => return other,
            }
        }
    };
    tokio::select! {
        contacted = timeout(limits::INSTANCE_LAUNCH_DEADLINE, contact) => {
            contacted.unwrap_or_else(|_| Err("QEMU does not listen".to_owned()))
        }
        () = process.ended() => Err(last_words(log)),
    }
}

/// The last line of what QEMU printed.
fn last_words(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    last.unwrap_or("it ended without a word")
        .chars()
        .take(limits::ERROR_BYTES_MAX)
        .collect()
}

/// Removes the sockets of a QEMU that has ended.
pub fn remove_sockets(folder: &Path) {
    let sockets: [PathBuf; 3] = [
        qemu::monitor(folder),
        qemu::serial(folder),
        qemu::agent(folder),
    ];
    for path in sockets {
        // Usually there is none.
        drop(fs::remove_file(path));
    }
}
