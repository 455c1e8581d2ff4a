//! A core node that speaks to nobody: no gossip, no HTTP port. Messages that
//! wait are tried, and contents are fetched.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Parts, end, http_client, open};
use crate::config::CcnConfig;
use crate::context::Context;
use crate::error::Error;
use crate::neighbours::Guard;

/// A running quiet node. To be [stopped](Quiet::stop).
pub struct Quiet {
    /// Its state and its pipeline.
    pub context: Arc<Context>,
    /// For requests to other nodes.
    pub client: reqwest::Client,
    tasks: JoinSet<()>,
    verifiers: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
    cancel: CancellationToken,
}

impl Quiet {
    /// Starts it in the folder of a configuration, which no other process may
    /// use now.
    pub fn start(config: CcnConfig, cancel: CancellationToken) -> Result<Quiet, Error> {
        let (store, blobs, lock) = open(&config)?;
        let client = http_client(&Guard::of(&config))?;
        let parts = Parts {
            config,
            store,
            blobs,
            lock,
            client: client.clone(),
            network: None,
            catches_up: false,
            rehearsed: Vec::new(),
        };
        let wired = parts.wire(&cancel)?;
        Ok(Quiet {
            context: wired.context,
            client,
            tasks: wired.background.into_iter().collect(),
            verifiers: wired.verifiers,
            writer: wired.writer,
            cancel,
        })
    }

    /// Ends everything in order; what was handed in is written.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
        let pipeline = self.context.pipeline.clone();
        let _lock = self.context.lock.clone();
        drop(self.context);
        end(pipeline, self.verifiers, self.writer).await
    }
}
