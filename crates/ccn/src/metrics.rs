//! Everything that a core node counts, declared in one place.
//!
//! ```text
//!  pipeline, jobs, fetches, gossip, HTTP ──count──▶ Metrics ◀──looked at when somebody asks── sample
//!                                                    │
//!                              GET /metrics: upstream's names first, then these
//! ```
//!
//! Names are `beth_ccn_<noun>_<unit>`; counters end in `_total`. What can be
//! looked at (queues, files, the database) is not counted but sampled, at most
//! once a second. Counting costs some atomic additions, never a lock that
//! others hold for long.

pub mod contents;
mod declare;
pub mod sample;
pub mod upstream;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use beth_http::Stats;
use beth_store::rows::Outcome;
use declare::Declare;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Registry, TextEncoder,
};

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Seconds of a request or of a transaction: from a look-up to an upload.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Messages of a transaction.
const BATCHES: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 4_000.0,
];

/// Every metric of a node.
pub struct Metrics {
    registry: Registry,
    names: Vec<String>,
    /// The HTTP interface.
    pub http: Http,
    /// The way of messages.
    pub pipeline: Pipeline,
    /// Background work, fetches, gossip.
    pub work: Work,
    /// Contents from and for other nodes.
    pub contents: contents::Contents,
    /// What is looked at when somebody asks.
    pub state: Sampled,
    /// Connections, counted by the server.
    pub connections: Arc<Stats>,
    /// What the reference node has.
    pub reference: Reference,
    /// When this process began to serve.
    pub started: Instant,
    /// When something was committed last, in milliseconds after `started`.
    pub last_commit: AtomicU64,
}

/// The HTTP interface.
pub struct Http {
    /// By route, method and class of the status.
    pub requests: IntCounterVec,
    /// By route.
    pub seconds: HistogramVec,
    /// Now.
    pub in_flight: IntGauge,
    /// Bytes of bodies, by direction.
    pub body_bytes: IntCounterVec,
    /// Refused with 429, by kind.
    pub rate_limited: IntCounterVec,
    /// Handlers that panicked.
    pub panics: IntCounter,
}

/// The way of messages, stage by stage.
pub struct Pipeline {
    /// At the entrance, by source.
    pub received: IntCounterVec,
    /// After the verifiers, by verdict.
    pub verified: IntCounterVec,
    /// Time of a verifier for one message.
    pub verify_seconds: Histogram,
    /// After the commit, by outcome.
    pub settled: IntCounterVec,
    /// Refused for good, by code.
    pub rejected: IntCounterVec,
    /// Messages of one transaction.
    pub batch_messages: Histogram,
    /// Time of one transaction.
    pub commit_seconds: Histogram,
    /// Transactions that failed.
    pub commit_failures: IntCounter,
}

/// Background work, fetches, gossip.
pub struct Work {
    /// Runs of jobs, by job and outcome.
    pub jobs: IntCounterVec,
    /// Time of the last run of a job.
    pub job_seconds: GaugeVec,
    /// Contents fetched from other nodes, by naming and outcome.
    pub fetches: IntCounterVec,
    /// Time spent on it, by naming.
    pub fetch_seconds: CounterVec,
    /// Payloads heard, by what became of them.
    pub gossip_received: IntCounterVec,
    /// Payloads published, by outcome.
    pub gossip_published: IntCounterVec,
}

/// What is looked at.
pub struct Sampled {
    pub(crate) connections: IntGauge,
    pub(crate) connections_total: IntCounterVec,
    pub(crate) messages: IntGauge,
    pub(crate) pending: IntGauge,
    pub(crate) file_pins: IntGauge,
    pub(crate) queues: IntGaugeVec,
    pub(crate) queues_max: IntGaugeVec,
    pub(crate) room_bytes: IntGauge,
    pub(crate) peers: IntGauge,
    pub(crate) streams: IntGaugeVec,
    pub(crate) streams_own: HashMap<&'static str, IntCounter>,
    pub(crate) streams_rejected: IntCounterVec,
    pub(crate) database_bytes: IntGaugeVec,
    pub(crate) disk_free_bytes: IntGauge,
    pub(crate) uptime: Gauge,
}

/// What the reference node has, as far as it told.
#[derive(Debug)]
pub struct Reference(AtomicI64);

impl Reference {
    /// Its messages; `None` until it told.
    pub fn messages(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|count| *count >= 0)
    }

    /// It told.
    pub fn set_messages(&self, count: Option<u64>) {
        let count = count.and_then(|count| i64::try_from(count).ok());
        self.0.store(count.unwrap_or(-1), Ordering::Relaxed);
    }
}

impl Metrics {
    /// Declares every metric, all of them 0.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let declare = Declare::new(&registry);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        declare
            .gauges(
                "beth_ccn_build_info",
                "Version of this program; always 1",
                &["version"],
            )?
            .with_label_values(&[VERSION])
            .set(1);
        Ok(Metrics {
            http: Http::declare(&declare)?,
            pipeline: Pipeline::declare(&declare)?,
            work: Work::declare(&declare)?,
            contents: contents::Contents::declare(&declare)?,
            state: Sampled::declare(&declare)?,
            connections: Arc::default(),
            reference: Reference(AtomicI64::new(-1)),
            started: Instant::now(),
            last_commit: AtomicU64::new(0),
            names: declare.names(),
            registry,
        })
    }

    /// A transaction of messages ended.
    pub(crate) fn committed(&self, messages: usize, is_kept: bool) {
        if !is_kept {
            self.pipeline.commit_failures.inc();
            return;
        }
        self.pipeline.batch_messages.observe(messages as f64);
        let now = self.started.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.last_commit.store(now, Ordering::Relaxed);
    }

    /// A message was committed; `None` when nothing was decided about it.
    pub(crate) fn settled(&self, outcome: Option<&Outcome>) {
        let word = match outcome {
            Some(Outcome::Processed) => "processed",
            Some(Outcome::Pending(_)) => "pending",
            Some(Outcome::Known) => "known",
            Some(Outcome::Final(_)) => "final",
            Some(Outcome::Rejected(rejection)) => {
                let code = rejection.code.number().to_string();
                self.pipeline.rejected.with_label_values(&[&code]).inc();
                "rejected"
            }
            None => "undecided",
        };
        self.pipeline.settled.with_label_values(&[word]).inc();
    }

    /// The name of each metric of ours, shown or not: one with labels is shown
    /// once something was counted.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// All of them in Prometheus' text format; sampled ones as of the last
    /// sample.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Http {
    fn declare(declare: &Declare<'_>) -> Result<Http, prometheus::Error> {
        Ok(Http {
            requests: declare.counters(
                "beth_ccn_http_requests_total",
                "Requests answered",
                &["route", "method", "status"],
            )?,
            seconds: declare.histograms(
                "beth_ccn_http_request_duration_seconds",
                "Time from the head of a request to the head of its answer",
                &["route"],
            )?,
            in_flight: declare.gauge(
                "beth_ccn_http_requests_in_flight",
                "Requests that are being answered",
            )?,
            body_bytes: declare.counters(
                "beth_ccn_http_body_bytes_total",
                "Bytes of request bodies read and answer bodies written",
                &["direction"],
            )?,
            rate_limited: declare.counters(
                "beth_ccn_http_rate_limited_total",
                "Requests refused with 429",
                &["kind"],
            )?,
            panics: declare.counter(
                "beth_ccn_http_panics_total",
                "Requests whose handler panicked",
            )?,
        })
    }
}

impl Pipeline {
    fn declare(declare: &Declare<'_>) -> Result<Pipeline, prometheus::Error> {
        Ok(Pipeline {
            received: declare.counters(
                "beth_ccn_messages_received_total",
                "Copies of messages that entered the pipeline",
                &["source"],
            )?,
            verified: declare.counters(
                "beth_ccn_messages_verified_total",
                "Copies of messages that left a verifier",
                &["verdict"],
            )?,
            verify_seconds: declare.histogram(
                "beth_ccn_message_verify_duration_seconds",
                "Time of a verifier for one message",
                SECONDS,
            )?,
            settled: declare.counters(
                "beth_ccn_messages_settled_total",
                "Messages judged and committed",
                &["outcome"],
            )?,
            rejected: declare.counters(
                "beth_ccn_messages_rejected_total",
                "Messages refused, by the code of the refusal",
                &["code"],
            )?,
            batch_messages: declare.histogram(
                "beth_ccn_batch_messages",
                "Messages of one transaction",
                BATCHES,
            )?,
            commit_seconds: declare.histogram(
                "beth_ccn_commit_duration_seconds",
                "Time of one transaction of messages",
                SECONDS,
            )?,
            commit_failures: declare.counter(
                "beth_ccn_commit_failures_total",
                "Transactions of messages that failed",
            )?,
        })
    }
}

impl Work {
    fn declare(declare: &Declare<'_>) -> Result<Work, prometheus::Error> {
        let work = Work {
            jobs: declare.counters(
                "beth_ccn_job_runs_total",
                "Runs of background work",
                &["job", "outcome"],
            )?,
            job_seconds: declare.float_gauges(
                "beth_ccn_job_duration_seconds",
                "Time of the last run of background work",
                &["job"],
            )?,
            fetches: declare.counters(
                "beth_ccn_fetches_total",
                "Contents asked from other nodes",
                &["naming", "outcome"],
            )?,
            fetch_seconds: declare.float_counters(
                "beth_ccn_fetch_seconds_total",
                "Time spent on fetching contents",
                &["naming"],
            )?,
            gossip_received: declare.counters(
                "beth_ccn_gossip_received_total",
                "Payloads heard from other nodes",
                &["outcome"],
            )?,
            gossip_published: declare.counters(
                "beth_ccn_gossip_published_total",
                "Payloads published to other nodes",
                &["outcome"],
            )?,
        };
        // Readers expect these before the first fetch.
        for naming in ["ipfs", "storage"] {
            for outcome in ["done", "failed"] {
                work.fetches.with_label_values(&[naming, outcome]).inc_by(0);
            }
            work.fetch_seconds.with_label_values(&[naming]).inc_by(0.0);
        }
        Ok(work)
    }
}

impl Sampled {
    fn declare(declare: &Declare<'_>) -> Result<Sampled, prometheus::Error> {
        Ok(Sampled {
            connections: declare.gauge("beth_ccn_http_connections", "Connections open")?,
            connections_total: declare.counters(
                "beth_ccn_http_connections_total",
                "Connections by what happened to them",
                &["event"],
            )?,
            messages: declare
                .gauge("beth_ccn_messages", "Messages known, whatever their status")?,
            pending: declare.gauge(
                "beth_ccn_messages_pending",
                "Messages that wait for something",
            )?,
            file_pins: declare.gauge("beth_ccn_file_pins", "Reasons to keep a file")?,
            queues: declare.gauges("beth_ccn_queue_messages", "Messages in a queue", &["queue"])?,
            queues_max: declare.gauges(
                "beth_ccn_queue_messages_max",
                "Messages that a queue holds at most",
                &["queue"],
            )?,
            room_bytes: declare.gauge(
                "beth_ccn_pipeline_room_bytes",
                "Room left for messages between the entrance and the commit",
            )?,
            peers: declare.gauge("beth_ccn_gossip_peers", "Peers connected")?,
            streams: declare.gauges("beth_ccn_streams", "WebSockets open", &["stream"])?,
            streams_rejected: declare.counters(
                "beth_ccn_streams_rejected_total",
                "WebSockets turned away because there were too many",
                &["stream"],
            )?,
            streams_own: streams(declare)?,
            database_bytes: declare.gauges(
                "beth_ccn_database_bytes",
                "Size of the files of the database",
                &["file"],
            )?,
            disk_free_bytes: declare.gauge(
                "beth_ccn_disk_free_bytes",
                "Room left on the disk of this node's folder",
            )?,
            uptime: declare.float_gauge("beth_ccn_uptime_seconds", "Time since the start")?,
        })
    }
}

/// What streams count by themselves, under the names that they use.
fn streams(declare: &Declare<'_>) -> Result<HashMap<&'static str, IntCounter>, prometheus::Error> {
    [
        (
            "beth_ccn_stream_frames_total",
            "Frames handed to the queues of clients",
        ),
        (
            "beth_ccn_stream_sent_bytes_total",
            "Bytes of frames written to sockets",
        ),
        (
            "beth_ccn_stream_dropped_slow_total",
            "Clients cut off because they read too slowly",
        ),
        (
            "beth_ccn_stream_dropped_silent_total",
            "Clients cut off because they did not answer a ping",
        ),
        (
            "beth_ccn_stream_gaps_total",
            "Times that everybody had to begin again",
        ),
    ]
    .into_iter()
    .map(|(name, help)| Ok((name, declare.counter(name, help)?)))
    .collect()
}

/// Reads an atomic counter kept elsewhere.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Makes a counter show what is counted elsewhere.
pub(crate) fn follow(counter: &IntCounter, count: u64) {
    counter.reset();
    counter.inc_by(count);
}
