//! Running nodes for tests: real sockets, real folders.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use beth_ccn::node::Node;
use beth_ccn::{CcnConfig, Context};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// A node that runs.
pub struct Running {
    pub context: Arc<Context>,
    pub url: String,
    cancel: CancellationToken,
    served: JoinHandle<Result<(), beth_ccn::Error>>,
}

impl Running {
    /// Starts one in a folder.
    pub async fn start(folder: &Path, change: impl FnOnce(&mut CcnConfig)) -> Running {
        let cancel = CancellationToken::new();
        let node = Node::start(config(folder, change), cancel.clone())
            .await
            .unwrap();
        Running {
            context: node.context.clone(),
            url: format!("http://{}", node.address),
            cancel,
            served: tokio::spawn(node.serve(Router::new())),
        }
    }

    /// Keeps a content, as if it had been uploaded.
    pub async fn keep(&self, bytes: &[u8]) -> String {
        let kept = self.context.blobs.put(bytes).unwrap();
        let upload = self
            .context
            .pipeline
            .add_upload(&kept.hash, kept.size_bytes);
        upload.await.unwrap();
        kept.hash.clone()
    }

    pub async fn stop(self) {
        drop(self.context);
        self.cancel.cancel();
        self.served.await.unwrap().unwrap();
    }
}

/// What a node in this folder is told.
pub fn config(folder: &Path, change: impl FnOnce(&mut CcnConfig)) -> CcnConfig {
    let mut config = CcnConfig::in_folder(folder);
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.p2p.listen = "/ip4/127.0.0.1/tcp/0".into();
    change(&mut config);
    config
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, looked).await;
    assert!(waited.is_ok(), "not within a minute: {what}");
}
