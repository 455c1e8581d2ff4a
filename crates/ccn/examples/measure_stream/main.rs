//! Measures the stream of messages: many WebSockets with different filters,
//! a steady rate of new messages, and how long each takes to everybody who
//! wants it. `cargo run --release -p beth-ccn --example measure_stream`.
//!
//! ```text
//!  messages ─POST─▶ node (a process of its own) ─▶ 1,000 sockets ─▶ counted, timed
//! ```
//!
//! A message's time runs from the moment at which it was due to be sent, so a
//! node that makes submitters wait gains nothing by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod messages;
mod node;
mod submitter;
mod subscribers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use messages::Messages;
use node::Served;
use subscribers::{Heard, Wanted};

const USAGE: &str = "\
measure_stream [--subscribers N] [--rate N] [--seconds N] [--slow N] [--everything]
  --subscribers N  WebSockets (default 1000)
  --rate N         messages a second (default 500)
  --seconds N      for how long (default 20)
  --slow N         further WebSockets that want everything and never read (default 0)
  --everything     nobody filters";

/// What was asked for.
struct Options {
    subscribers: usize,
    rate: u32,
    seconds: u32,
    slow: usize,
    everything: bool,
}

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "serve").is_some() {
        return node::serve().await;
    }
    match Options::read(words) {
        Some(options) => measure(options).await,
        None => println!("{USAGE}"),
    }
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Options> {
        let mut options = Options {
            subscribers: 1_000,
            rate: 500,
            seconds: 20,
            slow: 0,
            everything: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--subscribers" => options.subscribers = words.next()?.parse().ok()?,
                "--rate" => options.rate = words.next()?.parse().ok()?,
                "--seconds" => options.seconds = words.next()?.parse().ok()?,
                "--slow" => options.slow = words.next()?.parse().ok()?,
                "--everything" => options.everything = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

async fn measure(options: Options) {
    let messages = Arc::new(Messages::sign(options.rate, options.seconds));
    let served = Served::start().await;
    let mut slow = Vec::new();
    for _ in 0..options.slow {
        slow.push(subscribers::deaf(&served.address).await);
    }
    let mut tasks = Vec::new();
    let mut expected = 0;
    for number in 0..options.subscribers {
        let wanted = if options.everything {
            Wanted::everything()
        } else {
            Wanted::of(number, &messages)
        };
        let count = messages.all().filter(|said| wanted.matches(said)).count();
        expected += count;
        let socket = wanted.open(&served.address).await;
        tasks.push(tokio::spawn(subscribers::hear(
            socket,
            count,
            messages.clone(),
        )));
    }
    let begun = Instant::now() + Duration::from_millis(200);
    messages.begin(begun);
    let cpu = node::process_cpu();
    submitter::submit(&served.address, &messages).await;
    let (mut delivered, mut others, mut times) = (0, 0, Vec::new());
    for task in tasks {
        let heard: Heard = task.await.unwrap();
        delivered += heard.times.len();
        others += heard.others;
        times.extend(heard.times);
    }
    let clients = node::process_cpu() - cpu;
    let said = served.end().await;
    drop(slow);
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len().saturating_sub(1) as f64 * share) as usize;
        times
            .get(index)
            .map_or(f64::NAN, |micros| f64::from(*micros) / 1e3)
    };
    println!(
        "| subscribers | messages/s | frames/s | delivered | p50 ms | p99 ms | p99.9 ms | slowest ms | slow readers cut off | node: CPU s, peak MiB | clients: CPU s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {}{} | {} | {:.0} | {delivered} of {expected} | {:.2} | {:.2} | {:.2} | {:.2} | {} of {} | {:.1}, {:.0} | {:.1} |",
        options.subscribers,
        if options.everything {
            ", no filters"
        } else {
            ""
        },
        options.rate,
        expected as f64 / f64::from(options.seconds),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        said["dropped_slow"],
        options.slow,
        said["cpu_seconds"].as_f64().unwrap(),
        said["peak_mib"].as_f64().unwrap(),
        clients.as_secs_f64(),
    );
    assert_eq!(others, 0, "frames that nobody asked for");
    assert_eq!(delivered, expected, "frames that did not come");
}
