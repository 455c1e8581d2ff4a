//! The folder of a node with many messages: filled once, then found again.

use std::path::{Path, PathBuf};

use beth_ccn::CcnConfig;
use beth_ccn::import::{self, Progress, Source};
use beth_ccn::node;
use beth_sdk::workload::{Profile, Workload};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Options;

/// Seed of the messages.
pub const SEED: u64 = 1;

/// The messages of the network in its shares of types.
pub fn workload() -> Workload {
    Workload::new(Profile::Network, SEED)
}

/// The folder with so many messages; filled when it is not there yet, or is one
/// of another schema.
pub async fn filled(options: &Options) -> PathBuf {
    let parent = options.folder.join("bench");
    let folder = parent.join(format!("api-{}", options.messages));
    let ready = parent.join(format!("api-{}.ready", options.messages));
    if ready.is_file() && node::offline(CcnConfig::in_folder(&folder)).is_ok() {
        return folder;
    }
    // An import that was interrupted goes on; one of another schema cannot.
    if ready.is_file() {
        std::fs::remove_file(&ready).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    fill(&folder, options).await;
    std::fs::write(&ready, "").unwrap();
    folder
}

async fn fill(folder: &Path, options: &Options) {
    println!("{} messages: storing them, once …", options.messages);
    let messages = options.folder.join("workload");
    let path = workload().cached(&messages, options.messages).unwrap();
    let (progress, _) = watch::channel(Progress::default());
    let config = CcnConfig::in_folder(folder);
    let cancel = CancellationToken::new();
    let report = import::run(config, Source::File(path), progress, cancel)
        .await
        .unwrap();
    assert_eq!(report.failure, None);
    assert_eq!(report.tally.refused, Default::default());
    println!("stored in {:.0} s", report.elapsed.as_secs_f64());
}
