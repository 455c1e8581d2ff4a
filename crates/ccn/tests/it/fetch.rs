//! Contents from other core nodes: a liar is noticed, the next is asked.

mod neighbours;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use beth_ccn::events::Event;
use beth_ccn::node::Node;
use beth_ccn::{CcnConfig, Context};
use beth_protocol::cid::{Cid, Layout};
use beth_protocol::hash::Naming;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, ItemType, Message, MessageType};
use beth_store::rows::Outcome;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TIME: Timestamp = Timestamp::from_seconds(1_790_000_000);
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

struct Running {
    context: Arc<Context>,
    url: String,
    cancel: CancellationToken,
    served: JoinHandle<Result<(), beth_ccn::Error>>,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start(content_peers: Vec<String>) -> Running {
        Running::start_with(|config| config.content_peers = content_peers).await
    }

    async fn start_with(change: impl FnOnce(&mut CcnConfig)) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let mut config = CcnConfig::in_folder(folder.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.p2p.listen = "/ip4/127.0.0.1/tcp/0".into();
        change(&mut config);
        let cancel = CancellationToken::new();
        let node = Node::start(config, cancel.clone()).await.unwrap();
        Running {
            context: node.context.clone(),
            url: format!("http://{}", node.address),
            cancel,
            served: tokio::spawn(node.serve(Router::new())),
            _folder: folder,
        }
    }

    /// A file that this node has from elsewhere, under its CID.
    async fn has(&self, cid: Cid, bytes: &[u8]) {
        let hash = cid.to_string();
        let naming = Naming::of(&hash.parse().unwrap()).unwrap();
        let mut incoming = self.context.blobs.begin_named(naming).unwrap();
        incoming.write(bytes).unwrap();
        let hashed = incoming.finish_as(&hash).unwrap();
        let kept = self.context.blobs.keep(hashed).unwrap();
        let pipeline = &self.context.pipeline;
        pipeline
            .add_file(&kept.hash, kept.size_bytes)
            .await
            .unwrap();
    }

    /// Offers a message that must wait, and waits until it is processed.
    async fn process(&self, message: &Message) {
        let mut events = self.context.events.subscribe();
        let raw = serde_json::to_value(message).unwrap();
        let outcome = self.context.pipeline.offer(raw).await.unwrap();
        assert!(matches!(outcome, Outcome::Pending(_)), "{outcome:?}");
        let processed = async {
            loop {
                let event = events.recv().await.unwrap();
                match &*event {
                    Event::Processed { .. } if *event.item_hash() == message.item_hash => return,
                    Event::Rejected { rejection, .. } => panic!("{rejection}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, processed).await.unwrap();
    }

    async fn stop(self) {
        drop(self.context);
        self.cancel.cancel();
        self.served.await.unwrap().unwrap();
    }
}

/// A node that answers every file with the same other bytes.
async fn liar(asked: Arc<AtomicUsize>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move || {
        asked.fetch_add(1, Ordering::SeqCst);
        async { "not what was asked for" }
    };
    let router = Router::new().route("/api/v0/storage/raw/{hash}", get(answer));
    let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, served)
}

fn account() -> Account {
    Account::ethereum(&"11".repeat(32)).unwrap()
}

fn sign(message_type: MessageType, mut content: Value) -> Message {
    content["address"] = json!(account().address());
    content["time"] = json!(TIME.seconds_f64());
    account().sign_message(message_type, &content, Some("TEST"), TIME)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_other_nodes_are_kept_under_their_cid_alone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (lying, lies) = liar(asked.clone()).await;
    let honest = Running::start(Vec::new()).await;
    let node = Running::start(vec![lying, honest.url.clone()]).await;

    // A STORE of a file of several chunks, under each kind of name.
    let bytes: Vec<u8> = (0..700_000u32).map(|index| (index % 251) as u8).collect();
    for layout in [Layout::V0, Layout::V1, Layout::V1RawLeaves] {
        let cid = Cid::of_bytes(layout, &bytes);
        honest.has(cid, &bytes).await;
        let content = json!({"item_type": "ipfs", "item_hash": cid.to_string()});
        node.process(&sign(MessageType::Store, content)).await;
        let kept = node.context.blobs.read(&cid.to_string()).unwrap();
        assert!(kept == Some(bytes.clone()), "{cid}");
    }

    // A message whose content is itself a file.
    let mut post = sign(MessageType::Post, json!({"type": "t", "content": {"a": 1}}));
    let body = post.item_content.take().unwrap();
    let cid = Cid::of_bytes(Layout::V0, body.as_bytes());
    honest.has(cid, body.as_bytes()).await;
    post.item_type = ItemType::Ipfs;
    post.item_hash = cid.to_string().parse().unwrap();
    post.signature = Some(account().sign_text(post.verification_buffer().as_bytes()));
    node.process(&post).await;

    assert!(
        asked.load(Ordering::SeqCst) >= 4,
        "the liar was asked first"
    );
    node.stop().await;
    honest.stop().await;
    lies.abort();
}
