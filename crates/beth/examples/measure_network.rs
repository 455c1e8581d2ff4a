//! Measures a local network as a person meets it: start, size, idleness, and
//! how soon a message accepted at one core node is visible at the other.
//!
//! `cargo run --release -p beth --example measure_network`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beth_protocol::{Account, ItemHash, MessageType};
use beth_sdk::Client;
use beth_sdk::client::messages::{MessageFilter, Wait};
use futures::StreamExt;
use serde_json::{Value, json};

const MESSAGES: usize = 500;
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    let binary = std::env::current_exe().unwrap().with_file_name("beth");
    let binary = binary.parent().unwrap().parent().unwrap().join("beth");
    println!(
        "binary                         {:8.1} MB",
        std::fs::metadata(&binary).unwrap().len() as f64 / 1e6
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    let (child, _, first) = start(&binary, &path);
    println!(
        "first start, ready after       {:8.0} ms",
        first.as_secs_f64() * 1e3
    );
    stop(child);
    let mut starts: Vec<f64> = Vec::new();
    for _ in 0..4 {
        let (child, _, took) = start(&binary, &path);
        starts.push(took.as_secs_f64() * 1e3);
        stop(child);
    }
    let (child, said, took) = start(&binary, &path);
    starts.push(took.as_secs_f64() * 1e3);
    starts.sort_by(f64::total_cmp);
    println!(
        "next start, ready after        {:8.0} ms (median of 5, {:.0}–{:.0})",
        starts[2], starts[0], starts[4]
    );

    let tree = tree(child.id());
    let before = cpu_ticks(&tree);
    std::thread::sleep(IDLE);
    let ticks = cpu_ticks(&tree) - before;
    let memory: f64 = tree.iter().map(|pid| memory_mb(*pid)).sum();
    println!(
        "idle, {} processes: memory      {memory:8.1} MB (sum of proportional set sizes)",
        tree.len()
    );
    println!(
        "idle CPU over {} s             {:8.2} % of a core",
        IDLE.as_secs(),
        ticks as f64 / IDLE.as_secs_f64()
    );

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut delays = runtime.block_on(visibility(&said));
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    println!(
        "accepted here → visible there  {:8.2} ms p50, {:.2} ms p95, {:.2} ms p99, {:.2} ms max ({} messages)",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        delays.len()
    );
    stop(child);
}

fn start(binary: &Path, folder: &Path) -> (Child, Value, Duration) {
    let began = Instant::now();
    let mut child = Command::new(binary)
        .args(["up", "--json", "--port-base", "0", "--dir"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let took = began.elapsed();
    // The pipe stays open: nobody may get a broken one.
    std::mem::forget(output);
    (
        child,
        serde_json::from_str(&line).expect("`beth up` did not start"),
        took,
    )
}

fn stop(mut child: Child) {
    Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// A process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            parents.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut index = 0;
    while index < found.len() {
        found.extend(parents.get(&found[index]).into_iter().flatten());
        index += 1;
    }
    found
}

/// User and system time in hundredths of a second.
fn cpu_ticks(tree: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest: Vec<u64> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(|n| n.parse().unwrap_or(0))
            .collect();
        rest.get(11).unwrap_or(&0) + rest.get(12).unwrap_or(&0)
    };
    tree.iter().map(of).sum()
}

fn memory_mb(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .unwrap_or("Pss: 0 kB");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1024.0
}

/// From the answer of the first node to the frame at the second, in ms.
async fn visibility(said: &Value) -> Vec<f64> {
    let url = |index: usize| {
        said["core_nodes"][index]["url"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let account = Account::ethereum(said["accounts"][0]["private_key"].as_str().unwrap()).unwrap();
    let (here, there) = (Client::new(&url(0)).unwrap(), Client::new(&url(1)).unwrap());
    let filter = MessageFilter {
        channels: vec!["MEASURE".into()],
        ..MessageFilter::default()
    };
    let mut frames = Box::pin(there.watch(filter, 0).await.unwrap());
    let (send, mut arrived) = tokio::sync::mpsc::unbounded_channel::<(ItemHash, Instant)>();
    let reader = tokio::spawn(async move {
        while let Some(frame) = frames.next().await {
            if let Ok(frame) = frame {
                let _ = send.send((frame.message.item_hash.clone(), Instant::now()));
            }
        }
    });
    let mut delays = Vec::with_capacity(MESSAGES);
    for number in 0..MESSAGES {
        let content = beth_sdk::content::post(
            account.address(),
            "measure",
            json!({"number": number}),
            None,
        );
        let time = beth_sdk::now();
        let message = account.sign_message(MessageType::Post, &content, Some("MEASURE"), time);
        let wait = Wait::Verdict;
        here.submit(&message, wait).await.unwrap();
        let accepted = Instant::now();
        let seen = loop {
            let (hash, at) = tokio::time::timeout(Duration::from_secs(10), arrived.recv())
                .await
                .unwrap()
                .unwrap();
            if hash == message.item_hash {
                break at;
            }
        };
        delays.push(seen.saturating_duration_since(accepted).as_secs_f64() * 1e3);
    }
    reader.abort();
    delays
}
