//! Storing and fetching files.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Multipart, Path};
use axum::http::StatusCode;
use axum::routing::{get, post};
use beth_protocol::cid::{Cid, Layout};
use beth_protocol::{Content, ItemHash, Message, MessageType, Status, signature};
use beth_sdk::content::StoreDraft;
use beth_sdk::{Client, Error, development};
use serde_json::{Value, json};

use crate::fake;

/// Name, content type and bytes of a part.
type Part = (String, Option<String>, Vec<u8>);

async fn uploading_to(status: u16, body: &'static str) -> (Result<ItemHash, Error>, Vec<Part>) {
    let parts: Arc<Mutex<Vec<Part>>> = Arc::default();
    let kept = parts.clone();
    let upload = move |mut form: Multipart| async move {
        while let Some(part) = form.next_field().await.unwrap() {
            let name = part.name().unwrap().to_owned();
            let content_type = part.content_type().map(str::to_owned);
            let bytes = part.bytes().await.unwrap().to_vec();
            kept.lock().unwrap().push((name, content_type, bytes));
        }
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let rejected = |Path(hash): Path<String>| async move {
        json!({"status": "rejected", "item_hash": hash, "error_code": 202, "details": null})
            .to_string()
    };
    let router = Router::new()
        .route("/api/v0/storage/add_file", post(upload))
        .route("/api/v0/messages/{hash}", get(rejected));
    let client = Client::new(&fake::serve(router).await).unwrap();
    let account = development::first_account().unwrap();
    let draft = StoreDraft {
        channel: Some("FILES".into()),
        ..StoreDraft::default()
    };
    let stored = client.store_file(&account, "hello".into(), &draft).await;
    let stored = stored.map(|stored| {
        assert_eq!(
            stored.status,
            if status == 200 {
                Status::Processed
            } else {
                Status::Pending
            }
        );
        assert_eq!(
            (stored.file_hash, stored.size_bytes),
            (ItemHash::of_bytes(b"hello"), 5)
        );
        stored.item_hash
    });
    let parts = parts.lock().unwrap().clone();
    (stored, parts)
}

#[tokio::test]
async fn an_upload_is_a_signed_message_and_the_bytes() {
    let (stored, parts) = uploading_to(200, r#"{"status": "success", "hash": "…"}"#).await;
    let [metadata, file] = parts.try_into().unwrap();
    assert_eq!(file, ("file".to_owned(), None, b"hello".to_vec()));
    assert_eq!(
        (metadata.0.as_str(), metadata.1.as_deref()),
        ("metadata", Some("application/json"))
    );

    let metadata: Value = serde_json::from_slice(&metadata.2).unwrap();
    assert_eq!(metadata["sync"], true);
    let message = Message::parse(&metadata["message"]).unwrap();
    assert_eq!(signature::verify(&message), Ok(()));
    assert_eq!(
        (message.message_type, message.channel.as_deref()),
        (MessageType::Store, Some("FILES"))
    );
    assert_eq!(message.item_hash, stored.unwrap());
    let Content::Store(content) = message.inline_content().unwrap().unwrap().typed else {
        panic!("no STORE")
    };
    assert_eq!(content.item_hash, ItemHash::of_bytes(b"hello"));
}

#[tokio::test]
async fn every_status_of_an_upload() {
    assert!(
        uploading_to(202, r#"{"status": "success", "hash": "…"}"#)
            .await
            .0
            .is_ok()
    );
    let error = |status, body| async move { uploading_to(status, body).await.0.unwrap_err() };
    assert!(matches!(
        error(402, "402: Payment Required").await,
        Error::PaymentRequired { size_bytes: 5, .. }
    ));
    assert!(matches!(
        error(413, "too large").await,
        Error::TooLarge { size_bytes: 5 }
    ));
    assert!(matches!(
        error(422, r#"{"status": "success"}"#).await,
        Error::Rejected {
            code: Some(202),
            ..
        }
    ));
    let mismatch = error(422, "422: File hash does not match (a != b)").await;
    assert!(
        mismatch.to_string().contains("File hash does not match"),
        "{mismatch}"
    );
    assert!(matches!(
        error(403, "403: Forbidden").await,
        Error::Refused { status: 403, .. }
    ));
}

fn cid_of(bytes: &[u8]) -> String {
    Cid::of_bytes(Layout::V0, bytes).to_string()
}

#[tokio::test]
async fn downloads_are_compared_with_their_name() {
    let good = ItemHash::of_bytes(b"good bytes");
    let served = good.clone();
    let raw = move |Path(hash): Path<String>| async move {
        if hash == served.as_str() {
            (StatusCode::OK, "good bytes")
        } else if hash.starts_with('0') || hash.starts_with("Qm") {
            (StatusCode::OK, "other bytes")
        } else {
            (StatusCode::NOT_FOUND, "Not found")
        }
    };
    let router = Router::new().route("/api/v0/storage/raw/{hash}", get(raw));
    let client = Client::new(&fake::serve(router).await).unwrap();
    let hash = |text: &str| ItemHash::parse(text).unwrap();

    let mut sink = Vec::new();
    assert_eq!(client.download(&good, 10, &mut sink).await.unwrap(), 10);
    assert_eq!(sink, b"good bytes");
    let too_long = client.download(&good, 9, &mut Vec::new()).await;
    assert!(matches!(too_long, Err(Error::TooLong { bytes_max: 9, .. })));
    let lie = client
        .download(&hash(&"0".repeat(64)), 100, &mut Vec::new())
        .await
        .unwrap_err();
    assert!(
        matches!(&lie, Error::WrongFile { actual, .. } if *actual == ItemHash::of_bytes(b"other bytes")),
        "{lie}"
    );
    let gone = client
        .download(&hash(&"1".repeat(64)), 100, &mut Vec::new())
        .await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    let cid = hash(&cid_of(b"other bytes"));
    let mut sink = Vec::new();
    assert_eq!(client.download(&cid, 100, &mut sink).await.unwrap(), 11);
    assert_eq!(sink, b"other bytes");
    let lie = hash(&cid_of(b"good bytes"));
    let lie = client.download(&lie, 100, &mut Vec::new()).await;
    assert!(matches!(lie, Err(Error::WrongFile { actual, .. }) if actual == cid));
    let unknown = hash("Qm111111111111111111111111111111111111111111");
    assert!(matches!(
        client.download(&unknown, 100, &mut Vec::new()).await,
        Err(Error::Unverifiable { .. })
    ));
}
