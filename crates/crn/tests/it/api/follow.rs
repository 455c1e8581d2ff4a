//! Logs over a WebSocket, frame by frame as upstream sends them.

use std::sync::Arc;

use beth_protocol::{Account, ItemHash};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::fake::instances::{FakeInstances, line, machine};
use crate::fake::wallet::Wallet;
use crate::fake::{FakeCore, TestNode, within};

const MACHINE: &str = "8920215b2e961a4d4c59a8ceb2803af53f91530ff53d6704273ab4d380bc6446";

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(node: &TestNode, target: &str) -> Result<Socket, Error> {
    let url = format!("{}{target}", node.url.replacen("http", "ws", 1));
    let connected = within(tokio_tungstenite::connect_async(url)).await;
    connected.map(|(socket, _)| socket)
}

/// The next frame as the transcripts write it.
async fn next(socket: &mut Socket) -> Value {
    match within(socket.next()).await {
        Some(Ok(Message::Text(text))) => json!({"text": text.as_str()}),
        Some(Ok(Message::Close(Some(frame)))) => {
            json!({"event": "CLOSE", "data": u16::from(frame.code).to_string()})
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_transcripts() {
    let text = include_str!("../../../../../vectors/crn/websocket_transcripts.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let core = FakeCore::start().await;
    let instances = FakeInstances::new();
    let given = instances.clone();
    let node =
        TestNode::start_given(&core, None, |_| {}, |parts| parts.instances = Some(given)).await;
    let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let owner = Wallet(Account::ethereum(key).unwrap());
    let target = format!("/control/machine/{MACHINE}/stream_logs");
    let item_hash = ItemHash::parse(MACHINE).unwrap();
    for (name, transcript) in vectors["transcripts"].as_object().unwrap() {
        let mut known = machine(&item_hash, owner.0.address());
        known.is_running = !matches!(name.as_str(), "starting" | "stopped_past_logs");
        known.is_starting = name == "starting";
        instances.put(known);
        *instances.logs.lock().unwrap() = match name.as_str() {
            "good" => vec![line(0, false, "line 1\n"), line(0, true, "err 1")],
            "stopped_past_logs" => vec![line(0, false, "hello"), line(0, true, "oops")],
            _ => Vec::new(),
        };
        if name == "unknown_vm" {
            let unknown = format!("/control/machine/{}/stream_logs", "cafe".repeat(16));
            match connect(&node, &unknown).await {
                Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 404),
                other => panic!("{other:?}"),
            }
            continue;
        }
        let mut frame = owner.frame(&target);
        match name.as_str() {
            "no_auth_key" => frame = json!({"x": 1}),
            "auth_string" => frame = json!({"auth": "x"}),
            "auth_missing_pubkey" => drop(
                frame["auth"]
                    .as_object_mut()
                    .unwrap()
                    .remove("X-SignedPubKey"),
            ),
            "bad_domain" => {
                let mut operation = Wallet::operation("GET", &target);
                operation["domain"] = json!("evil.org");
                frame["auth"]["X-SignedOperation"] = Wallet::ask(&operation);
            }
            "good_path_and_method_not_checked" => {
                let operation = Wallet::operation("POST", "/elsewhere");
                frame["auth"]["X-SignedOperation"] = Wallet::ask(&operation);
            }
            "unauthorized" => frame = Wallet::stranger().frame(&target),
            _ => {}
        }
        let text = match name.as_str() {
            "not_json" => "nonsense".to_owned(),
            _ => frame.to_string(),
        };
        let mut socket = connect(&node, &target).await.unwrap();
        socket.send(Message::text(text)).await.unwrap();
        for expected in transcript.as_array().unwrap() {
            if expected["event"] == "(open, nothing more)" {
                break;
            }
            assert_eq!(next(&mut socket).await, *expected, "{name}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_lines_follow_and_the_past_can_be_short() {
    let core = FakeCore::start().await;
    let instances: Arc<FakeInstances> = FakeInstances::new();
    let given = instances.clone();
    let node =
        TestNode::start_given(&core, None, |_| {}, |parts| parts.instances = Some(given)).await;
    let owner = Wallet::stranger();
    let item_hash = ItemHash::parse(MACHINE).unwrap();
    instances.put(machine(&item_hash, owner.0.address()));
    let lines = |numbers: std::ops::Range<i64>| -> Vec<_> {
        numbers
            .map(|number| line(number * 1_000_000, false, &number.to_string()))
            .collect()
    };
    *instances.logs.lock().unwrap() = lines(0..10);
    let target = format!("/control/machine/{MACHINE}/stream_logs");
    let said = |text: &str| json!({"text": json!({"type": "stdout", "message": text}).to_string().replace("\":", "\": ").replace(",\"", ", \"")});
    // Register 32: who has seen the past need not see it again.
    for (query, first) in [("?limit=1", "9"), ("?since=1772362808", "8")] {
        let mut socket = connect(&node, &format!("{target}{query}")).await.unwrap();
        let frame = owner.frame(&target).to_string();
        socket.send(Message::text(frame)).await.unwrap();
        assert_eq!(
            next(&mut socket).await,
            json!({"text": r#"{"status": "connected"}"#})
        );
        assert_eq!(next(&mut socket).await, said(first), "{query}");
    }
    let mut socket = connect(&node, &format!("{target}?limit=0")).await.unwrap();
    let frame = owner.frame(&target).to_string();
    socket.send(Message::text(frame)).await.unwrap();
    assert_eq!(
        next(&mut socket).await,
        json!({"text": r#"{"status": "connected"}"#})
    );
    // The oldest lines drop out, as they do in a bounded log.
    *instances.logs.lock().unwrap() = lines(5..12);
    assert_eq!(next(&mut socket).await, said("10"));
    assert_eq!(next(&mut socket).await, said("11"));
    instances.change(&item_hash, |known| known.is_running = false);
    assert_eq!(
        next(&mut socket).await,
        json!({"event": "CLOSE", "data": "1000"})
    );
    node.stop().await;
}
