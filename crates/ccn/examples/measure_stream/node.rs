//! The node that is measured: this program again, with another word.

use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use beth_ccn::CcnConfig;
use beth_ccn::node::Node;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines, stdin};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

/// The process of the node.
pub struct Served {
    pub address: String,
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Served {
    pub async fn start() -> Served {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = said.next_line().await.unwrap().unwrap();
        Served {
            address,
            child,
            said,
        }
    }

    /// Ends the node; what it has to say about itself.
    pub async fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let last = self.said.next_line().await.unwrap().unwrap();
        self.child.wait().await.unwrap();
        serde_json::from_str(&last).unwrap()
    }
}

/// Serves on a free port until its input ends.
pub async fn serve() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = CcnConfig::in_folder(folder.path());
    config.listen = ([127, 0, 0, 1], 0).into();
    config.p2p.listen = "/ip4/127.0.0.1/tcp/0".to_owned();
    let cancel = CancellationToken::new();
    let node = Node::start(config, cancel.clone()).await.unwrap();
    println!("{}", node.address);
    let streams = node.context.streams.clone();
    let served = tokio::spawn(node.serve(Router::new()));
    stdin().read_to_end(&mut Vec::new()).await.unwrap();
    let counted = |name: &str| {
        let own = streams.counters.own();
        own.iter().find(|(known, _)| *known == name).unwrap().1
    };
    println!(
        "{}",
        json!({
            "dropped_slow": counted("beth_ccn_stream_dropped_slow_total"),
            "cpu_seconds": process_cpu().as_secs_f64(), "peak_mib": peak_mib(),
        })
    );
    cancel.cancel();
    served.await.unwrap().unwrap();
}

/// Processor time of this process.
pub fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1_024.0
}
