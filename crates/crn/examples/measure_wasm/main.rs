//! Measures Wasm programs: `cargo run --release -p beth-crn --example measure_wasm [COMPONENT…]`.
//!
//! Everything is real but the core node, which serves files from memory. The
//! parts run in processes of their own, tied to processors by `taskset` where
//! the table says so:
//!
//! * instances, and calls through the executor, on one processor;
//! * calls through HTTP: the node on processor 0, its clients on processor 1;
//! * calls that find nothing prepared, a file compiled, a machine;
//! * 1,000 different functions in one process;
//! * the components given on the command line (Python, JavaScript), as above.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod cold;
mod ground;
mod load;
mod machine;

use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;

const HELLO: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/wasm-hello/function.wat"
);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map(String::as_str);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if word(0) == Some("executor") { 1 } else { 2 })
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match (word(0), word(1)) {
            (Some("executor"), path) => machine::measure(component(path)).await,
            (Some("thousand"), _) => machine::thousand(component(None)).await,
            (Some("node"), path) => load::serve(component(path)).await,
            (Some("clients"), Some(url)) => load::clients(url, word(2) == Some("flood")).await,
            (Some("cold"), path) => cold::measure(component(path)).await,
            (_, _) => everything(&words),
        }
    });
}

fn everything(components: &[String]) {
    let hello = [String::new()];
    for path in hello.iter().chain(components) {
        println!("== {}", if path.is_empty() { "hello" } else { path });
        run(Some(0), &["executor", path]);
        run(None, &["cold", path]);
        load::measure(path);
    }
    println!("== 1,000 functions");
    run(None, &["thousand"]);
}

/// This program again, on one processor or on all.
fn again(processor: Option<u32>, words: &[&str]) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut command = match processor {
        Some(processor) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &processor.to_string()]).arg(own);
            command
        }
        None => Command::new(own),
    };
    command.args(words.iter().filter(|word| !word.is_empty()));
    command
}

fn run(processor: Option<u32>, words: &[&str]) {
    let mut command = again(processor, words);
    assert!(command.stdin(Stdio::null()).status().unwrap().success());
}

fn component(path: Option<&str>) -> Bytes {
    match path {
        Some(path) => std::fs::read(path).unwrap().into(),
        None => wat::parse_file(HELLO).unwrap().into(),
    }
}

fn account() -> beth_protocol::Account {
    beth_protocol::Account::ethereum(&"22".repeat(32)).unwrap()
}

/// What a process has had of the processors, in steps of 10 ms.
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Its name is in brackets and may have spaces; user and system follow later.
    let after = stat.rsplit_once(')').unwrap().1;
    let ticks = after.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Prints the median, the fastest, the 99th of a hundred and the slowest.
fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| {
        let time = times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
        match time < 1e-3 {
            true => format!("{:.1} µs", time * 1e6),
            false => format!("{:.2} ms", time * 1e3),
        }
    };
    println!(
        "{what}: p50 {}, fastest {}, p99 {}, slowest {}",
        at(0.5),
        at(0.0),
        at(0.99),
        at(1.0)
    );
}
