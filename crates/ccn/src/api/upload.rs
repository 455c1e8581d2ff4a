//! Uploads (core-api.md §9.2, §9.3).
//!
//! ```text
//!  body ─▶ blobs/incoming (hashed while it arrives) ─▶ metadata? ─▶ checks ─▶ in place ─▶ file row
//!                                                          └─ STORE message ─▶ pipeline
//! ```
//!
//! The file may come before its metadata, so nothing is known about it while it
//! is written; what fails a check later leaves nothing behind.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use beth_protocol::{Content, ItemType, Message, MessageType, signature};
use beth_store::blobs::{Hashed, Incoming};
use futures::StreamExt;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::answer::{ApiError, Fault, Json, ok};
use super::funds::{Upload, suffice};
use super::storage::blocking;
use super::submission::{Mode, accept, boolean};
use super::{body, json as canonical};
use crate::context::Context;
use crate::limits::JSON_BODY_BYTES_MAX;
use crate::pipeline::now;

/// Routes that take files.
pub fn routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/api/v0/storage/add_json", post(add_json))
        // The limits of this route depend on what is uploaded.
        .route(
            "/api/v0/storage/add_file",
            post(add_file).layer(DefaultBodyLimit::disable()),
        )
        .route("/api/v0/ipfs/add_json", post(no_ipfs))
        .route("/api/v0/ipfs/add_file", post(no_ipfs))
        .route("/api/v0/ipfs/add_car", post(no_ipfs))
}

/// Stores a JSON value, written again in one fixed way.
async fn add_json(State(context): State<Arc<Context>>, body: Body) -> Result<Response, ApiError> {
    let no_json = || ApiError::reason(StatusCode::UNPROCESSABLE_ENTITY, "the body must be JSON");
    let bytes = body::read(
        body,
        context.config.storage.max_unauthenticated_upload_file_size,
    )
    .await?;
    let _permit = context.rewrites.acquire().await;
    let text = String::from_utf8(bytes.into()).map_err(|_| no_json())?;
    let blobs = context.blobs.clone();
    let kept = blocking(move || match canonical::canonical(&text) {
        Ok(text) => blobs.put(text.as_bytes()).map(Some),
        Err(_) => Ok(None),
    })
    .await?
    .ok_or_else(no_json)?;
    context
        .pipeline
        .add_upload(&kept.hash, kept.size_bytes)
        .await?;
    Ok(ok(success(&kept.hash)).into_response())
}

/// What clients expect of a node without IPFS.
async fn no_ipfs() -> ApiError {
    ApiError::reason(StatusCode::FORBIDDEN, "IPFS is disabled on this node")
}

fn success(hash: &str) -> Value {
    json!({"status": "success", "hash": hash})
}

async fn add_file(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, ApiError> {
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_form = content_type
        .is_some_and(|text| text.to_ascii_lowercase().starts_with("multipart/form-data"));
    if !is_form {
        let file = receive(&context, request.into_body()).await?;
        return keep_upload(&context, file).await;
    }
    let form = Multipart::from_request(request, &())
        .await
        .map_err(|_| body::broken())?;
    let (file, metadata) = read_form(&context, form).await?;
    let missing = "File should be sent as FormData or Raw Upload";
    let file = file.ok_or_else(|| ApiError::reason(StatusCode::BAD_REQUEST, missing))?;
    let Some(metadata) = metadata else {
        let bytes_max = context.config.storage.max_unauthenticated_upload_file_size;
        if file.size_bytes > bytes_max {
            return Err(ApiError::too_large(bytes_max));
        }
        return keep_upload(&context, file).await;
    };
    let (message, mode) = read_metadata(&metadata)?;
    check(&context, &file, &message).await?;
    let blobs = context.blobs.clone();
    let kept = blocking(move || blobs.keep(file)).await?;
    context
        .pipeline
        .add_file(&kept.hash, kept.size_bytes)
        .await?;
    let raw = serde_json::to_value(&message).map_err(|_| ApiError::internal())?;
    let Json(status, _) = accept(&context, raw, mode).await?;
    Ok(Json(status, success(&kept.hash)).into_response())
}

async fn keep_upload(context: &Context, file: Hashed) -> Result<Response, ApiError> {
    let blobs = context.blobs.clone();
    let kept = blocking(move || blobs.keep(file)).await?;
    context
        .pipeline
        .add_upload(&kept.hash, kept.size_bytes)
        .await?;
    Ok(ok(success(&kept.hash)).into_response())
}

/// The whole body as a file.
async fn receive(context: &Context, body: Body) -> Result<Hashed, ApiError> {
    let bytes_max = context.config.storage.max_unauthenticated_upload_file_size;
    let mut incoming = begin(context).await?;
    let mut stream = body.into_data_stream();
    while let Some(chunk) = body::timely(stream.next()).await? {
        incoming = write(incoming, chunk.map_err(|_| body::broken())?, bytes_max).await?;
    }
    blocking(move || incoming.finish()).await
}

/// The parts `file` and `metadata`, in any order; others are skipped.
async fn read_form(
    context: &Context,
    mut form: Multipart,
) -> Result<(Option<Hashed>, Option<Bytes>), ApiError> {
    let storage = &context.config.storage;
    let (mut file, mut metadata) = (None, None);
    let mut skipped = 0;
    while let Some(mut field) = body::timely(form.next_field())
        .await?
        .map_err(|_| body::broken())?
    {
        match field.name() {
            Some("file") if file.is_none() => {
                let mut incoming = begin(context).await?;
                while let Some(chunk) = piece(&mut field).await? {
                    incoming = write(incoming, chunk, storage.max_file_size).await?;
                }
                file = Some(blocking(move || incoming.finish()).await?);
            }
            Some("metadata") => metadata = Some(small(field).await?),
            _ => {
                while let Some(chunk) = piece(&mut field).await? {
                    skipped += chunk.len() as u64;
                    if skipped > storage.max_file_size {
                        return Err(ApiError::too_large(storage.max_file_size));
                    }
                }
            }
        }
    }
    Ok((file, metadata))
}

async fn piece(field: &mut Field<'_>) -> Result<Option<Bytes>, ApiError> {
    body::timely(field.chunk())
        .await?
        .map_err(|_| body::broken())
}

async fn begin(context: &Context) -> Result<Incoming, ApiError> {
    let blobs = context.blobs.clone();
    blocking(move || blobs.begin()).await
}

async fn write(mut incoming: Incoming, chunk: Bytes, bytes_max: u64) -> Result<Incoming, ApiError> {
    if incoming.size_bytes() + chunk.len() as u64 > bytes_max {
        return Err(ApiError::too_large(bytes_max));
    }
    blocking(move || {
        incoming.write(&chunk)?;
        Ok(incoming)
    })
    .await
}

async fn small(mut field: Field<'_>) -> Result<Bytes, ApiError> {
    let mut whole = bytes::BytesMut::new();
    while let Some(chunk) = piece(&mut field).await? {
        if (whole.len() + chunk.len()) as u64 > JSON_BODY_BYTES_MAX {
            return Err(ApiError::too_large(JSON_BODY_BYTES_MAX));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// `{"message": an inline STORE message, "sync": bool}`.
fn read_metadata(bytes: &[u8]) -> Result<(Message, Mode), ApiError> {
    let refuse = |faults: Vec<Fault>| {
        let items: Vec<Value> = faults.iter().map(Fault::to_json).collect();
        unprocessable(format!(
            "Could not decode metadata: {}",
            Value::Array(items)
        ))
    };
    let metadata: Value = serde_json::from_slice(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        refuse(vec![Fault::new(
            "json_invalid",
            Vec::new(),
            format!("Invalid JSON: {error}"),
            text.into(),
        )])
    })?;
    let loc = |path: &[&str]| {
        path.iter()
            .map(|&part| Value::from(part))
            .collect::<Vec<_>>()
    };
    let mut faults = Vec::new();
    if metadata.get("message").is_none() {
        faults.push(Fault::missing(loc(&["message"]), metadata.clone()));
    }
    let sync = metadata.get("sync").map(boolean);
    match sync {
        None => faults.push(Fault::missing(loc(&["sync"]), metadata.clone())),
        Some(None) => {
            let text = "Input should be a valid boolean, unable to interpret input";
            faults.push(Fault::new(
                "bool_parsing",
                loc(&["sync"]),
                text,
                metadata["sync"].clone(),
            ));
        }
        Some(Some(_)) => {}
    }
    let raw = &metadata["message"];
    let expected = |path, word: &str, found: &Value| {
        Fault::new(
            "literal_error",
            loc(path),
            format!("Input should be '{word}'"),
            found.clone(),
        )
        .with("expected", word)
    };
    if raw.is_object() {
        if raw["type"] != MessageType::Store.as_str() {
            faults.push(expected(&["message", "type"], "STORE", &raw["type"]));
        }
        if raw["item_content"].is_null() {
            faults.push(Fault::missing(
                loc(&["message", "item_content"]),
                raw.clone(),
            ));
        }
    }
    if !faults.is_empty() {
        return Err(refuse(faults));
    }
    let message = Message::parse(raw).map_err(|rejection| {
        refuse(vec![Fault::value(
            loc(&["message"]),
            &shown(&rejection),
            raw.clone(),
        )])
    })?;
    if message.item_type != ItemType::Inline {
        return Err(refuse(vec![expected(
            &["message", "item_type"],
            "inline",
            &raw["item_type"],
        )]));
    }
    Ok((message, Mode::of(sync.flatten().unwrap_or(false))))
}

fn shown(rejection: &beth_protocol::Rejection) -> String {
    let texts: Vec<String> = rejection
        .errors
        .iter()
        .map(|error| {
            error
                .as_str()
                .map_or_else(|| error.to_string(), str::to_owned)
        })
        .collect();
    texts.join("; ")
}

fn unprocessable(text: impl AsRef<str>) -> ApiError {
    ApiError::reason(StatusCode::UNPROCESSABLE_ENTITY, text)
}

/// Signature, content, hash of the file, payment: in this order.
async fn check(context: &Context, file: &Hashed, message: &Message) -> Result<(), ApiError> {
    let (hash, size_bytes) = (file.hash.clone(), file.size_bytes);
    let (message, rules) = (message.clone(), context.config.rules.clone());
    let readers = context.readers.clone();
    let work = move || -> Result<(), ApiError> {
        signature::verify(&message).map_err(|_| ApiError::standard(StatusCode::FORBIDDEN))?;
        let invalid =
            |text: String| unprocessable(format!("Invalid store message content: {text}"));
        let content = message
            .inline_content()
            .map_err(|rejection| invalid(shown(&rejection)))?
            .ok_or_else(|| invalid("no inline content".into()))?;
        let Content::Store(store) = &content.typed else {
            return Err(invalid("no STORE message".into()));
        };
        if store.item_hash.as_str() != hash {
            return Err(unprocessable(format!(
                "File hash does not match ({hash} != {})",
                store.item_hash
            )));
        }
        let upload = Upload {
            content: &content.typed,
            item_hash: message.item_hash.as_str(),
            size_bytes,
        };
        let enough = readers.read(|state| {
            suffice(state, &upload, &rules, now())
                .map_err(|error| beth_store::Error::Damaged(error.to_string()))
        });
        match enough.map_err(ApiError::from)? {
            true => Ok(()),
            false => Err(ApiError::standard(StatusCode::PAYMENT_REQUIRED)),
        }
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ApiError::internal())?
}
