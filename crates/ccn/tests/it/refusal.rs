//! A client that sends a body which is refused before it was read reads the
//! refusal.

use beth_ccn::{CcnConfig, api, node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BODY_BYTES: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_first_and_reads_later_learns_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = CcnConfig::in_folder(folder.path());
    config.storage.max_unauthenticated_upload_file_size = 1_000;
    let router = api::router(node::offline(config).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut stream = TcpStream::connect(address).await.unwrap();
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
