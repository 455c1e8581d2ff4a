//! Instances as workloads: what the routes, payment and watching ask of them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use beth_protocol::ItemHash;
use futures::future::BoxFuture;

use super::archive::{Archive, BackupStatus};
use super::backup::BackupOrder;
use super::disks::blocking;
use super::fault::InstanceFault;
use super::link::Link;
use super::migration::{Import, ImportedDisk};
use super::shop::taken_bytes;
use super::state::{InstanceState, Phase};
use super::{Instances, Volumes, record};
use crate::lan::wanted_ports;
use crate::workloads::{
    self, Backup, BackupStep, BackupWish, Before, Demand, Done, Kind, Known, LogLine, MappedPort,
    Measurement, MovedDisk, Networking, Restored, Session, Steps, WorkloadFault, Workloads,
};

impl From<InstanceFault> for WorkloadFault {
    fn from(fault: InstanceFault) -> WorkloadFault {
        let text = fault.to_string();
        match fault {
            InstanceFault::Busy | InstanceFault::AlreadyHere => WorkloadFault::Conflict(text),
            InstanceFault::NoRoom(_) | InstanceFault::Closing => WorkloadFault::NotHere(text),
            InstanceFault::Unknown(_)
            | InstanceFault::NotAnInstance
            | InstanceFault::WrongState(_)
            | InstanceFault::Unusable(_)
            | InstanceFault::Image(_) => WorkloadFault::Unsupported(text),
            _ => WorkloadFault::Failed(text),
        }
    }
}

impl Instances {
    async fn known(&self, state: InstanceState) -> Known {
        let folder = self.0.shop.own(&state.item_hash);
        let taken = blocking(move || Ok(taken_bytes(&folder, 2))).await;
        let requirements = state.content.requirements.as_ref();
        Known {
            owner: state.content.address.clone(),
            kind: Kind::Instance,
            is_running: state.phase == Phase::Running,
            is_starting: matches!(state.phase, Phase::Preparing | Phase::Starting),
            awaits_secret: state.phase == Phase::AwaitsOwner,
            is_confidential: state.content.environment.trusted_execution.is_some(),
            steps: steps(&state),
            networking: state.link.as_ref().and_then(networking),
            demand: Demand {
                vcpus: state.content.resources.vcpus,
                memory_mib: state.content.resources.memory,
                disk_mib: record::declared_bytes(&state.content) >> 20,
                gpus: requirements
                    .and_then(|wishes| wishes.gpu.clone())
                    .unwrap_or_default(),
            },
            disk_used_mib: taken.unwrap_or_default() >> 20,
            payment: state.content.payment.clone(),
            item_hash: state.item_hash,
        }
    }

    fn before(&self, item_hash: &ItemHash) -> Before {
        match self
            .state(item_hash)
            .is_some_and(|state| state.is_running())
        {
            true => Before::Running,
            false => Before::Stopped,
        }
    }
}

fn steps(state: &InstanceState) -> Steps {
    let time = |micros: Option<i64>| -> Option<SystemTime> {
        let micros = u64::try_from(micros?).ok()?;
        Some(UNIX_EPOCH + Duration::from_micros(micros))
    };
    let times = &state.times;
    Steps {
        defined_at: time(Some(times.defined_at)),
        preparing_at: time(times.preparing_at),
        prepared_at: time(times.prepared_at),
        starting_at: time(times.starting_at),
        started_at: time(times.started_at),
        stopping_at: time(times.stopping_at),
        stopped_at: time(times.stopped_at),
    }
}

/// What lists show. Guests of QEMU's own network all have the same addresses, so
/// only their ports tell them apart.
fn networking(link: &Link) -> Option<Networking> {
    let mapped_ports = link
        .forwards()
        .iter()
        .map(|forward| {
            let port = MappedPort {
                host: forward.host.port(),
                tcp: forward.tcp,
                udp: forward.udp,
            };
            (forward.guest_port, port)
        })
        .collect();
    match link {
        Link::None => None,
        Link::User { .. } => Some(Networking {
            ipv4_network: "10.0.2.0/24".into(),
            host_ipv4: "10.0.2.2".into(),
            ipv6_network: "fec0::/64".into(),
            ipv6_ip: "fec0::15".into(),
            ipv4_ip: "10.0.2.15".into(),
            mapped_ports,
        }),
        Link::Tap(tap) => Some(Networking {
            mapped_ports,
            ..tap.shown.clone()
        }),
    }
}

fn backup(archive: Archive) -> Option<Backup> {
    let mut sha256 = [0; 32];
    const_hex::decode_to_slice(&archive.sha256, &mut sha256).ok()?;
    Some(Backup {
        id: archive.backup_id,
        path: archive.path,
        size_bytes: archive.size_bytes,
        sha256,
        source_sizes_bytes: archive.source_sizes.into_iter().collect(),
        expires_at: archive.expires_at,
    })
}

fn step(status: BackupStatus) -> BackupStep {
    match status {
        BackupStatus::Idle => BackupStep::None,
        BackupStatus::InProgress => BackupStep::Underway,
        BackupStatus::Failed(reason) => BackupStep::Failed(reason),
        BackupStatus::Done(archive) => match backup(archive) {
            Some(backup) => BackupStep::Done(Box::new(backup)),
            None => BackupStep::None,
        },
    }
}

/// The item hash that a backup's name begins with.
fn instance_of(backup_id: &str) -> Option<ItemHash> {
    ItemHash::parse(backup_id.rsplit_once('-')?.0).ok()
}

impl Workloads for Instances {
    fn all(&self) -> BoxFuture<'_, Vec<Known>> {
        Box::pin(async {
            let mut all = Vec::new();
            for state in self.list() {
                all.push(self.known(state).await);
            }
            all
        })
    }

    fn find<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Known>> {
        Box::pin(async {
            let state = self.state(item_hash)?;
            match state.is_listed() {
                true => Some(self.known(state).await),
                false => None,
            }
        })
    }

    fn start<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        Box::pin(async { Ok(self.allocate(item_hash).await?) })
    }

    fn stop<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>> {
        Box::pin(async {
            let before = self.before(item_hash);
            Instances::stop(self, item_hash).await?;
            Ok(before)
        })
    }

    fn reboot<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>> {
        Box::pin(async {
            let before = self.before(item_hash);
            Instances::reboot(self, item_hash).await?;
            Ok(before)
        })
    }

    fn reinstall<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        volumes: workloads::Volumes,
    ) -> BoxFuture<'a, Done<()>> {
        let volumes = match volumes {
            workloads::Volumes::Erase => Volumes::Erase,
            workloads::Volumes::Keep => Volumes::Keep,
        };
        Box::pin(async move { Ok(Instances::reinstall(self, item_hash, volumes).await?) })
    }

    fn erase<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        Box::pin(async { Ok(Instances::erase(self, item_hash).await?) })
    }

    fn forget<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        Box::pin(async { Ok(self.release(item_hash).await?) })
    }

    fn logs<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Vec<LogLine>>> {
        Box::pin(async {
            let lines = Instances::logs(self, item_hash).await?;
            let lines = lines.into_iter().map(|line| LogLine {
                time: line.time,
                is_error: false,
                text: line.text,
            });
            Some(lines.collect())
        })
    }

    fn backup<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        wish: BackupWish,
    ) -> BoxFuture<'a, Done<BackupStep>> {
        Box::pin(async move {
            match self.backup_status(item_hash) {
                None => return Err(InstanceFault::Unknown(item_hash.clone()).into()),
                Some(BackupStatus::InProgress) => return Ok(BackupStep::Underway),
                Some(BackupStatus::Failed(reason)) => {
                    self.forget_failure(item_hash);
                    return Ok(BackupStep::Failed(reason));
                }
                Some(BackupStatus::Idle | BackupStatus::Done(_)) => {}
            }
            if let Some(archive) = self.list_backups(item_hash).await.into_iter().next() {
                return Ok(step(BackupStatus::Done(archive)));
            }
            if let Some((free, needed)) = self.lacks_room_for_backup(item_hash).await {
                return Err(WorkloadFault::NoSpace(format!(
                    "Insufficient disk space: {free} bytes available, {needed} bytes required"
                )));
            }
            let order = BackupOrder {
                include_volumes: wish.with_volumes,
                freeze: !wish.without_freeze,
            };
            self.back_up(item_hash, order).await?;
            Ok(BackupStep::Underway)
        })
    }

    fn backup_step<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, BackupStep> {
        Box::pin(async {
            match self.backup_status(item_hash) {
                Some(BackupStatus::InProgress) => BackupStep::Underway,
                Some(BackupStatus::Failed(reason)) => {
                    self.forget_failure(item_hash);
                    BackupStep::Failed(reason)
                }
                _ => match self.list_backups(item_hash).await.into_iter().next() {
                    Some(archive) => step(BackupStatus::Done(archive)),
                    None => BackupStep::None,
                },
            }
        })
    }

    fn backup_of_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Option<Backup>> {
        Box::pin(async { backup(Instances::backup(self, &instance_of(id)?, id).await?) })
    }

    fn delete_backup<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Done<bool>> {
        Box::pin(async {
            match instance_of(id) {
                Some(item_hash) => Ok(Instances::delete_backup(self, &item_hash, id).await?),
                None => Ok(false),
            }
        })
    }

    fn restore<'a>(&'a self, item_hash: &'a ItemHash, image: Restored) -> BoxFuture<'a, Done<()>> {
        Box::pin(async move {
            let (path, _uploaded): (PathBuf, _) = match image {
                Restored::Upload(path) => {
                    let uploaded = tempfile::TempPath::try_from_path(&path).ok();
                    (path, uploaded)
                }
                Restored::Stored(reference) => {
                    let source = &self.0.shop.source;
                    (source.file("image", &reference, false).await?.path, None)
                }
            };
            Ok(Instances::restore(self, item_hash, &path).await?)
        })
    }

    fn export<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Vec<MovedDisk>>> {
        Box::pin(async {
            let exported = Instances::export(self, item_hash).await?;
            let disks = exported.disks.into_iter().map(|disk| MovedDisk {
                name: disk.name,
                path: disk.path,
                size_bytes: disk.size_bytes,
                sha256: disk.sha256,
            });
            Ok(disks.collect())
        })
    }

    fn discard_export<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, ()> {
        Box::pin(Instances::discard_export(self, item_hash))
    }

    fn import<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        disks: Vec<MovedDisk>,
    ) -> BoxFuture<'a, Done<()>> {
        let disks = disks.into_iter().map(|disk| ImportedDisk {
            name: disk.name,
            path: disk.path,
            sha256: disk.sha256,
        });
        let import = Import {
            disks: disks.collect(),
        };
        Box::pin(async { Ok(Instances::import(self, item_hash, import).await?) })
    }

    fn map_ports<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        ports: Option<serde_json::Value>,
    ) -> BoxFuture<'a, Done<()>> {
        let aggregate = serde_json::json!({ item_hash.as_str(): ports });
        let wanted = wanted_ports(&aggregate, item_hash.as_str());
        Box::pin(async { Ok(Instances::map_ports(self, item_hash, wanted).await?) })
    }

    fn initialize<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        session: Session,
    ) -> BoxFuture<'a, Done<()>> {
        Box::pin(async { Ok(Instances::initialize(self, item_hash, session).await?) })
    }

    fn measurement<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Measurement>> {
        Box::pin(async { Ok(Instances::measurement(self, item_hash).await?) })
    }

    fn inject_secret<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        packet_header: String,
        secret: String,
    ) -> BoxFuture<'a, Done<serde_json::Value>> {
        Box::pin(async {
            Ok(Instances::inject_secret(self, item_hash, packet_header, secret).await?)
        })
    }
}
