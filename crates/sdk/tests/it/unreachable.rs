//! Nodes that are not there, say nothing, or are something else.

use std::time::Duration;

use beth_protocol::ItemHash;
use beth_sdk::compute::ProgramCall;
use beth_sdk::{Client, ComputeNode, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(&url).unwrap().version().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient());
    let sentence = error.to_string();
    assert_eq!(
        sentence,
        format!(
            "no core node answers at {url}: start one with `make up`, or name another with --node"
        )
    );
}

#[tokio::test]
async fn somebody_listens_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let call = ProgramCall {
        timeout: Duration::from_millis(200),
        ..ProgramCall::default()
    };
    let outcome = ComputeNode::new(&url)
        .unwrap()
        .call(&ItemHash::of_bytes(b"x"), call)
        .await;
    assert!(
        matches!(
            outcome,
            Err(Error::TimedOut {
                role: "compute node",
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn somebody_speaks_another_language() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 16];
        socket.read_exact(&mut request).await.unwrap();
        socket
            .write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            .await
            .unwrap();
        socket
    });
    let error = Client::new(&url).unwrap().version().await.unwrap_err();
    assert!(
        error.to_string().contains("check address and port"),
        "{error}"
    );
    answering.await.unwrap();
}
