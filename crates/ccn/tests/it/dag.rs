//! Graphs of blocks from others: directories, files of other layouts, and what
//! remains of a source that breaks off, or lies.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use beth_ccn::fetch::{GraphError, Reach};
use beth_protocol::MessageType;
use beth_protocol::cid::{Cid, Layout};
use beth_protocol::dag::BlockName;
use beth_store::Blobs;
use beth_store::blobs::{Content, Extent, Shape};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fetch::{Running, sign};
use crate::storage::archives::{MANY, MANY_ROOT, SITE, SITE_ROOT, site};
use crate::storage::car::{Made, car, directory, file, raw};

/// More than any content here.
const PLENTY: u64 = 1 << 30;

impl Running {
    /// A graph that this node has from elsewhere.
    pub async fn has_graph(&self, archive: &[u8]) {
        let blobs = &self.context.blobs;
        let mut incoming = blobs.begin_archive().unwrap();
        incoming.write(archive).unwrap();
        let kept = blobs.keep_archive(blobs.check(incoming).unwrap()).unwrap();
        let added = self.context.pipeline.add_file(&kept.root, kept.extent);
        added.await.unwrap();
    }

    pub fn content(&self, name: &str) -> Option<Content> {
        self.context.blobs.content(name).unwrap()
    }

    /// Bytes of a file, or of what a path leads to.
    pub fn bytes(&self, name: &str, path: &[&str]) -> Vec<u8> {
        let content = self.content(name).unwrap().at(path).unwrap().unwrap();
        let pieces = content.pieces(0, u64::MAX);
        pieces.map(Result::unwrap).collect::<Vec<_>>().concat()
    }

    async fn fetch(&self, root: &str) -> Result<Option<Extent>, GraphError> {
        let root = Cid::parse(root).unwrap();
        self.context
            .graphs
            .obtain((root, PLENTY), Reach::Archives)
            .await
    }
}

/// A file whose chunks are smaller than the network's.
pub fn odd_file() -> (Vec<u8>, Made, Vec<Made>) {
    let parts: Vec<Made> = (0..40u8).map(|n| raw(&vec![n; 1_000])).collect();
    let whole = file(&parts.iter().collect::<Vec<_>>());
    let bytes = parts.iter().flat_map(|part| part.bytes.clone()).collect();
    (bytes, whole, parts)
}

pub fn archive_of(root: &Made, parts: &[Made]) -> Vec<u8> {
    let mut blocks = vec![root];
    blocks.extend(parts);
    car(root, &blocks)
}

/// An archive as exporters write it: every block behind one that leads to it.
fn exported(archive: &[u8], root: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Arc::new(Blobs::open(folder.path()).unwrap());
    let mut incoming = blobs.begin_archive().unwrap();
    incoming.write(archive).unwrap();
    blobs.keep_archive(blobs.check(incoming).unwrap()).unwrap();
    let (root, version) = BlockName::parse(root).unwrap();
    let pieces = blobs.car(&[root], version);
    pieces.map(Result::unwrap).collect::<Vec<_>>().concat()
}

/// Somebody who answers every request for a graph with these bytes.
struct Sender {
    asked: Arc<AtomicUsize>,
    body: Arc<Mutex<Vec<u8>>>,
    url: String,
    port: u16,
    pinned: Arc<Mutex<Vec<String>>>,
    served: JoinHandle<()>,
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.served.abort();
    }
}

type Body = (Arc<AtomicUsize>, Arc<Mutex<Vec<u8>>>);
type Pins = Arc<Mutex<Vec<String>>>;

impl Sender {
    /// As a core node has it, and as the RPC of kubo has it.
    async fn of(body: Vec<u8>) -> Sender {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let body = Arc::new(Mutex::new(body));
        let pinned: Pins = Arc::default();
        let send = async |State((asked, body)): State<Body>| {
            asked.fetch_add(1, Ordering::SeqCst);
            body.lock().unwrap().clone()
        };
        let notes = pinned.clone();
        let connect = async move |Query(query): Query<Vec<(String, String)>>| {
            notes
                .lock()
                .unwrap()
                .extend(query.into_iter().map(|(_, value)| value));
            r#"{"Strings":["connect success"]}"#
        };
        let router = Router::new()
            .route("/ipfs/{cid}", get(send))
            .route("/api/v0/dag/export", post(send))
            .with_state((asked.clone(), body.clone()))
            .route("/api/v0/swarm/connect", post(connect));
        let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Sender {
            asked,
            body,
            url: format!("http://127.0.0.1:{port}"),
            port,
            pinned,
            served,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_travel_between_nodes() {
    // A block that is not what it says, then one that is.
    let mut lie = exported(SITE, SITE_ROOT);
    let last = lie.len() - 1;
    lie[last] ^= 1;
    let liar = Sender::of(lie).await;
    let honest = Running::start(Vec::new()).await;
    let node = Running::start(vec![liar.url.clone(), honest.url.clone()]).await;
    let (bytes, odd, parts) = odd_file();
    for archive in [SITE, MANY, &archive_of(&odd, &parts)] {
        honest.has_graph(archive).await;
    }
    for root in [SITE_ROOT, MANY_ROOT, &odd.text()] {
        let content = json!({"item_type": "ipfs", "item_hash": root});
        node.process(&sign(MessageType::Store, content)).await;
    }
    assert!(liar.asked.load(Ordering::SeqCst) >= 1, "the liar was asked");
    for (path, expected) in site() {
        let steps: Vec<&str> = path.split('/').collect();
        assert_eq!(node.bytes(SITE_ROOT, &steps), expected, "{path}");
    }
    assert_eq!(node.bytes(MANY_ROOT, &["file-17.txt"]), b"3");
    assert_eq!(node.bytes(&odd.text(), &[]), bytes);
    assert_eq!(
        node.content(SITE_ROOT).unwrap().extent().shape,
        Shape::Directory
    );
    node.stop().await;
    honest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_usual_layout_becomes_a_plain_one() {
    let honest = Running::start(Vec::new()).await;
    let node = Running::start(vec![honest.url.clone()]).await;
    let bytes: Vec<u8> = (0..700_000u32).map(|n| (n % 249) as u8).collect();
    for layout in [Layout::V0, Layout::V1, Layout::V1RawLeaves] {
        let cid = Cid::of_bytes(layout, &bytes);
        honest.has(cid, &bytes).await;
        let extent = node.fetch(&cid.to_string()).await.unwrap();
        assert_eq!(extent, Some(Extent::of_file(700_000)));
        let path = node.context.blobs.path(&cid.to_string()).unwrap();
        assert!(std::fs::read(path).unwrap() == bytes, "{cid}");
    }
    node.stop().await;
    honest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_is_kept_when_a_source_breaks_off() {
    let (bytes, odd, parts) = odd_file();
    // The first half, cut within a block.
    let whole = archive_of(&odd, &parts);
    let source = Sender::of(whole[..whole.len() / 2].to_vec()).await;
    let node = Running::start(vec![source.url.clone()]).await;
    let root = odd.text();
    assert_eq!(node.fetch(&root).await.unwrap(), None);
    assert!(node.content(&root).is_none());

    // Blocks that are here need not be sent: only the second half is.
    let missing: Vec<Made> = parts[10..].to_vec();
    *source.body.lock().unwrap() = archive_of(&missing[0], &missing);
    let extent = node.fetch(&root).await.unwrap();
    assert_eq!(extent, Some(Extent::of_file(40_000)));
    assert_eq!(node.bytes(&root, &[]), bytes);

    // Another graph of the same blocks: one is missing.
    let above = directory(&[("odd", &odd)]);
    *source.body.lock().unwrap() = car(&above, &[&above]);
    let extent = node.fetch(&above.text()).await.unwrap().unwrap();
    assert!(extent.is_directory());
    assert_eq!(node.bytes(&above.text(), &["odd"]), bytes);
    let left = std::fs::read_dir(node.context.config.blobs_path().join("partial"));
    assert_eq!(left.unwrap().count(), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_one_more_source() {
    let daemon = Sender::of(exported(SITE, SITE_ROOT)).await;
    let peer = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWBH3JVSBwHLNzxv7EzniBP3tDmjJaoa3EJBF9wyhZtHt2";
    let node = Running::start_with(|config| {
        config.ipfs.host = "127.0.0.1".into();
        config.ipfs.port = daemon.port;
        config.ipfs.peers = vec![peer.into()];
    })
    .await;
    let extent = node.fetch(SITE_ROOT).await.unwrap().unwrap();
    assert!(extent.is_directory());
    assert_eq!(
        node.bytes(SITE_ROOT, &["css", "main.css"]),
        site()["css/main.css"]
    );
    let connected = async {
        while !daemon.pinned.lock().unwrap().contains(&peer.to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::fetch::PATIENCE, connected)
        .await
        .unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_or_is_too_much_is_not_kept() {
    let node_data = raw(b"bytes");
    // A file that is longer than its parts.
    let mut long = node_data.clone();
    long.file_bytes = 500;
    let wrong = file(&[&long]);
    let source = Sender::of(archive_of(&wrong, &[node_data])).await;
    let node = Running::start(vec![source.url.clone()]).await;
    let fetched = node.fetch(&wrong.text()).await;
    assert!(matches!(fetched, Err(GraphError::Fault(_))), "{fetched:?}");

    let (_, odd, parts) = odd_file();
    *source.body.lock().unwrap() = archive_of(&odd, &parts);
    let root = Cid::parse(&odd.text()).unwrap();
    let graphs = &node.context.graphs;
    for bytes_max in [20_000, 39_999, 40_000] {
        // Its frames count too.
        let fetched = graphs.obtain((root, bytes_max), Reach::Archives).await;
        assert!(
            matches!(fetched, Err(GraphError::TooLarge(_))),
            "{fetched:?}"
        );
    }
    assert!(node.content(&odd.text()).is_none());
    let fetched = graphs.obtain((root, 60_000), Reach::Archives).await;
    assert_eq!(fetched.unwrap(), Some(Extent::of_file(40_000)));
    // Nobody to ask.
    let nothing = Cid::of_bytes(Layout::V0, b"nobody has this");
    *source.body.lock().unwrap() = Vec::new();
    assert_eq!(
        graphs
            .obtain((nothing, PLENTY), Reach::Archives)
            .await
            .unwrap(),
        None
    );
    node.stop().await;
}
