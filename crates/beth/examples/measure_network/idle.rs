//! What a hundred peers with nothing to say cost a core node.
//!
//! ```text
//!   100 core nodes, in this process ──▶ 1 core node, a process: memory, processor
//! ```

use std::path::Path;
use std::time::Duration;

use axum::Router;
use beth_ccn::CcnConfig;
use beth_ccn::node::Node as Peer;
use tokio_util::sync::CancellationToken;

use crate::nodes::Node;
use crate::processes::{cpu_ticks, memory_mb};

const PEERS: usize = 100;
const SETTLE: Duration = Duration::from_secs(60);
const WATCHED: Duration = Duration::from_secs(120);

pub fn measure(binary: &Path) {
    let node = Node::start(binary, Vec::new());
    let alone = memory_mb(node.process());
    let address = node.address();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cancel = CancellationToken::new();
    let peers = runtime.block_on(start(&address, &cancel));
    node.connected(PEERS);
    std::thread::sleep(SETTLE);
    let process = [node.process()];
    let before = cpu_ticks(&process);
    std::thread::sleep(WATCHED);
    let ticks = cpu_ticks(&process) - before;
    println!(
        "{PEERS} idle peers: {:.1} MiB (alone {alone:.1}), {:.2} % of a core over {} s",
        memory_mb(node.process()),
        ticks as f64 / WATCHED.as_secs_f64(),
        WATCHED.as_secs()
    );
    cancel.cancel();
    runtime.block_on(peers.join_all());
}

/// Nodes that know only this one and look for no others.
async fn start(address: &str, cancel: &CancellationToken) -> tokio::task::JoinSet<()> {
    let mut peers = tokio::task::JoinSet::new();
    for _ in 0..PEERS {
        let folder = tempfile::tempdir().unwrap();
        let mut config = CcnConfig::in_folder(folder.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.p2p.listen = "/ip4/127.0.0.1/tcp/0".into();
        config.p2p.bootstrap = vec![address.to_owned()];
        config.p2p.peers_wanted = 0;
        let peer = Peer::start(config, cancel.clone()).await.unwrap();
        peers.spawn(async move {
            peer.serve(Router::new()).await.unwrap();
            drop(folder);
        });
    }
    peers
}
