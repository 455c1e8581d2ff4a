//! How streams end that the node has to end: slow readers, silent clients, a
//! node that stops.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use axum::Router;
use beth_ccn::CcnConfig;
use beth_ccn::node::Node;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use futures::StreamExt;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{client_async, connect_async};
use tokio_util::sync::CancellationToken;

use super::{Fixture, next, serve};

const PATIENCE: Duration = Duration::from_secs(60);
/// More than a client may be behind, and more than sockets hold.
const LARGE_MESSAGES: i64 = 90;

async fn large(fixture: &Fixture, account: &Account, number: i64) {
    let time = Timestamp::from_seconds(1_793_500_000 + number);
    let content = json!({
        "address": account.address(), "time": time, "type": "large",
        "content": {"text": "x".repeat(199_000)},
    });
    let message = account.sign_message(MessageType::Post, &content, None, time);
    let answer = fixture
        .post(
            "/api/v0/messages",
            &json!({"message": message, "sync": true}),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_told_so_and_nobody_else_notices() {
    let fixture = Fixture::new(|_| {});
    let address = serve(&fixture).await;
    let url = format!("ws://{address}/api/ws0/messages?history=0");
    let slow = TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(4_096).unwrap();
    let slow = slow.connect(address.parse().unwrap()).await.unwrap();
    let (mut slow, _) = client_async(&url, slow).await.unwrap();
    let (mut quick, _) = connect_async(&url).await.unwrap();
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    for number in 0..LARGE_MESSAGES {
        large(&fixture, &account, number).await;
        assert_eq!(next(&mut quick).await["content"]["type"], "large");
    }
    let counters = &fixture.context.streams.counters;
    assert_eq!(counters.dropped_slow.load(SeqCst), 1);
    let mut heard = 0;
    let close = loop {
        match timeout(PATIENCE, slow.next()).await.unwrap() {
            Some(Ok(Message::Text(_))) => heard += 1,
            Some(Ok(Message::Close(Some(close)))) => break close,
            Some(Ok(_)) => {}
            other => panic!("ended without a word: {other:?}"),
        }
    };
    assert_eq!(u16::from(close.code), 1013);
    assert!(close.reason.starts_with("Too slow"), "{}", close.reason);
    assert!(heard < LARGE_MESSAGES, "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_ping_is_cut_off() {
    let fixture = Fixture::new(|config| config.websocket.heartbeat_seconds = 1);
    let address = serve(&fixture).await;
    let url = format!("ws://{address}/api/ws0/messages");
    let (deaf, _) = connect_async(&url).await.unwrap();
    let (mut alive, _) = connect_async(&url).await.unwrap();
    // Reading answers pings.
    let alive = tokio::spawn(async move { while alive.next().await.is_some_and(|f| f.is_ok()) {} });
    let counters = &fixture.context.streams.counters;
    let cut = async {
        while counters.dropped_silent.load(SeqCst) == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, cut).await.unwrap();
    assert_eq!(counters.messages_active.load(SeqCst), 1);
    assert!(!alive.is_finished());
    drop(deaf);
    alive.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = CcnConfig::in_folder(folder.path());
    config.listen = ([127, 0, 0, 1], 0).into();
    config.p2p.listen = "/ip4/127.0.0.1/tcp/0".to_owned();
    let cancel = CancellationToken::new();
    let node = Node::start(config, cancel.clone()).await.unwrap();
    let address = node.address;
    let served = tokio::spawn(node.serve(Router::new()));
    for path in ["messages", "status"] {
        let (mut socket, _) = connect_async(format!("ws://{address}/api/ws0/{path}"))
            .await
            .unwrap();
        if path == "messages" {
            tokio::spawn(async move { while socket.next().await.is_some() {} });
            continue;
        }
        assert!(next(&mut socket).await.is_object());
        cancel.cancel();
        let close = loop {
            match timeout(PATIENCE, socket.next()).await.unwrap() {
                Some(Ok(Message::Close(Some(close)))) => break close,
                Some(Ok(_)) => {}
                other => panic!("ended without a word: {other:?}"),
            }
        };
        assert_eq!(u16::from(close.code), 1001);
    }
    served.await.unwrap().unwrap();
}
