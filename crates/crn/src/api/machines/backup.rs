//! Backups: begun and looked at by owners, fetched with a signed link
//! (compute.md §21).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{delete, get};
use beth_protocol::ItemHash;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::super::error::ApiError;
use super::super::{Api, cors, json, now};
use super::{admit, parse, python_time, target};
use crate::operator::Operator;
use crate::workloads::{Backup, BackupStep, BackupWish};

/// One archive: a link for whoever has it, deletion for its owner.
pub(super) fn router(api: &Arc<Api>) -> Router<Arc<Api>> {
    let signed = middleware::from_fn_with_state(api.clone(), admit);
    let deletion = delete(remove.layer(signed));
    Router::new().route(
        "/control/machine/{ref}/backup/{backup_id}",
        get(download).merge(deletion).options(cors::preflight),
    )
}

#[derive(Deserialize)]
pub(super) struct Wish {
    include_volumes: Option<String>,
    skip_fsfreeze: Option<String>,
}

/// `POST …/backup`.
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Query(wish): Query<Wish>,
    Extension(operator): Extension<Operator>,
) -> Result<Response, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    if !known.is_running {
        let text = "VM must be running to create backup";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, text));
    }
    let is_true = |text: Option<String>| text.is_some_and(|text| text == "true");
    let wish = BackupWish {
        with_volumes: is_true(wish.include_volumes),
        without_freeze: is_true(wish.skip_fsfreeze),
    };
    let step = workloads.backup(&known.item_hash, wish).await?;
    tell(&api, &known.item_hash, step)
}

/// `GET …/backup`.
pub(super) async fn step(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
) -> Result<Response, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    let step = workloads.backup_step(&known.item_hash).await;
    tell(&api, &known.item_hash, step)
}

fn tell(api: &Api, machine: &ItemHash, step: BackupStep) -> Result<Response, ApiError> {
    match step {
        BackupStep::Underway => {
            let body = json!({"status": "in_progress"});
            Ok(json::response(StatusCode::ACCEPTED, &body))
        }
        BackupStep::Done(backup) => {
            let body = metadata(api, machine, &backup);
            Ok(json::response(StatusCode::OK, &body))
        }
        BackupStep::Failed(reason) => Err(ApiError::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Backup failed: {reason}"),
        )),
        BackupStep::None => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "No backup found for this VM",
        )),
    }
}

fn metadata(api: &Api, machine: &ItemHash, backup: &Backup) -> Value {
    let (id, url) = (&backup.id, api.public_url());
    let expires = backup.expires_at.micros().div_euclid(1_000_000);
    let signature = api.token.sign_backup(id, machine.as_str(), expires);
    let sizes = backup.source_sizes_bytes.iter();
    let sizes: Map<String, Value> = sizes
        .map(|(name, bytes)| (name.clone(), (*bytes).into()))
        .collect();
    json!({
        "backup_id": id,
        "size": backup.size_bytes,
        "volumes": sizes.keys().collect::<Vec<_>>(),
        "expires_at": python_time(backup.expires_at, "+00:00").replacen(' ', "T", 1),
        "checksum": format!("sha256:{}", const_hex::encode(backup.sha256)),
        "source_sizes": sizes,
        "download_url": format!(
            "{url}/control/machine/{machine}/backup/{id}?signature={signature}&expires={expires}"
        ),
    })
}

#[derive(Deserialize)]
struct Link {
    signature: Option<String>,
    expires: Option<String>,
}

fn check_link(
    api: &Api,
    machine: &ItemHash,
    id: &str,
    link: &Link,
) -> Result<(), (StatusCode, &'static str)> {
    let (Some(signature), Some(expires)) = (&link.signature, &link.expires) else {
        return Err((
            StatusCode::FORBIDDEN,
            "Missing signature or expires parameter",
        ));
    };
    let expires: i64 = expires
        .parse()
        .map_err(|_| (StatusCode::BAD_REQUEST, "Invalid expires parameter"))?;
    if expires < now().micros().div_euclid(1_000_000) {
        return Err((StatusCode::FORBIDDEN, "Download link has expired"));
    }
    if !api
        .token
        .signed_backup(id, machine.as_str(), expires, signature)
    {
        return Err((StatusCode::FORBIDDEN, "Invalid signature"));
    }
    Ok(())
}

/// The machine and a well-formed name of a backup of it.
fn named(reference: &str, id: &str) -> Result<ItemHash, ApiError> {
    let machine = parse(reference)?;
    if id.is_empty() || id.contains(['/', '\\']) || id.contains("..") {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "Invalid backup_id"));
    }
    if !id.starts_with(machine.as_str()) {
        let text = "Backup does not belong to this VM";
        return Err(ApiError::new(StatusCode::FORBIDDEN, text));
    }
    Ok(machine)
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("Backup {id} not found"))
}

/// `GET …/backup/{backup_id}`: the archive, or a part of it.
async fn download(
    State(api): State<Arc<Api>>,
    Path((reference, id)): Path<(String, String)>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let machine = named(&reference, &id)?;
    check_link(&api, &machine, &id, &link).map_err(|(status, text)| ApiError::new(status, text))?;
    let backup = api.machines.backup_of_id(&id).await;
    let backup = backup.ok_or_else(|| not_found(&id))?;
    let mut file = tokio::fs::File::open(&backup.path)
        .await
        .map_err(|_| not_found(&id))?;
    let asked = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok());
    let range = asked.and_then(|range| part(range, backup.size_bytes));
    let (first, length) = range.unwrap_or((0, backup.size_bytes));
    let seek = file.seek(std::io::SeekFrom::Start(first)).await;
    seek.map_err(|_| not_found(&id))?;
    let mut response = Response::new(Body::from_stream(ReaderStream::new(file.take(length))));
    let sources = backup.source_sizes_bytes.iter().map(|(_, bytes)| bytes);
    let mut fields = vec![
        ("content-type", "application/x-tar".to_owned()),
        (
            "content-disposition",
            format!("attachment; filename=\"{id}.tar\""),
        ),
        ("content-length", length.to_string()),
        ("accept-ranges", "bytes".to_owned()),
        (
            "x-backup-checksum",
            format!("sha256:{}", const_hex::encode(backup.sha256)),
        ),
        ("x-source-size", sources.sum::<u64>().to_string()),
    ];
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let (last, size) = (first + length - 1, backup.size_bytes);
        fields.push(("content-range", format!("bytes {first}-{last}/{size}")));
    }
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// First byte and length of `bytes=a-b`, `bytes=a-` or `bytes=-n`; `None` for
/// anything else, which is answered with the whole.
fn part(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", count) => (
            size.saturating_sub(count.parse().ok()?),
            size.checked_sub(1)?,
        ),
        (first, "") => (first.parse().ok()?, size.checked_sub(1)?),
        (first, last) => (
            first.parse().ok()?,
            last.parse::<u64>().ok()?.min(size.checked_sub(1)?),
        ),
    };
    (first <= last).then(|| (first, last - first + 1))
}

/// `DELETE …/backup/{backup_id}`.
async fn remove(
    State(api): State<Arc<Api>>,
    Path((reference, id)): Path<(String, String)>,
    Extension(operator): Extension<Operator>,
) -> Result<String, ApiError> {
    let (_, workloads) = target(&api, &reference, &operator).await?;
    named(&reference, &id)?;
    match workloads.delete_backup(&id).await? {
        true => Ok(format!("Deleted backup {id}")),
        false => Err(not_found(&id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_archive() {
        for (range, expected) in [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=90-", Some((90, 10))),
            ("bytes=-7", Some((93, 7))),
            ("bytes=95-200", Some((95, 5))),
            ("bytes=-200", Some((0, 100))),
            ("bytes=100-", None),
            ("bytes=9-2", None),
            ("bytes=0-1,4-5", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(part(range, 100), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), None);
    }
}
