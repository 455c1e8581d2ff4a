//! How often an address and a sender may ask, and who it is that asks.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use beth_http::Peer;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use serde_json::{Value, json};

use crate::api::Fixture;

const STRANGER: &str = "198.51.100.7:4000";

/// A request that came over a connection from this address.
fn from(address: &str, method: Method, path: &str) -> Builder {
    let peer: SocketAddr = address.parse().unwrap();
    Request::builder()
        .method(method)
        .uri(path)
        .extension(Peer(peer))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let fixture = Fixture::new(|config| {
        let rate = &mut config.http.rate;
        (rate.reads_per_second, rate.reads_burst) = (1, 3);
        (rate.upload_bytes_per_second, rate.upload_bytes_burst) = (1_000, 1_000);
        config.http.trusted_proxies = vec!["203.0.113.1".into()];
    });
    let read = async |from_whom: &str, forwarded: &str| {
        let request = from(from_whom, Method::GET, "/version").header("x-forwarded-for", forwarded);
        fixture.ask(request.body(Body::empty()).unwrap()).await
    };
    for _ in 0..3 {
        assert_eq!(read(STRANGER, "").await.status, StatusCode::OK);
    }
    // A stranger cannot pretend to be another one.
    let refused = read(STRANGER, "198.51.100.8").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, "1")
    );
    assert!(
        refused.text().starts_with("too many reads: wait 1 s"),
        "{}",
        refused.text()
    );
    // A proxy speaks for many, this machine asks as often as it likes.
    assert_eq!(
        read("203.0.113.1:1", "198.51.100.7").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(
        read("203.0.113.1:1", "198.51.100.9").await.status,
        StatusCode::OK
    );
    for _ in 0..5 {
        assert_eq!(read("127.0.0.1:1", "").await.status, StatusCode::OK);
    }
    let upload = async || {
        let request = from(STRANGER, Method::POST, "/api/v0/storage/add_file");
        fixture
            .ask(request.body(Body::from(vec![b'x'; 50_000])).unwrap())
            .await
    };
    assert_eq!(upload().await.status, StatusCode::OK);
    let later = upload().await;
    assert_eq!(later.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = later.header("retry-after").parse().unwrap();
    assert!((45..=49).contains(&wait), "{wait}");
    let text = fixture.get("/metrics").await.text();
    for line in [
        "rate_limited_total{kind=\"reads\"} 2",
        "rate_limited_total{kind=\"uploads\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_nobody_is_a_program_of_this_machine() {
    let fixture = Fixture::new(|config| {
        let rate = &mut config.http.rate;
        (rate.reads_per_second, rate.reads_burst) = (1, 3);
        config.http.trusted_proxies = vec!["127.0.0.1".into()];
    });
    let read = async |forwarded: &[u8]| {
        let forwarded = HeaderValue::from_bytes(forwarded).unwrap();
        let request =
            from("127.0.0.1:1", Method::GET, "/version").header("x-forwarded-for", forwarded);
        let answer = fixture.ask(request.body(Body::empty()).unwrap());
        answer.await.status
    };
    for _ in 0..3 {
        assert_eq!(read(b"nonsense").await, StatusCode::OK);
    }
    assert_eq!(read(b"nonsense").await, StatusCode::TOO_MANY_REQUESTS);
    // What the client put in front of the list changes nothing.
    for _ in 0..3 {
        assert_eq!(read(b"\xe9, 198.51.100.9").await, StatusCode::OK);
    }
    let again = read(b"198.51.100.9").await;
    assert_eq!(again, StatusCode::TOO_MANY_REQUESTS);
}

fn post(account: &Account, number: i64) -> Value {
    let time = Timestamp::from_seconds(1_793_500_000 + number);
    let content =
        json!({"address": account.address(), "time": time, "type": "t", "content": number});
    json!({"message": account.sign_message(MessageType::Post, &content, None, time)})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_has_a_rate_that_others_cannot_use_up() {
    let fixture = Fixture::new(|config| {
        let rate = &mut config.http.rate;
        (rate.sender_messages_per_second, rate.sender_messages_burst) = (1, 2);
    });
    let submit = async |address: &str, body: &Value| {
        let request = from(address, Method::POST, "/api/v0/messages");
        fixture
            .ask(request.body(Body::from(body.to_string())).unwrap())
            .await
            .status
    };
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    // Forged messages in his name are refused and cost him nothing.
    for number in 0..10 {
        let mut forged = post(&account, number);
        forged["message"]["signature"] = json!(format!("0x{}", "22".repeat(65)));
        assert_eq!(submit(STRANGER, &forged).await, StatusCode::ACCEPTED);
    }
    let mut taken = 0;
    for number in 10..20 {
        let from_anywhere = format!("198.51.100.{number}:1");
        match submit(&from_anywhere, &post(&account, number)).await {
            StatusCode::ACCEPTED => taken += 1,
            other => assert_eq!(other, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert!((2..=5).contains(&taken), "{taken} of 10 were taken");
}
