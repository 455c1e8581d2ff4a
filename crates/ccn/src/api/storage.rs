//! Reading files (core-api.md §9.1, §9.6–§9.10).

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beth_protocol::ItemHash;
use beth_protocol::hash::{HashKind, classify_loosely};
use beth_store::query::files::{KnownFile, ResolvedFile};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::openapi::{Routes, params as described, refusals, storage as schemas};
use crate::context::Context;

/// Characters of base64 in one line of §9.6.
const BASE64_LINE: usize = 76;
/// Bytes read from the disk at once while a file is served.
const CHUNK_BYTES: usize = 64 * 1024;

/// Routes that read files.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(limits))
        .with(routes!(encoded))
        .with(routes!(raw))
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

/// A file as base64 in JSON: what other core nodes fetch.
#[utoipa::path(get, path = "/api/v0/storage/{file_hash}", operation_id = "showFile", tag = "storage",
    params(described::FilePath),
    responses((status = 200, description = "The file.", body = schemas::EncodedFile),
        refusals::BadHash, refusals::NotFound, refusals::TooLarge))]
async fn encoded(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let kind = classify_loosely(&hash)
        .ok_or_else(|| ApiError::text(StatusCode::BAD_REQUEST, "Invalid hash provided"))?;
    let file = known(&context, &hash)
        .await?
        .ok_or_else(|| not_found("Not found"))?;
    let bytes_max = context.config.storage.max_file_size;
    if file.size_bytes > bytes_max {
        return Err(ApiError::too_large(bytes_max));
    }
    let (blobs, name) = (context.blobs.clone(), hash.clone());
    let content =
        blocking(move || Ok(blobs.read(&name)?.map(|bytes| lines_of_base64(&bytes)))).await?;
    let content = content.ok_or_else(|| not_found(format!("No file found for hash {hash}")))?;
    let engine = if kind == HashKind::Ipfs {
        "ipfs"
    } else {
        "storage"
    };
    Ok(
        ok(json!({"status": "success", "hash": hash, "engine": engine, "content": content}))
            .into_response(),
    )
}

fn lines_of_base64(bytes: &[u8]) -> String {
    let mut lines = String::with_capacity(bytes.len() / 3 * 4 + bytes.len() / 57 + 8);
    for line in bytes.chunks(BASE64_LINE / 4 * 3) {
        STANDARD.encode_string(line, &mut lines);
        lines.push('\n');
    }
    lines
}

/// The bytes of a file, all of them or a range.
///
/// A HEAD is answered without touching them.
#[utoipa::path(get, path = "/api/v0/storage/raw/{file_hash}", operation_id = "fetchFile",
    tag = "storage", params(described::FilePath),
    responses((status = 200, description = "The file.", body = schemas::Bytes, content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for.", body = schemas::Bytes,
            content_type = "application/octet-stream"),
        (status = 304, description = "The client has it already."),
        (status = 416, description = "The file has no such range."),
        refusals::BadHash, refusals::NotFound))]
async fn raw(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    classify_loosely(&hash)
        .ok_or_else(|| ApiError::text(StatusCode::BAD_REQUEST, "Invalid hash"))?;
    let file = known(&context, &hash)
        .await?
        .ok_or_else(|| not_found("Not found"))?;
    let tag = format!("\"{hash}\"");
    let seen = request
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if seen.is_some_and(|seen| seen == "*" || seen.split(',').any(|known| known.trim() == tag)) {
        return Ok(with_headers(StatusCode::NOT_MODIFIED, Body::empty(), &tag));
    }
    if method == Method::HEAD {
        let mut response = with_headers(StatusCode::OK, Body::empty(), &tag);
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, file.size_bytes.into());
        return Ok(response);
    }
    let (blobs, name) = (context.blobs.clone(), hash.clone());
    let opened = blocking(move || blobs.file(&name)).await?;
    let (source, size) = opened.ok_or_else(|| not_found("Not found"))?;
    let mut source = tokio::fs::File::from_std(source);
    let wanted = request
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| range(text, size));
    let (status, first, last) = match wanted {
        Some(Ok((first, last))) => (StatusCode::PARTIAL_CONTENT, first, last),
        Some(Err(OutOfRange)) => {
            let mut response = with_headers(StatusCode::RANGE_NOT_SATISFIABLE, Body::empty(), &tag);
            put(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes */{size}"),
            );
            return Ok(response);
        }
        None => (StatusCode::OK, 0, size.saturating_sub(1)),
    };
    if first > 0 {
        source
            .seek(SeekFrom::Start(first))
            .await
            .map_err(|_| ApiError::internal())?;
    }
    let length = if size == 0 { 0 } else { last - first + 1 };
    let stream = ReaderStream::with_capacity(source.take(length), CHUNK_BYTES);
    let mut response = with_headers(status, Body::from_stream(stream), &tag);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    if status == StatusCode::PARTIAL_CONTENT {
        put(
            &mut response,
            header::CONTENT_RANGE,
            &format!("bytes {first}-{last}/{size}"),
        );
    }
    Ok(response)
}

fn with_headers(status: StatusCode, body: Body, tag: &str) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    put(
        &mut response,
        header::CONTENT_TYPE,
        "application/octet-stream",
    );
    put(&mut response, header::ACCEPT_RANGES, "bytes");
    put(&mut response, header::ETAG, tag);
    response
}

fn put(response: &mut Response, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

#[derive(Debug, PartialEq)]
struct OutOfRange;

/// One range of bytes, first and last; `None` when the header is to be ignored.
fn range(text: &str, size: u64) -> Option<Result<(u64, u64), OutOfRange>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = size.checked_sub(1);
    if first.is_empty() {
        let count: u64 = last.parse().ok()?;
        return Some(match end {
            Some(end) if count > 0 => Ok((size.saturating_sub(count), end)),
            _ => Err(OutOfRange),
        });
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() {
        u64::MAX
    } else {
        last.parse().ok()?
    };
    match end {
        Some(end) if first <= end && first <= last => Some(Ok((first, last.min(end)))),
        _ => Some(Err(OutOfRange)),
    }
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
    tag = "storage", params(described::FilePath),
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

async fn known(context: &Context, hash: &str) -> Result<Option<KnownFile>, ApiError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range("bytes=0-4", 10), Some(Ok((0, 4))));
        assert_eq!(range("bytes=5-", 10), Some(Ok((5, 9))));
        assert_eq!(range("bytes=-3", 10), Some(Ok((7, 9))));
        assert_eq!(range("bytes=0-99", 10), Some(Ok((0, 9))));
        assert_eq!(range("bytes=10-", 10), Some(Err(OutOfRange)));
        assert_eq!(range("bytes=0-", 0), Some(Err(OutOfRange)));
        for ignored in ["bytes=a-b", "lines=1-2", "bytes=0-1,3-4"] {
            assert_eq!(range(ignored, 10), None, "{ignored}");
        }
    }

    #[test]
    fn base64_as_mail_has_it() {
        assert_eq!(
            lines_of_base64(b"Hello Aleph fixtures\n"),
            "SGVsbG8gQWxlcGggZml4dHVyZXMK\n"
        );
        let lines = lines_of_base64(&[0; 58]);
        assert_eq!(lines.find('\n'), Some(76));
        assert!(lines.ends_with('\n'));
    }
}
