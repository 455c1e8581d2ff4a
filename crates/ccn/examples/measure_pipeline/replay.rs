//! Imports: many messages from a file into an empty node, then from that node,
//! which another process serves, into a second one.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use axum::Router;
use beth_ccn::import::{self, Progress, Source};
use beth_ccn::node::Node;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::http::config;
use crate::meter::Meter;
use crate::table::folder_bytes;

pub async fn measure(options: Options) {
    let count = options.level_or(1_000_000);
    let path = options.dump(count);
    let first = options.scratch();
    timed("from a file", Source::File(path), first.path(), count).await;
    let (child, said) = serve_apart(first.path()).await;
    let second = options.scratch();
    let source = Source::Node(said.url);
    timed("from another node", source, second.path(), count).await;
    drop(child);
    let bytes = folder_bytes(first.path()) / 1_000_000;
    println!("the state takes {bytes} MB on disk");
}

async fn timed(what: &str, source: Source, folder: &Path, count: u64) {
    let (progress, _) = watch::channel(Progress::default());
    let meter = Meter::start();
    let report = import::run(config(folder), source, progress, CancellationToken::new())
        .await
        .unwrap();
    let cost = meter.stop(count);
    assert_eq!(report.failure, None);
    assert_eq!(report.tally.refused, Default::default());
    println!(
        "{what}: {} of {count} processed, {} waiting, in {:.1} s: {:.0}/s, {:.1} µs CPU a message, peak memory {:.0} MiB",
        report.tally.processed,
        report.tally.waiting(),
        report.elapsed.as_secs_f64(),
        count as f64 / report.elapsed.as_secs_f64(),
        cost.cpu_micros,
        cost.peak_mib
    );
}

/// Where a node is reached.
pub struct Said {
    pub url: String,
    /// Its multiaddress.
    pub peer: String,
}

/// A process that serves a folder; it ends with its input.
pub async fn serve_apart(folder: &Path) -> (Child, Said) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines.next_line().await.unwrap().unwrap();
    let peer = lines.next_line().await.unwrap().unwrap();
    (child, Said { url, peer })
}

/// Serves a folder until standard input ends.
pub async fn serve(folder: &str) {
    let cancel = CancellationToken::new();
    let node = Node::start(config(folder.as_ref()), cancel.clone())
        .await
        .unwrap();
    println!("http://{}", node.address);
    println!("{}", node.context.network.addresses()[0]);
    std::io::stdout().flush().unwrap();
    let served = tokio::spawn(node.serve(Router::new()));
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = input.next_line().await {}
    cancel.cancel();
    served.await.unwrap().unwrap();
}
