//! Measures a core node: its pipeline in process, its HTTP API, and imports.
//! `cargo run --release -p beth-ccn --example measure_pipeline -- --help`.
//!
//! ```text
//!  pipeline  lines ─▶ submitting tasks ─▶ Pipeline ─▶ processed and durable     (no HTTP)
//!  http      lines ─▶ another process ─ POST, GET ─▶ node
//!  replay    lines ─▶ import ─▶ node ─ pages ─▶ import ─▶ another node
//!  join      lines ─▶ node ─ reconciliation ─▶ an empty node
//! ```
//!
//! What belongs to the measurement and not to the node (clients, the node that
//! is walked) runs in processes of its own: this program again, with another
//! word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod client;
mod feed;
mod http;
mod join;
mod meter;
mod replay;
mod rounds;
mod table;

use std::path::PathBuf;

use beth_sdk::workload::{Profile, Workload};

const USAGE: &str = "\
measure_pipeline [pipeline] [--level N]… [--full] [--in-flight N] [--network]
measure_pipeline http [--level N] [--rate N] [--seconds N]
measure_pipeline replay [--level N] [--network]
measure_pipeline join [--level N] [--network]

pipeline: what a message costs from its submission in process until it is processed and durable
  --level N      with N messages stored (default: 10000, 100000, 1000000)
  --full         the default levels and 3000000
  --in-flight N  submissions that wait for their outcome at once (default 2048)
  --network      amends, aggregates and forgets among the posts
http: messages a second through POST /api/v0/messages, then the time until they are listed at a steady rate
  --level N      messages stored before (default 100000)
  --rate N       the steady rate, messages a second (default 2500)
  --seconds N    for how long (default 20)
replay: import of N messages from a file, and from another node
  --level N      messages (default 1000000)
join: an empty node meets one that has everything
  --level N      messages (default 100000)
everywhere:
  --folder DIR   where nodes and messages are kept (default: the target folder)";

/// What was asked for.
struct Options {
    levels: Vec<u64>,
    is_full: bool,
    in_flight: usize,
    rate: u32,
    seconds: u32,
    profile: Profile,
    folder: PathBuf,
}

#[tokio::main]
async fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let verb = match words.first() {
        Some(first) if !first.starts_with('-') => words.remove(0),
        _ => "pipeline".to_owned(),
    };
    match verb.as_str() {
        "client" => return client::run(&words).await,
        "serve" => return replay::serve(&words[0]).await,
        _ => {}
    }
    let Some(options) = Options::read(words.into_iter()) else {
        println!("{USAGE}");
        return;
    };
    match verb.as_str() {
        "pipeline" => rounds::measure(options).await,
        "http" => http::measure(options).await,
        "replay" => replay::measure(options).await,
        "join" => join::measure(options).await,
        _ => println!("{USAGE}"),
    }
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Options> {
        // target/release/examples/measure_pipeline
        let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
        let mut options = Options {
            levels: Vec::new(),
            is_full: false,
            in_flight: 2_048,
            rate: 2_500,
            seconds: 20,
            profile: Profile::Posts,
            folder: target,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--level" => options.levels.push(words.next()?.parse().ok()?),
                "--full" => options.is_full = true,
                "--in-flight" => options.in_flight = words.next()?.parse().ok()?,
                "--rate" => options.rate = words.next()?.parse().ok()?,
                "--seconds" => options.seconds = words.next()?.parse().ok()?,
                "--network" => options.profile = Profile::Network,
                "--folder" => options.folder = words.next()?.into(),
                _ => return None,
            }
        }
        options.levels.sort_unstable();
        Some(options)
    }

    fn level_or(&self, usual: u64) -> u64 {
        self.levels.last().copied().unwrap_or(usual)
    }

    /// At least so many messages in a file; made when they are not there yet.
    fn messages(&self, count: u64) -> PathBuf {
        let (workload, folder) = self.workload(count);
        workload.cached_at_least(&folder, count).unwrap()
    }

    /// Exactly so many messages in a file.
    fn dump(&self, count: u64) -> PathBuf {
        let (workload, folder) = self.workload(count);
        workload.cached(&folder, count).unwrap()
    }

    fn workload(&self, count: u64) -> (Workload, PathBuf) {
        let accounts = beth_sdk::workload::SENDERS;
        println!("{count} messages of {accounts} accounts: making them, unless they are there …");
        let folder = self.folder.join("workload");
        (Workload::new(self.profile, 1), folder)
    }

    /// A folder for a node, gone at the end.
    fn scratch(&self) -> tempfile::TempDir {
        let folder = self.folder.join("bench");
        std::fs::create_dir_all(&folder).unwrap();
        tempfile::tempdir_in(folder).unwrap()
    }
}
