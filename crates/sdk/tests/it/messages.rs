//! Submitting and following messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use beth_protocol::{ItemHash, MessageType, Status};
use beth_sdk::client::messages::{MessageFilter, Wait};
use beth_sdk::{Client, Error};
use serde_json::{Value, json};

use crate::fake;

fn published(status: &str) -> String {
    json!({"publication_status": {"status": "success", "failed": []}, "message_status": status})
        .to_string()
}

async fn submitting_to(status: u16, body: String) -> Result<Status, Error> {
    let status = StatusCode::from_u16(status).unwrap();
    let router = Router::new().route(
        "/api/v0/messages",
        post(move || async move { (status, body) }),
    );
    let client = Client::new(&fake::serve(router).await).unwrap();
    client
        .submit(&fake::post("x"), Wait::Verdict)
        .await
        .map(|submission| submission.status)
}

#[tokio::test]
async fn every_status_of_a_submission() {
    assert_eq!(
        submitting_to(200, published("processed")).await.unwrap(),
        Status::Processed
    );
    assert_eq!(
        submitting_to(202, published("pending")).await.unwrap(),
        Status::Pending
    );
    assert_eq!(
        submitting_to(422, published("rejected")).await.unwrap(),
        Status::Rejected
    );
    let malformed = submitting_to(422, "InvalidMessageFormat".into())
        .await
        .unwrap_err();
    assert!(
        matches!(malformed, Error::Rejected { code: None, .. }),
        "{malformed}"
    );
    assert!(malformed.to_string().contains("InvalidMessageFormat"));
    let down = submitting_to(500, published("pending")).await.unwrap_err();
    assert!(
        matches!(down, Error::Refused { status: 500, .. }) && down.is_transient(),
        "{down}"
    );
    let large = submitting_to(413, "Maximum request body size 1048576 exceeded.".into())
        .await
        .unwrap_err();
    assert!(
        large.to_string().contains("413") && !large.is_transient(),
        "{large}"
    );
    let other = submitting_to(200, "<html>".into()).await.unwrap_err();
    assert!(matches!(other, Error::Malformed { .. }), "{other}");
    let wrong_port = submitting_to(404, "not here".into()).await.unwrap_err();
    assert!(
        wrong_port.to_string().contains("check address and port"),
        "{wrong_port}"
    );
}

/// A node that needs three looks before it ends with `last`.
async fn slow_node(last: Value) -> Client {
    let looks = Arc::new(AtomicUsize::new(0));
    let look = move |Path(hash): Path<String>| async move {
        let pending = json!({"status": "pending", "item_hash": hash, "reception_time": "2026-11-22T14:28:20Z", "messages": []});
        let mut last = last;
        last["item_hash"] = hash.into();
        let body = if looks.fetch_add(1, Ordering::SeqCst) < 2 {
            pending
        } else {
            last
        };
        body.to_string()
    };
    let router = Router::new()
        .route(
            "/api/v0/messages",
            post(|| async { (StatusCode::ACCEPTED, published("pending")) }),
        )
        .route("/api/v0/messages/{hash}", get(look));
    Client::new(&fake::serve(router).await).unwrap()
}

#[tokio::test]
async fn publishing_follows_to_the_verdict() {
    let client = slow_node(json!({"status": "processed", "message": {}})).await;
    let record = client
        .publish(&fake::post("x"), Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(record.status, Status::Processed);

    let details = json!({"errors": [{"required_balance": "10.5", "account_balance": "1"}]});
    let client =
        slow_node(json!({"status": "rejected", "error_code": 5, "details": details})).await;
    let error = client
        .publish(&fake::post("x"), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("holds 1 ALEPH and needs 10.5"),
        "{error}"
    );
}

#[tokio::test]
async fn waiting_ends() {
    let client = slow_node(json!({"status": "pending"})).await;
    let message = fake::post("x");
    let error = client
        .publish(&message, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::StillPending { item_hash, .. } if *item_hash == message.item_hash),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_message_is_none() {
    let not_found = || async { (StatusCode::NOT_FOUND, "404: Not Found") };
    let client = Client::new(&fake::serve(Router::new().fallback(not_found)).await).unwrap();
    let hash = ItemHash::of_bytes(b"x");
    assert_eq!(client.status(&hash).await.unwrap(), None);
    assert_eq!(client.message(&hash).await.unwrap(), None);
    assert_eq!(client.aggregate("0xA", "key").await.unwrap(), None);
}

#[tokio::test]
async fn lists_are_filtered_and_checked() {
    let message = fake::post("listed");
    let mut raw = serde_json::to_value(&message).unwrap();
    raw["content"] = serde_json::from_str(message.item_content.as_deref().unwrap()).unwrap();
    raw["confirmed"] = true.into();
    let mut forged = raw.clone();
    forged["item_content"] = "{}".into();
    let list = move |RawQuery(query): RawQuery| async move {
        let query = query.unwrap_or_default();
        if !query.contains("msgTypes=POST%2CSTORE") || !query.contains("pagination=7") {
            return (StatusCode::UNPROCESSABLE_ENTITY, query).into_response();
        }
        let listed = if query.contains("channels=FORGED") {
            forged.clone()
        } else {
            raw.clone()
        };
        json!({ "messages": [listed] }).to_string().into_response()
    };
    let router = Router::new().route("/api/v0/messages.json", get(list));
    let client = Client::new(&fake::serve(router).await).unwrap();
    let filter = MessageFilter {
        types: vec![MessageType::Post, MessageType::Store],
        per_page: Some(7),
        ..MessageFilter::default()
    };
    let listed = client.messages(&filter).await.unwrap();
    assert_eq!(listed[0].message, message);
    assert!(listed[0].confirmed && listed[0].content["content"]["text"] == "listed");
    let forged = MessageFilter {
        channels: vec!["FORGED".into()],
        ..filter
    };
    assert!(matches!(
        client.messages(&forged).await.unwrap_err(),
        Error::Malformed { .. }
    ));
}
