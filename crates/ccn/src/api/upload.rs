//! Uploads (core-api.md §9.2, §9.3).
//!
//! ```text
//!  body ─▶ blobs/incoming (hashed while it arrives) ─▶ metadata? ─▶ checks ─▶ in place ─▶ file row
//!                                                          └─ STORE message ─▶ pipeline
//! ```
//!
//! The file may come before its metadata, so nothing is known about it while it
//! is written; what fails a check later leaves nothing behind. A row of a file
//! is written after its bytes are durable.

pub mod form;
pub mod metadata;
pub mod space;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::hash::Naming;
use beth_store::blobs::Hashed;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa_axum::{router::UtoipaMethodRouterExt, routes};

use self::metadata::Signed;
use super::answer::{ApiError, ok};
use super::edge::Client;
use super::openapi::{Routes, refusals, storage as schemas};
use super::storage::blocking;
use super::{body, json as canonical};
use crate::context::Context;

/// Routes that take files.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(add_json))
        // The limits of this route depend on what is uploaded.
        .with(routes!(add_file).layer(DefaultBodyLimit::disable()))
}

/// Stores a JSON value, written again in one fixed way.
#[utoipa::path(post, path = "/api/v0/storage/add_json", operation_id = "addJson", tag = "storage",
    request_body(content = serde_json::Value, description = "Any JSON."),
    responses((status = 200, description = "It is stored.", body = schemas::Added), refusals::BadBody))]
async fn add_json(State(context): State<Arc<Context>>, body: Body) -> Result<Response, ApiError> {
    let bytes_max = context.config.storage.max_unauthenticated_upload_file_size;
    let kept = keep_json(&context, (body, bytes_max), Naming::sha256()).await?;
    register_upload(&context, &kept).await?;
    Ok(ok(success(&kept.hash)).into_response())
}

/// Keeps a JSON value of at most so many bytes under a name of this kind.
pub async fn keep_json(
    context: &Context,
    (body, bytes_max): (Body, u64),
    naming: Naming,
) -> Result<Hashed, ApiError> {
    let no_json = || ApiError::reason(StatusCode::UNPROCESSABLE_ENTITY, "the body must be JSON");
    let bytes = body::read(body, bytes_max).await?;
    let permit = permit(&context.rewrites).await?;
    let text = String::from_utf8(bytes.into()).map_err(|_| no_json())?;
    let blobs = context.blobs.clone();
    let kept = blocking(move || {
        let _permit = permit;
        let Ok(text) = canonical::canonical(&text) else {
            return Ok(None);
        };
        let mut incoming = blobs.begin_named(naming)?;
        incoming.write(text.as_bytes())?;
        blobs.keep(incoming.finish()?).map(Some)
    });
    kept.await?.ok_or_else(no_json)
}

/// A place among those who do the same. It goes into the work itself: the work
/// goes on when the client has left.
pub async fn permit(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    let permit = places.clone().acquire_owned().await;
    permit.map_err(|_| ApiError::internal())
}

/// The body of a successful upload.
pub fn success(hash: &str) -> Value {
    json!({"status": "success", "hash": hash})
}

/// Stores a file.
///
/// Its bytes are the body; or a part of a form, which may hold a signed STORE
/// message beside it, too. A file without a message is kept for a day.
#[utoipa::path(post, path = "/api/v0/storage/add_file", operation_id = "addFile", tag = "storage",
    request_body(description = "The file.", content(
        (schemas::UploadForm = "multipart/form-data"),
        (schemas::Bytes = "application/octet-stream"))),
    responses((status = 200, description = "It is stored; its message, if any, in force.", body = schemas::Added),
        refusals::SignedUpload))]
async fn add_file(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, ApiError> {
    let storage = &context.config.storage;
    let unsigned_max = storage.max_unauthenticated_upload_file_size;
    let blobs = context.blobs.clone();
    let begin = move || blobs.begin();
    let claim = context.uploads.claim()?;
    if !form::is_form(&request) {
        let file = form::receive_raw(request.into_body(), (unsigned_max, claim), begin).await?;
        let file = blocking(move || file.finish()).await?;
        return keep_unsigned(&context, file).await;
    }
    let client = Client::known(&request);
    let form = form::receive(request, (storage.max_file_size, claim), begin).await?;
    let missing = "File should be sent as FormData or Raw Upload";
    let part = form
        .file
        .ok_or_else(|| ApiError::reason(StatusCode::BAD_REQUEST, missing))?;
    let incoming = part.sink;
    let Some(metadata) = form.metadata else {
        if incoming.size_bytes() > unsigned_max {
            return Err(ApiError::too_large(unsigned_max));
        }
        let file = blocking(move || incoming.finish()).await?;
        return keep_unsigned(&context, file).await;
    };
    let (declared, mode) = metadata::read(&metadata)?;
    let signed = Signed::verify(&context, client, declared).await?;
    let file = blocking(move || incoming.finish()).await?;
    signed.expect_hash(&file.hash)?;
    signed.expect_funds(&context, file.size_bytes).await?;
    let kept = keep(&context, file).await?;
    context
        .pipeline
        .add_file(&kept.hash, kept.size_bytes)
        .await?;
    signed.publish(&context, mode, success(&kept.hash)).await
}

async fn keep_unsigned(context: &Context, file: Hashed) -> Result<Response, ApiError> {
    let kept = keep(context, file).await?;
    register_upload(context, &kept).await?;
    Ok(ok(success(&kept.hash)).into_response())
}

/// Puts a file in its place.
pub async fn keep(context: &Context, file: Hashed) -> Result<Hashed, ApiError> {
    let blobs = context.blobs.clone();
    blocking(move || blobs.keep(file)).await
}

/// Registers a file that no message names; it is kept for a day.
pub async fn register_upload(context: &Context, kept: &Hashed) -> Result<(), ApiError> {
    let registered = context.pipeline.add_upload(&kept.hash, kept.size_bytes);
    Ok(registered.await?)
}
