//! Contents by their SHA-256: from neighbours without HTTP, and over HTTP where
//! neighbours have nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beth_ccn::CcnConfig;
use beth_protocol::{ItemType, MessageType};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{PATIENCE, Running, account, sign};

/// Bytes of several chunks.
fn bytes() -> Vec<u8> {
    (0..900_000u32).map(|at| (at % 247) as u8).collect()
}

/// A file that a node has.
async fn put(node: &Running, bytes: &[u8]) -> String {
    let kept = node.context.blobs.put(bytes).unwrap();
    let pipeline = &node.context.pipeline;
    pipeline
        .add_file(&kept.hash, kept.size_bytes)
        .await
        .unwrap();
    kept.hash.clone()
}

/// A node that is connected to another one's gossip, and asks nobody over HTTP.
async fn neighbour(of: &Running) -> Running {
    let bootstrap = of.context.network.addresses();
    let node = Running::start_with(|config: &mut CcnConfig| config.p2p.bootstrap = bootstrap);
    let node = node.await;
    let connected = async {
        while node.context.network.connected_peers().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.unwrap();
    node
}

fn counted(node: &Running, name: &str, labels: &str) -> f64 {
    let text = node.context.metrics.text().unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{labels} ")));
    line.map_or(0.0, |line| {
        line.rsplit(' ').next().unwrap().parse().unwrap()
    })
}

/// Serves contents as a node of upstream does, or other bytes instead.
async fn server(
    route: &'static str,
    answer: impl Fn(&str) -> (StatusCode, Vec<u8>) + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let serve = move |Path(hash): Path<String>| {
        count.fetch_add(1, Ordering::SeqCst);
        let answer = answer(&hash);
        async move { answer }
    };
    let router = Router::new().route(route, get(serve));
    let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, asked, served)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_a_message_come_from_a_neighbour_without_http() {
    let there = Running::start(Vec::new()).await;
    let bytes = bytes();
    let hash = put(&there, &bytes).await;
    let mut post = sign(MessageType::Post, json!({"type": "t", "content": {"a": 1}}));
    let body = post.item_content.take().unwrap();
    post.item_type = ItemType::Storage;
    post.item_hash = put(&there, body.as_bytes()).await.parse().unwrap();
    post.signature = Some(account().sign_text(post.verification_buffer().as_bytes()));

    let here = neighbour(&there).await;
    let content = json!({"item_type": "storage", "item_hash": hash});
    here.process(&sign(MessageType::Store, content)).await;
    assert!(here.context.blobs.read(&hash).unwrap() == Some(bytes.clone()));
    here.process(&post).await;
    let from = "{source=\"neighbours\"}";
    let received = counted(&here, "beth_ccn_content_received_bytes_total", from);
    assert_eq!(received as usize, bytes.len() + body.len());
    let given = counted(&there, "beth_ccn_content_given_bytes_total", "");
    assert_eq!(given, received);
    // What came in chunks can be given away in chunks.
    let third = neighbour(&here).await;
    let content = json!({"item_type": "storage", "item_hash": hash});
    third.process(&sign(MessageType::Store, content)).await;
    assert!(third.context.blobs.read(&hash).unwrap() == Some(bytes));
    for node in [third, here, there] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lies_is_asked_no_more_and_the_next_one_is() {
    let lie = |_: &str| (StatusCode::OK, b"something else".to_vec());
    let (lying, lies, serving) = server("/api/v0/storage/raw/{hash}", lie).await;
    let honest = Running::start(Vec::new()).await;
    let here = Running::start(vec![lying, honest.url.clone()]).await;
    for size in [10, 900_000] {
        let bytes = &bytes()[..size];
        let hash = put(&honest, bytes).await;
        assert!(here.context.fetcher.obtain(&hash).await);
        assert!(here.context.blobs.read(&hash).unwrap().as_deref() == Some(bytes));
    }
    assert_eq!(lies.load(Ordering::SeqCst), 1);
    let from = "{source=\"http\"}";
    assert_eq!(counted(&here, "beth_ccn_content_lies_total", from), 1.0);
    serving.abort();
    here.stop().await;
    honest.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_without_the_streaming_route_are_asked_for_base64() {
    let answer = |hash: &str| {
        let text = STANDARD.encode(bytes());
        let lines: Vec<&str> = (0..text.len())
            .step_by(76)
            .map(|at| &text[at..text.len().min(at + 76)])
            .collect();
        let content = format!("{}\n", lines.join("\n"));
        let body =
            json!({"status": "success", "hash": hash, "engine": "storage", "content": content});
        (StatusCode::OK, body.to_string().into_bytes())
    };
    let (old, asked, serving) = server("/api/v0/storage/{hash}", answer).await;
    let here = Running::start(vec![old]).await;
    let hash = beth_protocol::ItemHash::of_bytes(&bytes()).to_string();
    let content = json!({"item_type": "storage", "item_hash": hash});
    here.process(&sign(MessageType::Store, content)).await;
    assert!(here.context.blobs.read(&hash).unwrap() == Some(bytes()));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    serving.abort();
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn popular_content_is_fetched_once() {
    let there = Running::start(Vec::new()).await;
    let bytes = bytes();
    let hash = put(&there, &bytes).await;
    let here = neighbour(&there).await;
    let waiting = (0..20).map(|_| here.context.fetcher.obtain(&hash));
    let obtained = futures::future::join_all(waiting).await;
    assert_eq!(obtained, [true; 20]);
    let given = counted(&there, "beth_ccn_content_given_bytes_total", "");
    assert_eq!(given as usize, bytes.len());
    here.stop().await;
    there.stop().await;
}
