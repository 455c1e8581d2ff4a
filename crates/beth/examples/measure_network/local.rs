//! Measures a local network as a person meets it: start, size, idleness, and
//! how soon a message accepted at one core node is visible at the other.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beth_protocol::{Account, ItemHash, MessageType};
use beth_sdk::Client;
use beth_sdk::client::messages::{MessageFilter, Wait};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::processes::{cpu_ticks, memory_mb, tree};

const MESSAGES: usize = 500;
const IDLE: Duration = Duration::from_secs(20);

pub fn measure(binary: &Path) {
    println!(
        "binary                         {:8.1} MB",
        std::fs::metadata(binary).unwrap().len() as f64 / 1e6
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    let (child, _, first) = start(binary, &path);
    println!(
        "first start, ready after       {:8.0} ms",
        first.as_secs_f64() * 1e3
    );
    stop(child);
    let mut starts: Vec<f64> = Vec::new();
    for _ in 0..4 {
        let (child, _, took) = start(binary, &path);
        starts.push(took.as_secs_f64() * 1e3);
        stop(child);
    }
    let (child, said, took) = start(binary, &path);
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
