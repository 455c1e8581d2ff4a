//! A network of one process: what a core node, a scheduler and a compute node
//! say to the verb `deploy`, with the messages they were given.

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use beth_protocol::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How the fake network behaves.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// The verdict on PROGRAM messages: code and details.
    pub rejection: Option<(i32, Value)>,
    /// Why no node takes the program.
    pub unplaced: Option<&'static str>,
    /// Fault and traceback of the program's start.
    pub fault: Option<(&'static str, &'static str)>,
}

/// The fake network.
#[derive(Clone)]
pub struct Network {
    pub url: String,
    behaviour: Behaviour,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Network {
    /// Starts it on a free port.
    pub async fn start(behaviour: Behaviour) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let network = Network {
            url,
            behaviour,
            messages: Arc::default(),
        };
        let router = Router::new()
            .route("/api/v0/storage/add_file", post(add_file))
            .route("/api/v0/storage/raw/{hash}", get(raw))
            .route("/api/v0/messages", post(submit))
            .route("/api/v0/messages/{hash}", get(message))
            .route(
                "/api/v0/info/public.json",
                get(|| async { json_text(json!({"node_multi_addresses": []})) }),
            )
            .route("/api/v0/allocation/{hash}", get(allocation))
            .route("/beth/v1/programs/{hash}", get(program))
            .route("/vm/{hash}/{*path}", any(call))
            .route("/vm/{hash}/", any(call))
            .with_state(network.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        network
    }

    /// The messages it was given, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }
}

fn json_text(value: Value) -> String {
    value.to_string()
}

/// The one file it serves.
pub const FILE: &[u8] = b"hello\n";

async fn raw() -> Response {
    FILE.into_response()
}

async fn add_file(State(network): State<Network>, mut form: Multipart) -> Response {
    while let Some(part) = form.next_field().await.unwrap() {
        if part.name() == Some("metadata") {
            let metadata: Value = serde_json::from_slice(&part.bytes().await.unwrap()).unwrap();
            network
                .messages
                .lock()
                .unwrap()
                .push(Message::parse(&metadata["message"]).unwrap());
        }
    }
    json_text(json!({"status": "success", "hash": ""})).into_response()
}

async fn submit(State(network): State<Network>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    network
        .messages
        .lock()
        .unwrap()
        .push(Message::parse(&body["message"]).unwrap());
    let (status, name) = match network.behaviour.rejection {
        None => (StatusCode::OK, "processed"),
        Some(_) => (StatusCode::UNPROCESSABLE_ENTITY, "rejected"),
    };
    let publication = json!({"status": "success", "failed": []});
    (
        status,
        json_text(json!({"publication_status": publication, "message_status": name})),
    )
        .into_response()
}

async fn message(State(network): State<Network>, Path(hash): Path<String>) -> Response {
    let known = network
        .messages()
        .into_iter()
        .find(|message| message.item_hash.as_str() == hash);
    let Some(message) = known else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let status = if network.behaviour.rejection.is_some() {
        "rejected"
    } else {
        "processed"
    };
    let mut record = json!({"status": status, "item_hash": hash, "message": message});
    if let Some((code, details)) = &network.behaviour.rejection {
        record["error_code"] = (*code).into();
        record["details"] = details.clone();
    }
    json_text(record).into_response()
}

async fn allocation(State(network): State<Network>, Path(hash): Path<String>) -> Response {
    if let Some(reason) = network.behaviour.unplaced {
        return (
            StatusCode::NOT_FOUND,
            json_text(json!({ "reason": reason })),
        )
            .into_response();
    }
    let node = json!({"node_id": "node", "url": format!("{}/", network.url)});
    json_text(
        json!({"vm_hash": hash, "vm_type": "micro_vm", "node": node, "reason": "the only one"}),
    )
    .into_response()
}

async fn program(State(network): State<Network>, Path(hash): Path<String>) -> Response {
    let (fault, traceback) = network.behaviour.fault.unzip();
    let state = if fault.is_some() { "failed" } else { "running" };
    let phases = json!([{"name": "fetch", "milliseconds": 1.5}]);
    json_text(json!({"item_hash": hash, "executor": "wasm", "state": state, "phases": phases, "fault": fault, "traceback": traceback}))
        .into_response()
}

async fn call(State(network): State<Network>, request: axum::extract::Request) -> Response {
    if network.behaviour.fault.is_some() {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            "{\"error\": \"500: Error during vm initialisation\"}",
        )
            .into_response();
    }
    let status = if request.uri().path().ends_with("gone") {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    (
        status,
        [("Aleph-Program-ItemHash", "x")],
        format!("{} {}", request.method(), request.uri()),
    )
        .into_response()
}
