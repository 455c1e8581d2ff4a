//! Measures reading from a core node: lists by every filter and every two of
//! them, pages far away, single messages and aggregates; in process through the
//! router, then over HTTP with one processor for the node and one for the
//! clients. `cargo run --release -p beth-ccn --example measure_api -- --help`.
//!
//! ```text
//!  messages ─ import, once ─▶ folder ─┬─▶ router, one request after the other   (inside)
//!                                     └─▶ node on core 0 ◀─ HTTP ─ clients on core 1   (outside)
//! ```
//!
//! The node and the clients of the second part are processes of their own: this
//! program again, with another word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod asker;
mod clients;
mod folder;
mod inside;
mod outside;
mod questions;
mod times;

use std::future::Future;
use std::path::PathBuf;

use rustix::thread::{CpuSet, sched_setaffinity};

const USAGE: &str = "\
measure_api [--messages N] [--samples N] [--seconds N] [--connections N] [--only inside|outside]
  --messages N     stored messages (default 1000000); the folder is filled once and kept
  --samples N      requests for each combination of values (default 60)
  --seconds N      of each measurement over HTTP (default 8)
  --connections N  over HTTP (default 16)
  --only PART      inside: in process; outside: over HTTP
  --folder DIR     where nodes and messages are kept (default: the target folder)";

/// What was asked for.
struct Options {
    messages: u64,
    samples: usize,
    seconds: u64,
    connections: usize,
    only: Option<String>,
    folder: PathBuf,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("serve") => {
            pin(0);
            run(outside::serve(&words[1]));
        }
        Some("ask") => {
            pin(1);
            run(clients::run(&words[1..]));
        }
        _ => match Options::read(words.into_iter()) {
            Some(options) => run(measure(options)),
            None => println!("{USAGE}"),
        },
    }
}

async fn measure(options: Options) {
    let node = folder::filled(&options).await;
    let asker = asker::Asker::open(&node);
    let questions = questions::Questions::new(options.messages);
    let found = asker.find(&questions).await;
    let is_wanted = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    if is_wanted("inside") {
        inside::measure(&asker, &questions, &found, options.samples).await;
    }
    // The lock of the folder goes to the process of the node.
    drop(asker);
    if is_wanted("outside") {
        outside::measure(&options, &node, &questions, &found).await;
    }
}

fn run(work: impl Future<Output = ()>) {
    // As many threads as this process has processors.
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

/// Threads started from now on run on this processor alone.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).unwrap();
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Options> {
        // target/release/examples/measure_api
        let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
        let mut options = Options {
            messages: 1_000_000,
            samples: 60,
            seconds: 8,
            connections: 16,
            only: None,
            folder: target,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--messages" => options.messages = words.next()?.parse().ok()?,
                "--samples" => options.samples = words.next()?.parse().ok()?,
                "--seconds" => options.seconds = words.next()?.parse().ok()?,
                "--connections" => options.connections = words.next()?.parse().ok()?,
                "--only" => options.only = Some(words.next()?),
                "--folder" => options.folder = words.next()?.into(),
                _ => return None,
            }
        }
        Some(options)
    }
}
