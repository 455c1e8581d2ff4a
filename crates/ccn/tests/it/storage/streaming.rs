//! Large files: what a client sends is on the disk before more of it is taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, Bytes};
use beth_protocol::ItemHash;
use beth_protocol::cid::{FileHasher, Layout};
use futures::{StreamExt, stream};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{BOUNDARY, Storage, part};

const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS: usize = 1_600;
/// Bytes that may be between the client and the disk.
const UNDERWAY_BYTES_MAX: u64 = 1 << 20;

fn chunk(number: usize) -> Bytes {
    let mut bytes = vec![(number % 251) as u8; CHUNK_BYTES];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes.into()
}

/// Bytes of everything that is arriving.
fn on_the_disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .sum()
}

/// A form that is made while it is read, and notes how far its reader is ahead
/// of the disk.
fn watched_form(incoming: PathBuf, metadata: String, ahead_max: Arc<AtomicU64>) -> Body {
    let chunks = stream::iter(0..CHUNKS).map(move |number| {
        let sent = (number * CHUNK_BYTES) as u64;
        let ahead = sent.saturating_sub(on_the_disk(&incoming));
        ahead_max.fetch_max(ahead, Ordering::Relaxed);
        chunk(number)
    });
    let head = Bytes::from(part("file", true));
    let tail = format!(
        "\r\n{}{metadata}\r\n--{BOUNDARY}--\r\n",
        part("metadata", false)
    );
    let whole = stream::iter([head])
        .chain(chunks)
        .chain(stream::iter([Bytes::from(tail)]));
    Body::from_stream(whole.map(Ok::<_, std::io::Error>))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_pass_through_by_both_engines() {
    let storage = Storage::start().await;
    let (mut sha256, mut cid) = (Sha256::new(), FileHasher::new(Layout::V0));
    for number in 0..CHUNKS {
        sha256.update(chunk(number));
        cid.update(&chunk(number));
    }
    let sha256 = ItemHash::of_digest(sha256.finalize().into()).to_string();
    let cid = cid.finish().to_string();
    for (engine, hash) in [("storage", sha256), ("ipfs", cid)] {
        let incoming = storage.node.context.config.blobs_path().join("incoming");
        let ahead = Arc::new(AtomicU64::new(0));
        let metadata = storage.metadata(engine, &hash);
        let body = watched_form(incoming.clone(), metadata, ahead.clone());
        let path = format!("/api/v0/{engine}/add_file");
        let answer = storage.upload(&path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["hash"], json!(hash));
        let ahead = ahead.load(Ordering::Relaxed);
        assert!(
            (1..=UNDERWAY_BYTES_MAX).contains(&ahead),
            "{engine}: {ahead} bytes were held"
        );
        assert_eq!(on_the_disk(&incoming), 0, "nothing is left behind");
        let raw = storage
            .node
            .get(&format!("/api/v0/storage/raw/{hash}"))
            .await;
        assert_eq!(raw.body.len(), CHUNKS * CHUNK_BYTES);
        for (number, kept) in raw.body.chunks(CHUNK_BYTES).enumerate() {
            assert!(kept == chunk(number), "chunk {number}");
        }
    }
}
