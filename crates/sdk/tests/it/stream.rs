//! The message stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::RawQuery;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::routing::get;
use beth_protocol::{Message, MessageType};
use beth_sdk::client::messages::MessageFilter;
use beth_sdk::{Client, Error};
use futures::StreamExt;

use crate::fake;

async fn send(socket: &mut WebSocket, message: &Message) {
    let text = serde_json::to_string(message).unwrap();
    socket.send(Frame::Text(text.into())).await.unwrap();
}

#[tokio::test]
async fn a_broken_stream_connects_again_and_repeats_nothing() {
    let messages = ["a", "b", "c"].map(fake::post);
    let sent = messages.clone();
    let connections = Arc::new(AtomicUsize::new(0));
    let stream = move |upgrade: WebSocketUpgrade, RawQuery(query): RawQuery| async move {
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let query = query.unwrap_or_default();
        assert!(query.contains("msgTypes=POST"), "{query}");
        assert!(
            query.contains(if connection == 0 {
                "history=3"
            } else {
                "startDate="
            }),
            "{query}"
        );
        upgrade.on_upgrade(move |mut socket| async move {
            send(&mut socket, &sent[0]).await;
            send(&mut socket, &sent[1]).await;
            if connection > 0 {
                socket
                    .send(Frame::Ping("are you there".into()))
                    .await
                    .unwrap();
                send(&mut socket, &sent[2]).await;
                socket.recv().await;
            }
        })
    };
    let router = Router::new().route("/api/ws0/messages", get(stream));
    let client = Client::new(&fake::serve(router).await).unwrap();
    let filter = MessageFilter {
        types: vec![MessageType::Post],
        ..MessageFilter::default()
    };
    let mut stream = client.watch(filter, 3).await.unwrap();

    let mut seen = Vec::new();
    let mut breaks = 0;
    while seen.len() < 3 {
        match stream.next().await.unwrap() {
            Ok(listed) => seen.push(listed.message),
            Err(error) => {
                assert!(matches!(error, Error::Broken { .. }), "{error}");
                breaks += 1;
            }
        }
    }
    assert_eq!(seen, messages);
    assert_eq!(breaks, 1);
}

#[tokio::test]
async fn a_refused_stream_is_an_error_at_once() {
    let refuse = || async { (StatusCode::UNPROCESSABLE_ENTITY, "bad filter") };
    let router = Router::new().route("/api/ws0/messages", get(refuse));
    let client = Client::new(&fake::serve(router).await).unwrap();
    let Err(error) = client.watch(MessageFilter::default(), 0).await else {
        panic!("it was refused")
    };
    assert!(error.to_string().contains("422"), "{error}");
}
