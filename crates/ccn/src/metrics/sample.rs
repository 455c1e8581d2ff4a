//! What is looked at when somebody asks for metrics: at most once a second,
//! whoever asks how often.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use beth_store::query::totals::Totals;
use tokio::sync::Mutex;

use super::{Metrics, follow, read};
use crate::context::Context;
use crate::limits::{IN_FLIGHT_KIB, INTAKE_QUEUE, SAMPLE_AGE_MAX, WRITER_QUEUE};
use crate::streams::StreamCounters;

/// What was looked at last.
#[derive(Default)]
pub struct Sampler(Mutex<Option<(Instant, Arc<Sample>)>>);

/// What a node holds at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Rows of the state.
    pub totals: Totals,
    /// Peers connected.
    pub peers: usize,
}

impl Sampler {
    /// A sample that is at most [`SAMPLE_AGE_MAX`] old; the gauges show it.
    pub async fn sample(&self, context: &Context) -> Result<Arc<Sample>, beth_store::Error> {
        let mut last = self.0.lock().await;
        if let Some((at, sample)) = &*last
            && at.elapsed() < SAMPLE_AGE_MAX
        {
            return Ok(sample.clone());
        }
        let status = context.network.status().await;
        context.metrics.neighbours.show(&status, &context.visits);
        let sample = Sample {
            totals: context.read(|state| state.totals()).await?,
            peers: status.peers.len(),
        };
        context.metrics.show(context, &sample);
        let sample = Arc::new(sample);
        *last = Some((Instant::now(), sample.clone()));
        Ok(sample)
    }
}

impl Metrics {
    fn show(&self, context: &Context, sample: &Sample) {
        let state = &self.state;
        state.messages.set(signed(sample.totals.messages));
        state.pending.set(signed(sample.totals.pending_messages));
        state.file_pins.set(signed(sample.totals.file_pins));
        state.peers.set(signed(sample.peers as u64));
        self.show_streams(&context.streams.counters);
        state.uptime.set(self.started.elapsed().as_secs_f64());
        let queues = context.pipeline.queues();
        for (queue, waiting, most) in [
            ("intake", queues.intake, INTAKE_QUEUE),
            ("writer", queues.writer, WRITER_QUEUE),
        ] {
            state
                .queues
                .with_label_values(&[queue])
                .set(signed(waiting as u64));
            state
                .queues_max
                .with_label_values(&[queue])
                .set(signed(most as u64));
        }
        let room = queues.room_kib.min(IN_FLIGHT_KIB) as u64;
        state.room_bytes.set(signed(room * 1024));
        self.show_files(&context.config.database_path());
        if let Some(bytes) = disk_free_bytes(&context.config.folder) {
            state.disk_free_bytes.set(signed(bytes));
        }
        self.show_connections();
    }

    fn show_streams(&self, counters: &StreamCounters) {
        for (stream, open) in [
            ("messages", read(&counters.messages_active)),
            ("status", read(&counters.status_active)),
        ] {
            self.state
                .streams
                .with_label_values(&[stream])
                .set(signed(open));
        }
        for (name, count) in counters.own() {
            if let Some(counter) = self.state.streams_own.get(name) {
                follow(counter, count);
            }
        }
        for (stream, count) in [
            ("messages", read(&counters.messages_rejected)),
            ("status", read(&counters.status_rejected)),
        ] {
            follow(
                &self.state.streams_rejected.with_label_values(&[stream]),
                count,
            );
        }
    }

    fn show_files(&self, database: &Path) {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        for (name, path) in [("main", database), ("log", Path::new(&log))] {
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            self.state
                .database_bytes
                .with_label_values(&[name])
                .set(signed(bytes));
        }
    }

    fn show_connections(&self) {
        let counts = self.connections.counts();
        self.state.connections.set(signed(counts.open));
        for (event, count) in [
            ("accepted", counts.accepted),
            ("accept_failed", counts.accept_failures),
            ("refused_full", counts.refused_full),
            ("refused_client", counts.refused_client),
            ("cut_slow_head", counts.cut_head),
            ("cut_slow_reader", counts.cut_write),
        ] {
            follow(
                &self.state.connections_total.with_label_values(&[event]),
                count,
            );
        }
    }
}

/// Room for this process on the disk of a folder, in bytes.
pub fn disk_free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
