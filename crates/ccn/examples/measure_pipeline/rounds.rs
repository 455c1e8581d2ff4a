//! With more and more messages stored, rounds of new ones: what a message costs
//! in processor time of the whole process (submitting and parsing included),
//! messages a second, peak memory; beside it the processor time of one bare
//! recovery of a public key, and the ratio of the two. Then the same messages
//! again: what a duplicate costs.

use beth_ccn::{CcnConfig, node};
use beth_sdk::workload::Profile;

use crate::Options;
use crate::feed::{Chunk, Feed, Lines, Tally};
use crate::meter::{Meter, recovery_micros};
use crate::table::{self, Row};

const LEVELS: [u64; 4] = [10_000, 100_000, 1_000_000, 3_000_000];
const ROUNDS: usize = 5;
/// Messages read at once while levels are reached.
const CHUNK: usize = 20_000;

pub async fn measure(mut options: Options) {
    if options.levels.is_empty() {
        let count = if options.is_full { 4 } else { 3 };
        options.levels.extend(&LEVELS[..count]);
    }
    let deepest = options.levels.iter().max().copied().unwrap_or_default();
    let path = options.messages(deepest + (ROUNDS * round_of(deepest)) as u64);
    let mut lines = Lines::open(&path);
    let data = options.scratch();
    let context = node::offline(CcnConfig::in_folder(data.path())).unwrap();
    // What refers to others stays in order.
    let tasks = if options.profile == Profile::Posts {
        2
    } else {
        1
    };
    let feed = Feed::new(context.pipeline.clone(), options.in_flight, tasks);
    table::begin();
    let mut stored = 0;
    for level in options.levels {
        stored += fill(&feed, &mut lines, level - stored.min(level)).await;
        let mut rounds = Vec::new();
        let mut last = lines.take(0);
        for _ in 0..ROUNDS {
            last = lines.take(round_of(level));
            let (row, tally) = round(&feed, &last).await;
            tally.expect_processed();
            stored += tally.count;
            rounds.push(row);
        }
        table::row(level, "new", &rounds);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let (row, tally) = round(&feed, &last).await;
            tally.expect_known();
            rounds.push(row);
        }
        table::row(level, "duplicate", &rounds);
    }
    table::end(data.path());
}

/// Submits so many messages; answers with their number.
pub async fn fill(feed: &Feed, lines: &mut Lines, count: u64) -> u64 {
    let mut filled = 0;
    while filled < count {
        let chunk = lines.take(CHUNK.min((count - filled) as usize));
        let tally = feed.submit(&chunk).await;
        tally.expect_processed();
        filled += tally.count;
    }
    filled
}

/// One round: what it cost beside what a recovery costs now.
async fn round(feed: &Feed, lines: &Chunk) -> (Row, Tally) {
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
