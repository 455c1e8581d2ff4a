//! What upstream's streams said, replayed over real sockets (core-api.md §11).

use axum::body::Body;
use futures::{SinkExt, StreamExt};
use http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Fixture, Socket, next, serve};
use crate::api::exchange::Answer;
use crate::api::recorded;

/// Filters that upstream does not look at live, or reads wrongly (§15 no. 13):
/// what passes for the recorded POST and STORE.
const MENDED: &[(&str, bool, bool)] = &[
    ("msgTypes=STORE", false, true),
    ("tags=livetag", true, false),
    ("contentKeys=k1", false, false),
    ("paymentTypes=hold", false, false),
];

/// The node as it was when the streams were recorded.
async fn node() -> (Fixture, String) {
    let fixture = Fixture::seeded().await;
    let posts = recorded(include_str!(
        "../../../../../../vectors/api/captures/post.json"
    ));
    for entry in posts.as_array().unwrap() {
        fixture.ask(crate::api::impatient(entry)).await;
    }
    // One came between the recordings; its file is not among them.
    let streams = recorded(include_str!(
        "../../../../../../vectors/api/captures/ws.json"
    ));
    let mut message = frames(&streams[0]["frames"]).pop().unwrap();
    let members = message.as_object_mut().unwrap();
    members.retain(|name, _| !LISTED.contains(&name.as_str()));
    stand_in_for_file(&fixture, &message).await;
    let body = json!({"message": message, "sync": true});
    let answer = fixture.post("/api/v0/messages", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let address = serve(&fixture).await;
    (fixture, address)
}

/// What a list adds to a message.
const LISTED: [&str; 4] = ["confirmations", "confirmed", "content", "size"];

/// Puts something where the file of a STORE would be.
async fn stand_in_for_file(fixture: &Fixture, message: &Value) {
    let content = message["item_content"].as_str().unwrap();
    let content: Value = serde_json::from_str(content).unwrap();
    let hash = content["item_hash"].as_str().unwrap();
    let file = fixture.context.blobs.path(hash).unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, b"x").unwrap();
    fixture.context.pipeline.add_file(hash, 1).await.unwrap();
}

async fn open(address: &str, path: &str) -> Socket {
    connect_async(format!("ws://{address}{path}"))
        .await
        .unwrap()
        .0
}

/// True when nothing was sent before the answer to a ping.
async fn is_silent(socket: &mut Socket) -> bool {
    socket.send(Message::Ping("p".into())).await.unwrap();
    matches!(socket.next().await, Some(Ok(Message::Pong(_))))
}

fn frames(list: &Value) -> Vec<Value> {
    let texts = list
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|frame| frame["text"].as_str());
    texts
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

/// A handshake and a frame of a client; what the server sends after its own
/// handshake.
async fn after_handshake(address: &str, frame: &[u8], length: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/ws0/messages?history=0 HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(frame).await.unwrap();
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

async fn live(fixture: &Fixture, address: &str, entry: &Value) {
    let message = &entry["published"];
    let is_store = message["type"] == "STORE";
    let mut sockets = Vec::new();
    for (path, expected) in entry["frames_per_connection"].as_object().unwrap() {
        sockets.push((path, expected, open(address, path).await));
    }
    if is_store {
        stand_in_for_file(fixture, message).await;
    }
    let body = json!({"message": message, "sync": true});
    let answer = fixture.post("/api/v0/messages", &body).await;
    let is_refused = entry["note"].is_string();
    assert_eq!(
        answer.status.as_u16(),
        if is_refused { 422 } else { 200 },
        "{}",
        answer.text()
    );
    let everything = frames(&entry["frames_per_connection"]["/api/ws0/messages?history=0&"]);
    for (path, expected, mut socket) in sockets {
        let mut expected = frames(expected);
        if let Some((_, post, store)) = MENDED.iter().find(|(filter, ..)| path.ends_with(filter)) {
            let passes = if is_store { *store } else { *post };
            expected = if passes {
                everything.clone()
            } else {
                Vec::new()
            };
        }
        for frame in expected {
            assert_eq!(next(&mut socket).await, frame, "{path}");
        }
        assert!(is_silent(&mut socket).await, "{path}");
    }
}

async fn invalid(address: &str, entry: &Value) {
    use base64::Engine;
    let bytes = entry["raw_bytes_b64"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(bytes)
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let recorded = text.rsplit("\r\n\r\n").next().unwrap();
    let recorded = recorded.trim_end_matches("<TimeoutError>");
    let path = entry["path"].as_str().unwrap();
    // §15 no. 13: refused before the upgrade instead of after it.
    let Err(Error::Http(answer)) = connect_async(format!("ws://{address}{path}")).await else {
        panic!("{path} was not refused");
    };
    assert_eq!(answer.status(), 422, "{path}");
    let said: Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    // The same limit in other words: at most 199, not less than 200.
    let members = match path.ends_with("history=200") {
        true => &["loc"][..],
        false => &["type", "loc", "msg"],
    };
    for member in members {
        assert_eq!(said[0][member], recorded[0][member], "{path}");
    }
}

async fn status(address: &str, entry: &Value) {
    let shown = next(&mut open(address, "/api/ws0/status").await).await;
    for (name, value) in frames(&entry["frames"])[0].as_object().unwrap() {
        // The fetch counters belong to the metrics, not to the stream.
        let is_elsewhere = name.starts_with("pyaleph_store_fetch_");
        let is_there = shown
            .get(name)
            .is_some_and(|ours| value.is_null() || ours.is_number() == value.is_number());
        assert!(is_there || is_elsewhere, "{name}: {}", shown[name]);
    }
    assert_eq!(
        shown["pyaleph_ws_status_connections_active"],
        json!(1),
        "§15 no. 19"
    );
}

async fn capacity(entry: &Value) {
    let fixture = Fixture::new(|config| config.websocket.max_message_connections = 1);
    let address = serve(&fixture).await;
    let mut first = open(&address, "/api/ws0/messages").await;
    assert!(is_silent(&mut first).await);
    let mut second = open(&address, "/api/ws0/messages").await;
    let Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) = second.next().await else {
        panic!("the second was let in");
    };
    let recorded = &entry["frames"][0];
    assert_eq!(json!(u16::from(code)), recorded["close"]);
    assert_eq!(reason.as_str(), recorded["reason"]);
}

fn hex(entry: &Value) -> Vec<u8> {
    let digits = entry["server_frame_hex"].as_str().unwrap();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_say_what_was_recorded() {
    let (fixture, address) = node().await;
    let entries = recorded(include_str!(
        "../../../../../../vectors/api/captures/ws.json"
    ));
    let entries = entries.as_array().unwrap();
    for entry in entries {
        match entry["kind"].as_str().unwrap() {
            "history" => {
                let path = entry["path"].as_str().unwrap();
                let mut socket = open(&address, path).await;
                for frame in frames(&entry["frames"]) {
                    assert_eq!(next(&mut socket).await, frame, "{path}");
                }
                assert!(is_silent(&mut socket).await, "{path}");
            }
            "invalid-params" => invalid(&address, entry).await,
            "no-upgrade" => {
                let request = Request::get(entry["path"].as_str().unwrap());
                let answer: Answer = fixture.ask(request.body(Body::empty()).unwrap()).await;
                assert_eq!(answer.status, 400);
                let text =
                    "No WebSocket UPGRADE hdr: None\n Can \"Upgrade\" only to \"WebSocket\".";
                assert_eq!(answer.text(), text);
            }
            "live" => live(&fixture, &address, entry).await,
            "status" => status(&address, entry).await,
            "capacity" => capacity(entry).await,
            // Masked with zeros. A close of code 1001 is answered with 1001, as
            // RFC 6455 §5.5.1 has it, where upstream says 1000.
            "client-close" => {
                let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
                let answer = after_handshake(&address, &close, 4).await;
                assert_eq!(answer, hex(entry));
            }
            "client-ping" => {
                let ping = [0x89, 0x82, 0, 0, 0, 0, b'h', b'i'];
                assert_eq!(after_handshake(&address, &ping, 4).await, hex(entry));
            }
            other => panic!("{other} is not known"),
        }
    }
    assert_eq!(entries.len(), 22);
}
