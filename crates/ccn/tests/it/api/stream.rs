//! The stream of messages, over a real socket.

mod ends;
mod recorded;

use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::Fixture;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn served() -> (Fixture, String) {
    let fixture = Fixture::seeded().await;
    let address = serve(&fixture).await;
    (fixture, format!("ws://{address}/api/ws0/messages"))
}

/// Serves the routes; answers the address.
async fn serve(fixture: &Fixture) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = fixture.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address.to_string()
}

async fn open(url: &str, query: &str) -> Socket {
    connect_async(format!("{url}?{query}")).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn post(fixture: &Fixture, account: &Account, number: i64, tag: &str) -> String {
    let time = Timestamp::from_seconds(1_793_500_000 + number);
    let content = json!({
        "address": account.address(), "time": time, "type": "live",
        "content": {"number": number, "tags": [tag]},
    });
    let message = account.sign_message(MessageType::Post, &content, Some("LIVE"), time);
    let answer = fixture
        .post(
            "/api/v0/messages",
            &json!({"message": message, "sync": true}),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    message.item_hash.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_chronological_and_then_comes_what_happens() {
    let (fixture, url) = served().await;
    let listed = fixture
        .get("/api/v0/messages.json?pagination=3&msgTypes=POST")
        .await
        .json();
    let mut socket = open(&url, "history=3&msgTypes=POST").await;
    for expected in listed["messages"].as_array().unwrap().iter().rev() {
        assert_eq!(&next(&mut socket).await, expected);
    }
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    let hash = post(&fixture, &account, 1, "a").await;
    let live = next(&mut socket).await;
    assert_eq!(live["item_hash"], json!(hash));
    assert_eq!(
        live["content"]["ref"],
        Value::Null,
        "typed contents show absent members"
    );
    assert!(live.get("size").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_counts_live() {
    let (fixture, url) = served().await;
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    let address = account.address();
    for passing in [
        "tags=b".to_owned(),
        "msgTypes=STORE,POST&channels=LIVE".into(),
        format!("addresses={address}&owners={address}&contentTypes=live&chains=ETH"),
        // Dates are about the history only.
        "endDate=1&channels=LIVE".into(),
    ] {
        let mut socket = open(&url, &format!("history=0&contentFormat=none&{passing}")).await;
        let mut other = open(&url, "history=0&tags=never").await;
        post(&fixture, &account, passing.len() as i64, "a").await;
        let hash = post(&fixture, &account, 100 + passing.len() as i64, "b").await;
        let mut live = next(&mut socket).await;
        assert!(live.get("content").is_none());
        if passing != "tags=b" {
            live = next(&mut socket).await;
        }
        assert_eq!(live["item_hash"], json!(hash), "{passing}");
        // The one that wants something else was sent nothing before this pong.
        other.send(Message::Ping("p".into())).await.unwrap();
        assert!(matches!(
            other.next().await.unwrap().unwrap(),
            Message::Pong(_)
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_refuse_the_handshake() {
    let (fixture, url) = served().await;
    for query in ["history=200", "msgType=FOO", "hashes=abc"] {
        match connect_async(format!("{url}?{query}")).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 422, "{query}"),
            other => panic!("{query}: {:?}", other.map(|_| "connected")),
        }
    }
    assert_eq!(fixture.get("/api/ws0/messages").await.status, 400);
}
