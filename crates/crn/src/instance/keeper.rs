//! One task per instance: it alone changes the instance.
//!
//! ```text
//! orders (bounded) ─┐
//! end of the guest ─┼─▶ Keeper ─▶ record on disk ─▶ state for everybody
//! restart is due  ──┘
//! ```
//!
//! The record says first what shall be, then it is done: whatever interrupts the
//! node, the next one goes on from there. When the node ends the task ends, and
//! the guest lives on.

mod hidden;
mod launch;
mod ports;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::archive::Backups;
use super::backup::BackupOrder;
use super::console::Console;
use super::disks::{self, Folders};
use super::fault::InstanceFault;
use super::guest::{End, Guest, remove_sockets};
use super::migration::{Export, Import};
use super::record::{Record, now};
use super::shop::Shop;
use super::state::{InstanceState, Phase};
use crate::lan::WantedPorts;
use crate::limits;
use crate::workloads::{Measurement, Session};
use launch::uuid;

/// What an instance is told to do.
#[derive(Debug)]
pub(super) enum Command {
    Start,
    Stop,
    Reboot,
    Reinstall {
        erase_volumes: bool,
    },
    Erase,
    Release,
    Backup(BackupOrder),
    Restore(std::path::PathBuf),
    Export,
    Import(Import),
    MapPorts(WantedPorts),
    Initialize(Session),
    Measure,
    Inject {
        packet_header: String,
        secret: String,
    },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Exported(Export),
    Measured(Box<Measurement>),
    Status(serde_json::Value),
}

/// A command and who waits for its outcome.
pub(super) struct Order {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<Outcome, InstanceFault>>,
}

/// The task.
pub(super) struct Keeper {
    pub(super) shop: Arc<Shop>,
    pub(super) folders: Folders,
    pub(super) record: Record,
    pub(super) guest: Option<Guest>,
    pub(super) console: Console,
    pub(super) backups: Backups,
    state: watch::Sender<InstanceState>,
    restart: Option<Instant>,
    pause: Duration,
    running_since: Option<Instant>,
}

/// Whether the task goes on.
enum Next {
    Go,
    Gone,
}

impl Keeper {
    pub(super) fn new(
        shop: Arc<Shop>,
        record: Record,
        state: watch::Sender<InstanceState>,
        console: Console,
        backups: Backups,
    ) -> Keeper {
        let folders = shop.folders(&record.item_hash, record.vm_id);
        Keeper {
            backups,
            shop,
            folders,
            record,
            guest: None,
            console,
            state,
            restart: None,
            pause: limits::INSTANCE_RESTART_PAUSE_MIN,
            running_since: None,
        }
    }

    /// Until the instance is erased or the node ends.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>, end: CancellationToken) {
        let adopted = tokio::select! {
            adopted = self.find_guest() => adopted,
            () = end.cancelled() => return,
        };
        self.shop.unsettled.send_modify(|count| *count -= 1);
        if !adopted && self.record.wanted {
            tokio::select! {
                () = self.try_again() => {}
                () = end.cancelled() => return,
            }
        }
        loop {
            let next = tokio::select! {
                () = end.cancelled() => return,
                order = orders.recv() => match order {
                    None => return,
                    Some(order) => tokio::select! {
                        next = self.obey(order) => next,
                        () = end.cancelled() => return,
                    },
                },
                ended = ended(&mut self.guest) => {
                    self.bury(ended).await;
                    Next::Go
                }
                () = due(self.restart) => {
                    self.restart = None;
                    tokio::select! {
                        () = self.try_again() => {}
                        () = end.cancelled() => return,
                    }
                    Next::Go
                }
            };
            if let Next::Gone = next {
                return;
            }
        }
    }

    /// Finds the guest of an earlier node, if it still runs.
    async fn find_guest(&mut self) -> bool {
        if self.record.prepared {
            let (uuid, process) = (uuid(&self.record), self.record.process);
            let place = (&*self.folders.sockets, !self.is_hidden());
            match Guest::adopt(place, &uuid, process, &self.console).await {
                Ok(guest) => {
                    self.adopted(guest).await;
                    return true;
                }
                Err(reason) => tracing::debug!("instance {}: {reason}", self.record.item_hash),
            }
        }
        false
    }

    async fn adopted(&mut self, mut guest: Guest) {
        super::backup::cancel_stale_jobs(&mut guest.qmp).await;
        self.record.process = Some(guest.process.identity);
        self.guest = Some(guest);
        self.running_since = Some(Instant::now());
        let attached = self.attach_link(true).await;
        if let Err(fault) = attached {
            tracing::warn!("instance {}: {fault}", self.record.item_hash);
        }
        self.save_or_warn().await;
        if self.record.wanted {
            self.publish(Phase::Running, None);
        } else {
            self.halt().await;
            self.save_or_warn().await;
        }
    }

    async fn obey(&mut self, order: Order) -> Next {
        let mut next = Next::Go;
        let outcome = match order.command {
            Command::Start => self.begin().await,
            Command::Stop => self.cease().await,
            Command::Reboot => {
                self.halt().await;
                self.begin().await
            }
            Command::Reinstall { erase_volumes } => self.reinstall(erase_volumes).await,
            Command::Erase => {
                let erased = self.erase().await;
                if erased.is_ok() {
                    next = Next::Gone;
                }
                erased
            }
            Command::Release => {
                let ceased = self.cease().await;
                self.publish(Phase::Released, None);
                ceased
            }
            Command::Backup(order) => self.back_up(order).await,
            Command::Restore(image) => self.restore(&image).await,
            Command::Import(import) => self.import(import).await,
            Command::MapPorts(wanted) => self.map_ports(wanted).await,
            Command::Initialize(session) => self.initialize(session).await,
            command @ (Command::Export | Command::Measure | Command::Inject { .. }) => {
                // Who asked may have gone; an export is kept all the same.
                drop(order.answer.send(self.tell(command).await));
                return next;
            }
        };
        drop(order.answer.send(outcome.map(|()| Outcome::Done)));
        next
    }

    /// Does what has a result of its own.
    async fn tell(&mut self, command: Command) -> Result<Outcome, InstanceFault> {
        match command {
            Command::Measure => self.measure().await,
            Command::Inject {
                packet_header,
                secret,
            } => self.inject(&packet_header, &secret).await,
            _ => self.export().await.map(Outcome::Exported),
        }
    }

    /// Starts it unless it runs. It stays wanted if it once ran: then what fails
    /// is tried again.
    pub(super) async fn begin(&mut self) -> Result<(), InstanceFault> {
        self.record.wanted = true;
        self.restart = None;
        if self.guest.is_some() {
            self.publish(Phase::Running, None);
            return self.save().await;
        }
        let had_run = self.record.times.started_at.is_some();
        let launched = match self.is_hidden() {
            true => self.await_owner().await,
            false => self.launch().await,
        };
        match &launched {
            Ok(()) => {}
            Err(fault) if had_run => self.failed(fault),
            Err(fault) => {
                self.record.wanted = false;
                self.publish(Phase::Failed, Some(fault.to_string()));
                self.save().await?;
            }
        }
        launched
    }

    async fn try_again(&mut self) {
        let launched = match self.is_hidden() {
            true => self.await_owner().await,
            false => self.launch().await,
        };
        if let Err(fault) = launched {
            self.failed(&fault);
        }
    }

    fn failed(&mut self, fault: &InstanceFault) {
        tracing::warn!("instance {} does not start: {fault}", self.record.item_hash);
        self.publish(Phase::Failed, Some(fault.to_string()));
        self.restart = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(limits::INSTANCE_RESTART_PAUSE_MAX);
    }

    /// Stops it for good: it is not wanted any more.
    pub(super) async fn cease(&mut self) -> Result<(), InstanceFault> {
        self.record.wanted = false;
        self.restart = None;
        self.pause = limits::INSTANCE_RESTART_PAUSE_MIN;
        self.save().await?;
        self.halt().await;
        self.save().await
    }

    /// Ends the guest if one runs.
    pub(super) async fn halt(&mut self) {
        if let Some(guest) = self.guest.take() {
            self.record.times.stopping_at = Some(now().micros());
            self.publish(Phase::Stopping, None);
            self.save_or_warn().await;
            guest.stop(self.shop.shutdown_patience).await;
        }
        self.tidy().await;
        self.publish(Phase::Stopped, None);
    }

    /// After the end of a guest.
    async fn tidy(&mut self) {
        self.record.process = None;
        self.running_since = None;
        self.record.times.stopped_at = Some(now().micros());
        remove_sockets(&self.folders.sockets);
        disks::remove_ephemeral(&self.folders).await;
        self.forget_session().await;
        if !self.record.wanted {
            self.shop.cabinet.give_back(&self.record.item_hash);
            self.record.cards.clear();
            let (hash, vm_id) = (&self.record.item_hash, self.record.vm_id);
            self.shop.links.detach(hash, vm_id).await;
        }
    }

    /// The guest ended by itself.
    async fn bury(&mut self, ended: End) {
        self.guest = None;
        let since = self.running_since.take();
        match ended {
            End::Halted => {
                tracing::info!("instance {} switched itself off", self.record.item_hash);
                self.record.wanted = false;
                self.tidy().await;
                self.publish(Phase::Stopped, None);
            }
            End::Crashed => {
                if since.is_some_and(|since| since.elapsed() > limits::INSTANCE_HEALTHY_AFTER) {
                    self.pause = limits::INSTANCE_RESTART_PAUSE_MIN;
                }
                self.tidy().await;
                let reason = "its QEMU ended unexpectedly".to_owned();
                self.failed(&InstanceFault::Tool {
                    tool: "QEMU",
                    reason,
                });
            }
        }
        self.save_or_warn().await;
    }

    async fn reinstall(&mut self, erase_volumes: bool) -> Result<(), InstanceFault> {
        self.halt().await;
        self.record.prepared = false;
        self.record.parent = None;
        self.save().await?;
        self.remove("rootfs.qcow2").await?;
        if erase_volumes {
            self.remove("volumes").await?;
        }
        self.begin().await
    }

    /// Stops it and removes everything, the record last.
    async fn erase(&mut self) -> Result<(), InstanceFault> {
        self.cease().await?;
        self.record.prepared = false;
        self.save().await?;
        self.shop.links.forget(&self.record.item_hash).await;
        for name in ["rootfs.qcow2", "volumes", "console.log", "console.log.1"] {
            self.remove(name).await?;
        }
        self.remove("").await?;
        if let Err(error) = self.shop.jails.forget(self.record.item_hash.as_str()) {
            tracing::warn!("instance {}: {error}", self.record.item_hash);
        }
        self.publish(Phase::Erased, None);
        Ok(())
    }

    /// Removes a file or a folder of the instance.
    pub(super) async fn remove(&self, name: &str) -> Result<(), InstanceFault> {
        let path = self.folders.own.join(name);
        let removed = match path.is_dir() {
            true => tokio::fs::remove_dir_all(&path).await,
            false => tokio::fs::remove_file(&path).await,
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(InstanceFault::disk("remove a disk")(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn save(&self) -> Result<(), InstanceFault> {
        let (record, folder) = (self.record.clone(), self.folders.own.clone());
        disks::blocking(move || record.save(&folder))
            .await
            .map_err(InstanceFault::disk("remember the instance"))
    }

    async fn save_or_warn(&self) {
        if let Err(fault) = self.save().await {
            tracing::error!("instance {}: {fault}", self.record.item_hash);
        }
    }

    pub(super) fn publish(&self, phase: Phase, fault: Option<String>) {
        let state = InstanceState::of(&self.record, phase, fault);
        self.state.send_replace(state);
    }
}

async fn ended(guest: &mut Option<Guest>) -> End {
    match guest {
        Some(guest) => guest.ended().await,
        None => std::future::pending().await,
    }
}

async fn due(restart: Option<Instant>) {
    match restart {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
