//! Programs as workloads: the pool's machines under the operator's hand.

use std::time::UNIX_EPOCH;

use beth_protocol::ItemHash;
use beth_protocol::time::Timestamp;
use futures::StreamExt;
use futures::future::BoxFuture;

use super::{Before, Done, Kind, Known, LogLine, Steps, Volumes, WorkloadFault, Workloads};
use crate::contents::Contents;
use crate::limits;
use crate::pool::{CallFault, Pool, ProgramState, State};

/// The programs of a pool.
pub struct ProgramWorkloads {
    pool: Pool,
    contents: Contents,
}

impl ProgramWorkloads {
    /// Of that pool; `contents` tells whose they are.
    pub fn new(pool: Pool, contents: Contents) -> ProgramWorkloads {
        ProgramWorkloads { pool, contents }
    }

    async fn known(&self, state: ProgramState) -> Option<Known> {
        let described = self.contents.describe(&state.item_hash).await.ok()?;
        let times = state.times;
        let kind = match self.pool.is_kept(&state.item_hash) {
            true => Kind::PersistentProgram,
            false => Kind::Microvm,
        };
        Some(Known {
            owner: described.owner().to_owned(),
            kind,
            is_running: state.state == State::Running,
            is_starting: matches!(state.state, State::Starting | State::Preparing),
            awaits_secret: false,
            is_confidential: false,
            steps: Steps {
                defined_at: Some(times.defined_at),
                preparing_at: times.preparing_at,
                prepared_at: times.prepared_at,
                starting_at: times.starting_at,
                started_at: times.started_at,
                stopping_at: times.stopped_at,
                stopped_at: times.stopped_at,
            },
            networking: None,
            demand: described.demand(),
            disk_used_mib: self.pool.disk_bytes(&state.item_hash).await >> 20,
            payment: described.payment().cloned(),
            item_hash: state.item_hash,
        })
    }
}

impl Workloads for ProgramWorkloads {
    fn all(&self) -> BoxFuture<'_, Vec<Known>> {
        Box::pin(async {
            futures::stream::iter(self.pool.list())
                .map(|state| self.known(state))
                .buffered(limits::PREPARATIONS_MAX)
                .filter_map(|known| async { known })
                .collect()
                .await
        })
    }

    fn find<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Known>> {
        Box::pin(async { self.known(self.pool.state(item_hash)?).await })
    }

    fn start<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        Box::pin(async {
            self.pool.keep(item_hash);
            let started = self.pool.run(item_hash).await;
            if started.is_err() {
                self.pool.release(item_hash);
            }
            started.map_err(|fault| fault_of(&fault))
        })
    }

    fn stop<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>> {
        Box::pin(async {
            self.pool.release(item_hash);
            Ok(before(self.pool.stop(item_hash).await))
        })
    }

    fn reboot<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>> {
        Box::pin(async {
            let before = before(self.pool.stop(item_hash).await);
            let started = self.pool.run(item_hash).await;
            started.map_err(|fault| fault_of(&fault)).map(|()| before)
        })
    }

    fn reinstall<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        volumes: Volumes,
    ) -> BoxFuture<'a, Done<()>> {
        // The files that a program is made of belong to everybody, and what else
        // it wrote was its machine's.
        Box::pin(async move {
            if matches!(volumes, Volumes::Erase) {
                let erased = self.pool.erase(item_hash).await;
                erased.map_err(|fault| fault_of(&fault))?;
            }
            self.reboot(item_hash).await.map(drop)
        })
    }

    fn erase<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        Box::pin(async {
            self.pool.release(item_hash);
            let erased = self.pool.erase(item_hash).await;
            self.pool.forget(item_hash).await;
            erased.map_err(|fault| fault_of(&fault))
        })
    }

    fn forget<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        Box::pin(async {
            self.pool.release(item_hash);
            self.pool.forget(item_hash).await;
            Ok(())
        })
    }

    fn logs<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Vec<LogLine>>> {
        Box::pin(async {
            let lines = self.pool.logs(item_hash)?;
            let times = self.pool.state(item_hash)?.times;
            let since = times.started_at.unwrap_or(times.defined_at);
            let micros = since.duration_since(UNIX_EPOCH).unwrap_or_default();
            let micros = i64::try_from(micros.as_micros()).unwrap_or_default();
            let line = |text| LogLine {
                time: Timestamp::from_micros(micros),
                is_error: false,
                text,
            };
            Some(lines.into_iter().map(line).collect())
        })
    }
}

fn before(was_running: bool) -> Before {
    match was_running {
        true => Before::Running,
        false => Before::Stopped,
    }
}

fn fault_of(fault: &CallFault) -> WorkloadFault {
    match fault {
        CallFault::Busy(_) => WorkloadFault::NotHere(fault.to_string()),
        _ => WorkloadFault::Failed(fault.to_string()),
    }
}
