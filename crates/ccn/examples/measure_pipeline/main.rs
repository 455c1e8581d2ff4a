//! Measures the pipeline of a core node:
//! `cargo run --release -p beth-ccn --example measure_pipeline -- --help`.
//!
//! ```text
//!  file of signed messages ─▶ lines ─▶ submitting tasks ─▶ Pipeline ─▶ processed and durable
//!                                      parse, offer        (no HTTP)
//! ```
//!
//! With more and more messages stored it submits rounds of new ones and says
//! what a message costs: processor time of the whole process (submitting and
//! parsing included), messages a second, peak memory; beside it the processor
//! time of one bare recovery of a public key, and the ratio of the two.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod feed;
mod meter;
mod table;

use std::path::PathBuf;

use beth_ccn::{CcnConfig, node};
use beth_sdk::workload::{Profile, Workload};

use feed::{Feed, Lines, Tally};
use meter::{Meter, recovery_micros};
use table::{Row, Table};

const LEVELS: [u64; 4] = [10_000, 100_000, 1_000_000, 3_000_000];
const ROUNDS: usize = 5;
/// Messages submitted between two looks at the clock while levels are reached.
const CHUNK: usize = 20_000;
const USAGE: &str = "\
measure_pipeline [--level N]… [--full] [--in-flight N] [--network] [--folder DIR]
  --level N      measure with N messages stored (default: 10000, 100000, 1000000)
  --full         the default levels and 3000000
  --in-flight N  submissions that wait for their outcome at once (default 2048)
  --network      amends, aggregates and forgets among the posts
  --folder DIR   where the node and the messages are kept (default: the target folder)";

struct Options {
    levels: Vec<u64>,
    in_flight: usize,
    profile: Profile,
    folder: PathBuf,
}

#[tokio::main]
async fn main() {
    let Some(options) = options(std::env::args().skip(1)) else {
        println!("{USAGE}");
        return;
    };
    measure(options).await;
}

async fn measure(options: Options) {
    let deepest = options.levels.iter().max().copied().unwrap_or_default();
    let count = deepest + (ROUNDS * round_of(deepest)) as u64;
    println!(
        "{count} messages of {} accounts: making them, unless they are there …",
        beth_sdk::workload::SENDERS
    );
    let workload = Workload::new(options.profile, 1);
    let path = workload
        .cached(&options.folder.join("workload"), count)
        .unwrap();
    let mut lines = Lines::open(&path);

    std::fs::create_dir_all(options.folder.join("bench")).unwrap();
    let data = tempfile::tempdir_in(options.folder.join("bench")).unwrap();
    let context = node::offline(CcnConfig::in_folder(data.path())).unwrap();
    // What refers to others stays in order.
    let tasks = if options.profile == Profile::Posts {
        2
    } else {
        1
    };
    let feed = Feed::new(context.pipeline.clone(), options.in_flight, tasks);

    let mut table = Table::begin();
    let mut stored = 0;
    for level in options.levels {
        while stored < level {
            let chunk = lines.take(CHUNK.min((level - stored) as usize));
            let tally = feed.submit(&chunk).await;
            tally.expect_processed();
            stored += tally.count;
        }
        let mut rounds = Vec::new();
        let mut last = lines.take(0);
        for _ in 0..ROUNDS {
            last = lines.take(round_of(level));
            let (row, tally) = round(&feed, &last).await;
            tally.expect_processed();
            stored += tally.count;
            rounds.push(row);
        }
        table.row(level, "new", &rounds);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let (row, tally) = round(&feed, &last).await;
            tally.expect_known();
            rounds.push(row);
        }
        table.row(level, "duplicate", &rounds);
    }
    table.end(data.path());
}

/// One round: what it cost beside what a recovery costs now.
async fn round(feed: &Feed, lines: &feed::Chunk) -> (Row, Tally) {
    let meter = Meter::start();
    let tally = feed.submit(lines).await;
    let cost = meter.stop(tally.count);
    let row = Row {
        cost,
        recovery_micros: recovery_micros(lines),
    };
    (row, tally)
}

fn round_of(level: u64) -> usize {
    (level as usize / 10).clamp(2_000, 20_000)
}

fn options(mut words: impl Iterator<Item = String>) -> Option<Options> {
    // target/release/examples/measure_pipeline
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
    let mut options = Options {
        levels: Vec::new(),
        in_flight: 2_048,
        profile: Profile::Posts,
        folder: target,
    };
    let mut is_full = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--level" => options.levels.push(words.next()?.parse().ok()?),
            "--full" => is_full = true,
            "--in-flight" => options.in_flight = words.next()?.parse().ok()?,
            "--network" => options.profile = Profile::Network,
            "--folder" => options.folder = words.next()?.into(),
            _ => return None,
        }
    }
    if options.levels.is_empty() {
        let count = if is_full { 4 } else { 3 };
        options.levels.extend(&LEVELS[..count]);
    }
    options.levels.sort_unstable();
    Some(options)
}
