//! `POST …/restore`: another disk for a machine (compute.md §21).
//!
//! An upload is written to a file of its own, no longer than the machine's disk
//! may be; what is in it is examined by whoever restores it.

use std::collections::HashSet;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::multipart::{Field, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Extension, FromRequest, Multipart, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use beth_protocol::ItemHash;
use serde_json::{Value, json};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use super::super::error::ApiError;
use super::super::{Api, body, json};
use super::target;
use crate::limits;
use crate::operator::{Operator, token};
use crate::workloads::Restored;

/// Machines whose disks are being replaced.
#[derive(Debug, Default)]
pub(crate) struct Restores(Mutex<HashSet<ItemHash>>);

/// One of them; not any more when dropped.
struct Underway<'a>(&'a Restores, ItemHash);

impl Restores {
    fn begin(&self, item_hash: &ItemHash) -> Option<Underway<'_>> {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = set.insert(item_hash.clone());
        is_first.then(|| Underway(self, item_hash.clone()))
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let mut set = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.remove(&self.1);
    }
}

fn bad(text: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, text)
}

/// The handler.
pub(super) async fn restore(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
    request: Request,
) -> Result<Response, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    let Some(_underway) = api.restores.begin(&known.item_hash) else {
        let text = "A backup or restore is already in progress for this VM";
        return Err(ApiError::new(StatusCode::CONFLICT, text));
    };
    if known.kind != crate::workloads::Kind::Instance {
        return Err(bad("Restore only supported for QEMU VMs"));
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type.starts_with("multipart/") {
        let folder = api.config.folder.join("uploads");
        let limit_bytes = known.demand.disk_mib.saturating_mul(1 << 20);
        let upload = upload(request, &folder, limit_bytes).await?;
        let image = Restored::Upload(upload.to_path_buf());
        workloads.restore(&known.item_hash, image).await?;
    } else if content_type.starts_with("application/json") {
        let reference = stored(request).await?;
        workloads
            .restore(&known.item_hash, Restored::Stored(reference))
            .await?;
    } else {
        return Err(bad("Expected multipart upload or JSON with volume_ref"));
    }
    let body = json!({"status": "restored", "vm_hash": known.item_hash});
    Ok(json::response(StatusCode::OK, &body))
}

async fn stored(request: Request) -> Result<ItemHash, ApiError> {
    let bytes = body::read(request.into_body()).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|_| bad("Expected multipart upload or JSON with volume_ref"))?;
    let text = value.get("volume_ref").and_then(Value::as_str);
    let text = text.ok_or_else(|| bad("Missing volume_ref in JSON body"))?;
    let is_hash = text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let hash = is_hash.then(|| ItemHash::parse(text).ok()).flatten();
    hash.ok_or_else(|| bad("Invalid volume_ref format"))
}

async fn upload(
    request: Request,
    folder: &FilePath,
    limit_bytes: u64,
) -> Result<TempPath, ApiError> {
    let mut request = request;
    // The limit is the machine's disk, not the one of small bodies.
    DefaultBodyLimit::disable().apply(&mut request);
    let parts = Multipart::from_request(request, &()).await;
    let mut parts = parts.map_err(|rejection: MultipartRejection| bad(rejection.body_text()))?;
    while let Some(field) = next(&mut parts).await? {
        if field.name() == Some("rootfs") {
            return write(field, folder, limit_bytes).await;
        }
    }
    Err(bad("Missing 'rootfs' field in multipart upload"))
}

async fn next(parts: &mut Multipart) -> Result<Option<Field<'_>>, ApiError> {
    let next = tokio::time::timeout(limits::REQUEST_BODY_DEADLINE, parts.next_field()).await;
    let next =
        next.map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the upload stands still"))?;
    next.map_err(|error| bad(error.body_text()))
}

async fn write(
    mut field: Field<'_>,
    folder: &FilePath,
    limit_bytes: u64,
) -> Result<TempPath, ApiError> {
    let broken = |error: std::io::Error| {
        tracing::error!("an upload cannot be written: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Restore failed")
    };
    tokio::fs::create_dir_all(folder).await.map_err(broken)?;
    let path: PathBuf = folder.join(token::random_token().map_err(broken)?);
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .await
        .map_err(broken)?;
    let path = TempPath::try_from_path(path).map_err(broken)?;
    let mut size_bytes = 0u64;
    loop {
        let chunk = tokio::time::timeout(limits::REQUEST_BODY_DEADLINE, field.chunk()).await;
        let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the upload stands still");
        let chunk = chunk
            .map_err(late)?
            .map_err(|error| bad(error.body_text()))?;
        let Some(chunk) = chunk else {
            break;
        };
        size_bytes += chunk.len() as u64;
        if size_bytes > limit_bytes {
            let text = format!("Maximum upload size of {limit_bytes} bytes exceeded");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        file.write_all(&chunk).await.map_err(broken)?;
    }
    file.flush().await.map_err(broken)?;
    Ok(path)
}
