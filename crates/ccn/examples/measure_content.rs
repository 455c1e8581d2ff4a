//! Measures how fast a content goes from one node to another on this machine,
//! and how much memory both take for it.
//!
//! ```text
//!   measure_content [bytes] [givers]     default 1 GB from one node
//!       ├─ child "give": a node with the content, says where it is
//!       └─ child "take": a node that fetches it, says how long that took
//! ```
//! Each node is a process of its own, with its own folder. Printed are megabytes
//! (10^6 bytes) a second from the question to the content in its place, durable
//! and in the database, and the peak resident memory of each process.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use beth_ccn::CcnConfig;
use beth_ccn::node::Node;
use tokio_util::sync::CancellationToken;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["give", bytes] => run(give(bytes.parse().unwrap())),
        ["take", hash, addresses @ ..] => run(take(hash, addresses)),
        [] => compare("1000000000", 1),
        [bytes] => compare(bytes, 1),
        [bytes, givers, ..] => compare(bytes, givers.parse().unwrap()),
    }
}

fn run(work: impl Future<Output = ()>) {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    threads.unwrap().block_on(work);
}

/// Starts the nodes and prints what they say.
fn compare(bytes: &str, givers: usize) {
    let start = |_| Process::start(&["give", bytes]);
    let mut nodes: Vec<Process> = (0..givers).map(start).collect();
    let (mut hash, mut addresses) = (String::new(), Vec::new());
    for node in &mut nodes {
        let said = node.say();
        let (name, address) = said.split_once(' ').unwrap();
        hash = name.to_owned();
        addresses.push(address.to_owned());
    }
    let mut args = vec!["take", &hash];
    args.extend(addresses.iter().map(String::as_str));
    let mut taker = Process::start(&args);
    println!("{bytes} bytes from {givers} node(s): {}", taker.say());
    taker.end();
    for mut node in nodes {
        node.input.take();
        println!("giver: {}", node.say());
        node.end();
    }
}

/// A child; it ends when nobody can speak to it any more.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(args: &[&str]) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Process {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The next line that it says.
    fn say(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn end(mut self) {
        self.input.take();
        self.child.wait().unwrap();
    }
}

fn config(folder: &Path) -> CcnConfig {
    let mut config = CcnConfig::in_folder(folder);
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.p2p.listen = "/ip4/127.0.0.1/tcp/0".into();
    config.storage.max_file_size = u64::MAX;
    config
}

async fn give(size_bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let node = Node::start(config(folder.path()), cancel.clone()).await;
    let node = node.unwrap();
    let context = node.context.clone();
    let blobs = context.blobs.clone();
    let kept = tokio::task::spawn_blocking(move || {
        let mut incoming = blobs.begin().unwrap();
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        };
        while incoming.size_bytes() < size_bytes {
            let left = (size_bytes - incoming.size_bytes()).min(1 << 20) as usize;
            let words = std::iter::repeat_with(&mut next).take(left.div_ceil(8));
            let piece: Vec<u8> = words.flatten().take(left).collect();
            incoming.write(&piece).unwrap();
        }
        blobs.keep(incoming.finish().unwrap()).unwrap()
    });
    let kept = kept.await.unwrap();
    let address = context.network.addresses().remove(0);
    drop(context);
    let served = tokio::spawn(node.serve(Router::new()));
    say(&format!("{} {address}", kept.hash));
    wait_for_the_end().await;
    say(&memory());
    cancel.cancel();
    served.await.unwrap().unwrap();
}

async fn take(hash: &str, addresses: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.p2p.bootstrap = addresses.iter().map(ToString::to_string).collect();
    let cancel = CancellationToken::new();
    let node = Node::start(config, cancel.clone()).await.unwrap();
    let context = node.context.clone();
    let served = tokio::spawn(node.serve(Router::new()));
    while context.network.connected_peers().await.len() < addresses.len() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    let is_here = context.fetcher.obtain(hash).await;
    let seconds = begun.elapsed().as_secs_f64();
    assert!(is_here);
    let (_, size_bytes) = context.blobs.file(hash).unwrap().unwrap();
    let speed = size_bytes as f64 / 1e6 / seconds;
    let memory = memory();
    say(&format!("{seconds:.2} s, {speed:.0} MB/s, taker: {memory}"));
    drop(context);
    wait_for_the_end().await;
    cancel.cancel();
    served.await.unwrap().unwrap();
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

async fn wait_for_the_end() {
    let wait = || {
        let mut rest = String::new();
        let _ = std::io::stdin().read_line(&mut rest);
    };
    tokio::task::spawn_blocking(wait).await.unwrap();
}

/// Peak resident memory of this process.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = peak
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap()
        .parse()
        .unwrap();
    format!("peak {} MB resident", kib * 1024 / 1_000_000)
}
