//! Contents that rot, go or shrink on the disk: found, and fetched again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use beth_ccn::control::{Client, ControlError};
use beth_ccn::repair::{FaultKind, Progress, Report, Wish, check_folder};
use beth_protocol::cid::{Cid, Layout};
use beth_protocol::hash::Naming;
use beth_store::blobs::{Extent, Proof};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::running::{Running, config, until};

const CHECK: Wish = Wish {
    is_check: true,
    is_deep: false,
};
const REPAIR: Wish = Wish {
    is_check: false,
    is_deep: true,
};

async fn ask(folder: &Path, wish: Wish) -> Report {
    until("a socket", async || Client::open(folder).await.is_ok()).await;
    let client = Client::open(folder).await.unwrap();
    let (sender, _) = watch::channel(Progress::default());
    client.repair(wish, &sender).await.unwrap()
}

/// Of missing, rotten, missized and mended ones, how many; and the rest.
fn counts(report: &Report) -> ([u64; 4], u64) {
    let Report {
        missing,
        rotten,
        missized,
        mended,
        ..
    } = report;
    ([*missing, *rotten, *missized, *mended], report.whole)
}

impl Running {
    fn proof(&self, hash: &str) -> Proof {
        self.context.blobs.prove(hash, &mut |_| true).unwrap()
    }

    fn is_whole(&self, hash: &str) -> bool {
        matches!(self.proof(hash), Proof::Whole(_))
    }

    /// Keeps a file under its CID.
    async fn keep_named(&self, bytes: &[u8]) -> String {
        let hash = Cid::of_bytes(Layout::V1RawLeaves, bytes).to_string();
        let naming = Naming::of(&hash.parse().unwrap()).unwrap();
        let mut incoming = self.context.blobs.begin_named(naming).unwrap();
        incoming.write(bytes).unwrap();
        let hashed = incoming.finish_as(&hash).unwrap();
        let kept = self.context.blobs.keep(hashed).unwrap();
        let upload = self.context.pipeline.add_upload(&hash, kept.size_bytes);
        upload.await.unwrap();
        hash
    }
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_comes_from_a_neighbour() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = Running::start(there.path(), |_| {}).await;
    let node = Running::start(here.path(), |config| {
        config.content_peers = vec![other.url.clone()];
    })
    .await;
    let long: Vec<u8> = (0..700_000u32).map(|index| (index % 251) as u8).collect();
    let mut hashes = Vec::new();
    for running in [&other, &node] {
        hashes = vec![
            running.keep(b"untouched").await,
            running.keep(b"a bit of it turns").await,
            running.keep(b"it is deleted").await,
            running.keep(&long).await,
            running.keep_named(&long).await,
        ];
    }
    let path = |hash: &str| node.context.blobs.path(hash).unwrap();
    flip(&path(&hashes[1]), 3);
    fs::remove_file(path(&hashes[2])).unwrap();
    let truncated = File::options().write(true).open(path(&hashes[3])).unwrap();
    truncated.set_len(300_000).unwrap();
    flip(&path(&hashes[4]), 600_000);

    // A check changes nothing.
    let report = ask(here.path(), CHECK).await;
    assert_eq!(counts(&report), ([1, 3, 0, 0], 1), "{report:?}");
    assert!(report.is_complete && !report.is_whole());
    assert!(matches!(node.proof(&hashes[1]), Proof::Rotten(_)));

    let report = ask(here.path(), REPAIR).await;
    assert_eq!(counts(&report), ([1, 3, 0, 4], 1), "{report:?}");
    assert!(report.faults.iter().all(|fault| fault.is_mended));
    assert_eq!(report.state, [""; 0]);
    for hash in &hashes {
        assert!(node.is_whole(hash), "{hash}");
    }
    assert!(node.context.blobs.aside().unwrap().is_empty());
    let report = ask(here.path(), REPAIR).await;
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.contents(), 5);
    node.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_copy_is_put_aside_and_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let node = Running::start(folder.path(), |_| {}).await;
    let hash = node.keep(b"nobody else has it").await;
    flip(&node.context.blobs.path(&hash).unwrap(), 0);
    let report = ask(folder.path(), REPAIR).await;
    assert_eq!(counts(&report), ([0, 1, 0, 0], 0), "{report:?}");
    assert_eq!(node.proof(&hash), Proof::Missing);
    assert!(node.context.blobs.aside().unwrap().contains(&hash));
    let report = ask(folder.path(), REPAIR).await;
    assert_eq!(counts(&report), ([1, 0, 0, 0], 0), "{report:?}");
    assert!(node.context.blobs.aside().unwrap().contains(&hash));

    node.keep(b"nobody else has it").await;
    assert!(ask(folder.path(), REPAIR).await.is_whole());
    assert!(node.context.blobs.aside().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_an_archive_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let node = Running::start(folder.path(), |_| {}).await;
    let car = include_bytes!("storage/fixtures/site.car");
    let blobs = &node.context.blobs;
    let mut incoming = blobs.begin_archive().unwrap();
    incoming.write(car).unwrap();
    let checked = blobs.check(incoming).unwrap();
    let kept = blobs.keep_archive(checked).unwrap();
    let (root, extent) = (kept.root.clone(), kept.extent);
    let upload = node.context.pipeline.add_upload(&root, extent);
    upload.await.unwrap();
    assert_eq!(node.proof(&root), Proof::Whole(extent));
    assert!(ask(folder.path(), REPAIR).await.is_whole());

    let path = blobs.path(&root).unwrap().with_extension("dag");
    let size = path.metadata().unwrap().len();
    let places: Vec<u64> = (0..size).step_by(61).chain([size - 1]).collect();
    for at in places {
        flip(&path, at);
        let proof = node.proof(&root);
        assert!(
            matches!(proof, Proof::Rotten(_)),
            "byte {at} of {size}: {proof:?}"
        );
        flip(&path, at);
    }
    flip(&path, size / 2);
    let report = ask(folder.path(), REPAIR).await;
    assert_eq!(counts(&report), ([0, 1, 0, 0], 0), "{report:?}");
    assert_eq!(blobs.aside().unwrap(), [root]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_noted_wrong_is_noted_right() {
    let folder = tempfile::tempdir().unwrap();
    let node = Running::start(folder.path(), |_| {}).await;
    let hash = node.keep(b"eleven bytes").await;
    let wrong = hash.clone();
    let note = move |state: &beth_store::State<'_>| state.add_file(&wrong, 5u64);
    node.context.pipeline.work(note).await.unwrap();
    let report = ask(folder.path(), REPAIR).await;
    assert_eq!(counts(&report), ([0, 0, 1, 1], 1), "{report:?}");
    assert_eq!(report.faults[0].kind, FaultKind::Missized);
    let known = node.context.readers.read(|state| state.known_file(&hash));
    assert_eq!(known.unwrap().unwrap().size_bytes, 12);
    assert_eq!(node.proof(&hash), Proof::Whole(Extent::of_file(12)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_rests_is_checked_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let node = Running::start(folder.path(), |_| {}).await;
    let hash = node.keep(b"some bytes").await;
    let (sender, _) = watch::channel(Progress::default());
    let check = async |cancel: CancellationToken| {
        let config = config(folder.path(), |_| {});
        check_folder(&config, REPAIR, &sender, cancel).await
    };
    let refused = check(CancellationToken::new()).await.unwrap_err();
    assert!(refused.to_string().contains("in use"), "{refused}");
    let path = node.context.blobs.path(&hash).unwrap();
    node.stop().await;

    assert!(check(CancellationToken::new()).await.unwrap().is_whole());
    flip(&path, 2);
    let report = check(CancellationToken::new()).await.unwrap();
    assert_eq!(counts(&report), ([0, 1, 0, 0], 0), "{report:?}");
    assert!(path.is_file(), "it is only looked at");
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let report = check(cancelled).await.unwrap();
    assert!(!report.is_complete && !report.is_whole());
    let gone = Client::open(folder.path()).await.unwrap_err();
    assert!(matches!(gone, ControlError::Absent(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rots_is_found_without_being_asked_for() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = Running::start(there.path(), |_| {}).await;
    let start = async || {
        Running::start(here.path(), |config| {
            config.content_peers = vec![other.url.clone()];
        })
        .await
    };
    let node = start().await;
    let place = here.path().join("scrub.json");
    until("a first pass", async || place.is_file()).await;
    let hash = node.keep(b"some bytes").await;
    other.keep(b"some bytes").await;
    let path = node.context.blobs.path(&hash).unwrap();
    node.stop().await;

    flip(&path, 2);
    fs::remove_file(&place).unwrap();
    let node = start().await;
    until("a whole content", async || node.is_whole(&hash)).await;
    node.stop().await;
    other.stop().await;
}
