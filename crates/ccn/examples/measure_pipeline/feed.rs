//! Submits lines of JSON, many at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use beth_ccn::pipeline::Pipeline;
use beth_store::rows::Outcome;
use futures::StreamExt;

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
    /// For what came too late, by code.
    pub waiting: BTreeMap<i32, u64>,
    pub refused: Vec<Outcome>,
}

impl Tally {
    /// Messages of one task may overtake each other a little.
    pub fn expect_processed(&self) {
        assert!(
            self.refused.is_empty() && self.known == 0,
            "not everything was processed: {self:?}"
        );
        if !self.waiting.is_empty() {
            let (waiting, count) = (&self.waiting, self.count);
            println!("<!-- waiting of {count}, by code: {waiting:?} -->");
        }
    }

    /// Copies of what was submitted before; few of them waited until now.
    pub fn expect_known(&self) {
        let late: u64 = self.waiting.values().sum();
        assert!(
            self.refused.is_empty() && self.known > 9 * (self.processed + late),
            "duplicates were not recognised: {self:?}"
        );
    }

    fn add(&mut self, outcome: Outcome) {
        self.count += 1;
        match outcome {
            Outcome::Processed => self.processed += 1,
            Outcome::Known | Outcome::Final(_) => self.known += 1,
            Outcome::Pending(why) => {
                *self.waiting.entry(why.code.number()).or_default() += 1;
            }
            other => self.refused.push(other),
        }
    }

    fn join(&mut self, other: Tally) {
        self.count += other.count;
        self.processed += other.processed;
        self.known += other.known;
        for (code, count) in other.waiting {
            *self.waiting.entry(code).or_default() += count;
        }
        self.refused.extend(other.refused);
    }
}

/// Submits to one node.
pub struct Feed {
    pipeline: Pipeline,
    in_flight: usize,
    tasks: usize,
}

impl Feed {
    /// With so many tasks that parse and submit.
    pub fn new(pipeline: Pipeline, in_flight: usize, tasks: usize) -> Feed {
        Feed {
            pipeline,
            in_flight,
            tasks,
        }
    }

    /// Parses and submits every line; ends when all have their outcome.
    pub async fn submit(&self, lines: &Chunk) -> Tally {
        let mut tasks = Vec::new();
        let count = self.tasks;
        for task in 0..count {
            let (pipeline, lines) = (self.pipeline.clone(), lines.clone());
            let in_flight = (self.in_flight / count).max(1);
            tasks.push(tokio::spawn(async move {
                let mut outcomes = futures::stream::iter((task..lines.len()).step_by(count))
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
