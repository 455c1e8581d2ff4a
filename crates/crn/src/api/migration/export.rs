//! The side that a machine leaves.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use beth_protocol::ItemHash;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio_util::io::ReaderStream;

use super::super::error::ApiError;
use super::super::machines::parse;
use super::super::{Api, control, json, now};
use super::{ExportJob, Step, begun, iso};
use crate::limits;
use crate::operator::token::{is_same, random_token};
use crate::workloads::{Kind, Workloads};

fn status_url(item_hash: &ItemHash) -> String {
    format!("/control/machine/{item_hash}/migration/export/status")
}

fn told(item_hash: &ItemHash, job: &ExportJob) -> Response {
    let (status, state) = match job.step {
        Step::Underway => (StatusCode::ACCEPTED, "exporting"),
        Step::Done => (StatusCode::CONFLICT, "exported"),
        Step::Failed => (StatusCode::CONFLICT, "export_failed"),
    };
    let url = status_url(item_hash);
    begun(
        status,
        state,
        item_hash,
        job.started_at,
        job.error.as_deref(),
        &url,
    )
}

/// `POST …/migration/export`.
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    control::authentic(&api, request).await?;
    let item_hash = parse(&reference)?;
    let earlier = api.migrations.exports().get(&item_hash).cloned();
    if let Some(job) = earlier.filter(|job| job.step != Step::Failed) {
        return Ok(told(&item_hash, &job));
    }
    let found = api.machines.find(&item_hash).await;
    let unknown = || ApiError::numbered(StatusCode::NOT_FOUND, "VM not found");
    let (known, workloads) = found.ok_or_else(unknown)?;
    let workloads = workloads.clone();
    let refusal = match () {
        () if known.kind != Kind::Instance => "Migration only supported for QEMU instances",
        () if known.is_confidential => "Migration is not supported for confidential VMs",
        () if !known.is_running => "VM is not running",
        () => "",
    };
    if !refusal.is_empty() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, refusal));
    }
    let token = random_token()
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let job = ExportJob {
        step: Step::Underway,
        started_at: now(),
        finished_at: None,
        error: None,
        disks: Vec::new(),
        token,
        downloads: Arc::new(()),
    };
    let answer = told(&item_hash, &job);
    {
        let mut exports = api.migrations.exports();
        // Somebody else may have been faster.
        if let Some(other) = exports
            .get(&item_hash)
            .filter(|job| job.step != Step::Failed)
        {
            return Ok(told(&item_hash, other));
        }
        exports.insert(item_hash.clone(), job);
    }
    let tasks = api.tasks.clone();
    tasks.spawn(carry_out(api, item_hash, workloads));
    Ok(answer)
}

async fn carry_out(api: Arc<Api>, item_hash: ItemHash, workloads: Arc<dyn Workloads>) {
    let turn = api.migrations.turn.clone();
    let exported = {
        let _turn = turn.acquire().await;
        workloads.export(&item_hash).await
    };
    let is_done = exported.is_ok();
    if let Some(job) = api.migrations.exports().get_mut(&item_hash) {
        job.finished_at = Some(now());
        match exported {
            Ok(disks) => {
                job.step = Step::Done;
                job.disks = disks;
            }
            Err(fault) => {
                job.step = Step::Failed;
                job.error = Some(fault.to_string());
            }
        }
    }
    let expiry = tokio::time::sleep(limits::EXPORT_LIFE);
    if is_done && api.cancel.run_until_cancelled(expiry).await.is_some() {
        let expired = api.migrations.exports().remove(&item_hash);
        if expired.is_some() {
            workloads.discard_export(&item_hash).await;
        }
    }
}

/// `GET …/migration/export/status`.
pub(super) async fn status(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    control::authentic(&api, request).await?;
    let item_hash = parse(&reference)?;
    let job = api.migrations.exports().get(&item_hash).cloned();
    let none = || ApiError::new(StatusCode::NOT_FOUND, r#"{"error": "No export job"}"#);
    let job = job.ok_or_else(none)?;
    let disks: Vec<_> = job
        .disks
        .iter()
        .map(|disk| {
            json!({
                "name": disk.name, "size_bytes": disk.size_bytes, "sha256": disk.sha256,
                "download_path": format!("/control/machine/{item_hash}/migration/disk/{}", disk.name),
            })
        })
        .collect();
    let is_done = job.step == Step::Done;
    let body = json!({
        "vm_hash": item_hash,
        "state": match job.step {
            Step::Underway => "exporting",
            Step::Done => "exported",
            Step::Failed => "export_failed",
        },
        "started_at": iso(job.started_at),
        "finished_at": job.finished_at.map(iso),
        "error": job.error,
        "disk_files": is_done.then_some(disks),
        "export_token": is_done.then_some(job.token),
    });
    Ok(json::response(StatusCode::OK, &body))
}

#[derive(Deserialize)]
pub(super) struct Token {
    token: Option<String>,
}

/// `GET …/migration/disk/{filename}`.
pub(super) async fn disk(
    State(api): State<Arc<Api>>,
    Path((reference, name)): Path<(String, String)>,
    Query(query): Query<Token>,
) -> Result<Response, ApiError> {
    let item_hash = parse(&reference)?;
    let job = api.migrations.exports().get(&item_hash).cloned();
    let token = query.token.unwrap_or_default();
    let job = job.filter(|job| is_same(job.token.as_bytes(), token.as_bytes()));
    let job = job.ok_or_else(|| {
        ApiError::new(StatusCode::UNAUTHORIZED, "Invalid or missing export token")
    })?;
    let none = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("Disk file not found: {name}"),
        )
    };
    let disk = job.disks.iter().find(|disk| disk.name == name);
    let disk = disk.ok_or_else(none)?;
    let file = tokio::fs::File::open(&disk.path)
        .await
        .map_err(|_| none())?;
    let downloading = job.downloads.clone();
    let pieces = ReaderStream::new(file).map(move |piece| {
        let _held = &downloading;
        piece
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_LENGTH, disk.size_bytes.into());
    Ok(response)
}

/// `POST …/migration/cleanup`: the machine runs elsewhere now.
pub(super) async fn clean_up(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    control::authentic(&api, request).await?;
    let item_hash = parse(&reference)?;
    let conflict = |text: &str| Err(ApiError::new(StatusCode::CONFLICT, text));
    {
        let mut exports = api.migrations.exports();
        let job = exports.get(&item_hash).filter(|job| job.step == Step::Done);
        match job {
            None => return conflict("No completed export to clean up"),
            Some(job) if Arc::strong_count(&job.downloads) > 1 => {
                return conflict("Cannot clean up while disk download in progress");
            }
            Some(_) => drop(exports.remove(&item_hash)),
        }
    }
    if let Some((_, workloads)) = api.machines.find(&item_hash).await {
        let workloads = workloads.clone();
        workloads.discard_export(&item_hash).await;
        workloads.forget(&item_hash).await?;
    }
    let body = json!({"status": "completed", "vm_hash": item_hash});
    Ok(json::response(StatusCode::OK, &body))
}
