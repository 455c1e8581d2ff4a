//! A client that sends a body which is refused before it was read reads the
//! refusal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use beth_ccn::{CcnConfig, api, node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::api::Fixture;

const BODY_BYTES: usize = 8 << 20;

/// A connection to a node that is served by axum's own server.
async fn connect(config: CcnConfig) -> TcpStream {
    let router = api::router(node::offline(config).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_first_and_reads_later_learns_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = CcnConfig::in_folder(folder.path());
    config.storage.max_unauthenticated_upload_file_size = 1_000;
    let mut stream = connect(config).await;
    let head = format!(
        "POST /api/v0/storage/add_file HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; BODY_BYTES]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with("Maximum request body size 1000 exceeded."));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_before_he_sends_is_not_told_to_send() {
    let folder = tempfile::tempdir().unwrap();
    let config = CcnConfig::in_folder(folder.path());
    let mut stream = connect(config).await;
    let head = format!(
        "POST /nowhere HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn little_is_read_of_who_asks_too_often() {
    let fixture = Fixture::new(|config| {
        config.http.rate.loopback = true;
        config.http.rate.submissions_per_second = 1;
        config.http.rate.submissions_burst = 1;
    });
    let post = async || {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = sent.clone();
        let pieces = (0..128).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(vec![b' '; 64 << 10])
        });
        let body = Body::from_stream(futures::stream::iter(pieces));
        let request = Request::post("/api/v0/messages").body(body).unwrap();
        let status = fixture.ask(request).await.status;
        (status, sent.load(Ordering::Relaxed) * (64 << 10))
    };
    let (first, all) = post().await;
    assert_eq!((first, all), (StatusCode::PAYLOAD_TOO_LARGE, BODY_BYTES));
    let (second, little) = post().await;
    assert_eq!(second, StatusCode::TOO_MANY_REQUESTS);
    assert!((1 << 20..3 << 20).contains(&little), "{little}");
}
