//! Submits lines of JSON, many at once.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use beth_ccn::pipeline::Pipeline;
use beth_store::rows::Outcome;
use futures::StreamExt;

/// Tasks that parse and submit.
const TASKS: usize = 2;

/// Lines of messages.
pub type Chunk = Arc<Vec<Vec<u8>>>;

/// The messages of a file, in order.
pub struct Lines(BufReader<File>);

impl Lines {
    pub fn open(path: &Path) -> Lines {
        Lines(BufReader::new(File::open(path).unwrap()))
    }

    /// The next so many lines; fewer at the end.
    pub fn take(&mut self, count: usize) -> Chunk {
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            let mut line = Vec::new();
            if self.0.read_until(b'\n', &mut line).unwrap() == 0 {
                break;
            }
            lines.push(line);
        }
        Arc::new(lines)
    }
}

/// How submissions ended.
#[derive(Debug, Default)]
pub struct Tally {
    pub count: u64,
    pub processed: u64,
    pub known: u64,
    pub other: Vec<Outcome>,
}

impl Tally {
    pub fn expect_all_processed(&self) {
        assert_eq!(
            self.processed,
            self.count,
            "not everything was processed: {:?}",
            self.other.first()
        );
    }

    fn add(&mut self, outcome: Outcome) {
        self.count += 1;
        match outcome {
            Outcome::Processed => self.processed += 1,
            Outcome::Known => self.known += 1,
            other => self.other.push(other),
        }
    }

    fn join(&mut self, other: Tally) {
        self.count += other.count;
        self.processed += other.processed;
        self.known += other.known;
        self.other.extend(other.other);
    }
}

/// Submits to one node.
pub struct Feed {
    pipeline: Pipeline,
    in_flight: usize,
}

impl Feed {
    pub fn new(pipeline: Pipeline, in_flight: usize) -> Feed {
        Feed {
            pipeline,
            in_flight,
        }
    }

    /// Parses and submits every line; ends when all have their outcome.
    pub async fn submit(&self, lines: &Chunk) -> Tally {
        let mut tasks = Vec::new();
        for task in 0..TASKS {
            let (pipeline, lines) = (self.pipeline.clone(), lines.clone());
            let in_flight = (self.in_flight / TASKS).max(1);
            tasks.push(tokio::spawn(async move {
                let mut outcomes = futures::stream::iter((task..lines.len()).step_by(TASKS))
                    .map(|index| {
                        let raw = serde_json::from_slice(&lines[index]).unwrap();
                        pipeline.offer(raw)
                    })
                    .buffer_unordered(in_flight);
                let mut tally = Tally::default();
                while let Some(outcome) = outcomes.next().await {
                    tally.add(outcome.unwrap());
                }
                tally
            }));
        }
        let mut tally = Tally::default();
        for task in tasks {
            tally.join(task.await.unwrap());
        }
        tally
    }
}
