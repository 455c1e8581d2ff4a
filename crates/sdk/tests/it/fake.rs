//! A server on a free port, and a message to send to it.

use std::future::IntoFuture;

use axum::Router;
use beth_protocol::{Message, MessageType};
use beth_sdk::{content, development};
use serde_json::json;
use tokio::net::TcpListener;

/// Serves until the test's runtime ends; returns the base URL.
pub async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}")
}

/// A signed post; `text` makes it unique.
pub fn post(text: &str) -> Message {
    let account = development::first_account().unwrap();
    let inner = content::post(account.address(), "note", json!({ "text": text }), None);
    account.sign_message(MessageType::Post, &inner, Some("TEST"), beth_sdk::now())
}
