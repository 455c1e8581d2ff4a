//! What is known of files (core-api.md §9.1, §9.8–§9.10).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::ItemHash;
use beth_store::query::files::{KnownFile, ResolvedFile};
use http::StatusCode;
use serde_json::{Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::openapi::{Routes, params as described, refusals, storage as schemas};
use crate::context::Context;

/// Routes about files.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(limits))
        .with(routes!(by_message))
        .with(routes!(by_reference))
        .with(routes!(by_owned_reference))
        .with(routes!(metadata))
        .with(routes!(count))
}

/// The largest uploads that this node takes.
#[utoipa::path(get, path = "/api/v0/storage/limits.json", operation_id = "showLimits", tag = "storage",
    responses((status = 200, description = "Bytes.", body = schemas::UploadLimits)))]
async fn limits(State(context): State<Arc<Context>>) -> Response {
    let (storage, ipfs) = (&context.config.storage, &context.config.ipfs);
    ok(json!({
        "storage": {
            "max_file_size": storage.max_file_size,
            "max_unauthenticated_upload_file_size": storage.max_unauthenticated_upload_file_size,
        },
        "ipfs": {
            "max_upload_file_size": ipfs.max_upload_file_size,
            "max_upload_car_size": ipfs.max_upload_car_size,
            "max_unauthenticated_upload_file_size": ipfs.max_unauthenticated_upload_file_size,
        },
    }))
    .into_response()
}

fn not_found(text: impl Into<String>) -> ApiError {
    ApiError::text(StatusCode::NOT_FOUND, text)
}

/// The file that a STORE message names.
#[utoipa::path(get, path = "/api/v0/storage/by-message-hash/{message_hash}",
    operation_id = "findFileOfMessage", tag = "storage", params(described::StorePath),
    responses((status = 200, description = "Its file.", body = schemas::ReferredFile),
        refusals::BadHash, refusals::NotFound))]
async fn by_message(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    if ItemHash::parse(&hash).is_err() {
        return Err(ApiError::text(
            StatusCode::BAD_REQUEST,
            "Invalid hash provided",
        ));
    }
    let name = hash.clone();
    let found = context
        .read(move |state| state.file_of_message(&name))
        .await?;
    let found = found.ok_or_else(|| not_found(format!("No file found for message {hash}")))?;
    let reference = found.reference.clone().unwrap_or(hash);
    Ok(ok(description(&reference, &found)).into_response())
}

/// The latest version of a file, by the first STORE message of it.
#[utoipa::path(get, path = "/api/v0/storage/by-ref/{ref}", operation_id = "findFile", tag = "storage",
    params(described::ReferencePath),
    responses((status = 200, description = "The file.", body = schemas::ReferredFile),
        refusals::BadHash, refusals::NotFound))]
async fn by_reference(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    if ItemHash::parse(&name).is_err() {
        return Err(ApiError::text(
            StatusCode::BAD_REQUEST,
            "address is required for user-defined ref",
        ));
    }
    by_tag(&context, name.clone(), name).await
}

/// The latest version of a file, by a name that its owner gave it.
#[utoipa::path(get, path = "/api/v0/storage/by-ref/{address}/{ref}", operation_id = "findFileOfOwner",
    tag = "storage", params(described::AddressPath, described::NamePath),
    responses((status = 200, description = "The file.", body = schemas::ReferredFile),
        refusals::NotFound))]
async fn by_owned_reference(
    State(context): State<Arc<Context>>,
    Path((address, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let tag = if ItemHash::parse(&name).is_ok() {
        name.clone()
    } else {
        format!("{address}/{name}")
    };
    by_tag(&context, tag, name).await
}

async fn by_tag(context: &Context, tag: String, name: String) -> Result<Response, ApiError> {
    let asked = tag.clone();
    let found = context.read(move |state| state.file_of_tag(&asked)).await?;
    let found = found.ok_or_else(|| not_found(format!("No file found for tag {tag}")))?;
    Ok(ok(description(&name, &found)).into_response())
}

fn description(reference: &str, found: &ResolvedFile) -> Value {
    json!({
        "ref": reference, "owner": found.owner, "file_hash": found.file.hash,
        "download_url": download_url(&found.file.hash), "size": found.file.size_bytes,
    })
}

fn download_url(hash: &str) -> String {
    format!("/api/v0/storage/raw/{hash}")
}

/// What is known of a file.
#[utoipa::path(get, path = "/api/v0/storage/metadata/{file_hash}", operation_id = "describeFile",
    tag = "storage", params(described::AnyFilePath),
    responses((status = 200, description = "Its kind and size.", body = schemas::FileMetadata),
        refusals::NotFound))]
async fn metadata(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let file = known(&context, &hash).await?;
    let file = file.ok_or_else(|| not_found(format!("No file found for hash {hash}")))?;
    let body = json!({
        "file_hash": file.hash, "type": file.kind, "size": file.size_bytes,
        "download_url": download_url(&file.hash),
    });
    Ok(ok(body).into_response())
}

/// How many hold a file. Nobody holds what is unknown.
#[utoipa::path(get, path = "/api/v0/storage/count/{hash}", operation_id = "countPins", tag = "storage",
    params(described::PinnedPath),
    responses((status = 200, description = "A number.", body = u64, content_type = "application/json")))]
async fn count(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let pins = context.read(move |state| state.count_pins(&hash)).await?;
    Ok(ok(pins).into_response())
}

/// The row of a file.
pub async fn known(context: &Context, hash: &str) -> Result<Option<KnownFile>, ApiError> {
    let hash = hash.to_owned();
    Ok(context.read(move |state| state.known_file(&hash)).await?)
}

/// Work on files, away from the threads that serve requests.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, beth_store::Error> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ApiError::internal()),
    }
}
