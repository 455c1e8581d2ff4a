//! The side that a machine arrives at.

use std::net::IpAddr;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beth_protocol::ItemHash;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::super::error::ApiError;
use super::super::machines::parse;
use super::super::{Api, control, json, now, validation};
use super::{ImportJob, Step, begun, iso};
use crate::limits;
use crate::workloads::MovedDisk;

/// What arrives, and whence.
#[derive(Clone, Debug, Deserialize)]
struct Order {
    vm_hash: ItemHash,
    source_host: String,
    #[serde(default = "https")]
    source_port: u16,
    export_token: String,
    disk_files: Vec<DiskFile>,
}

#[derive(Clone, Debug, Deserialize)]
struct DiskFile {
    name: String,
    size_bytes: u64,
    sha256: String,
    download_path: String,
}

fn https() -> u16 {
    443
}

/// Faults of an order, as the scheduler is told them.
fn faults(body: &Value, allows_private: bool) -> Vec<Value> {
    let mut faults = Vec::new();
    faults.extend(validation::item_hash(body, "vm_hash").err());
    match body.get("source_host") {
        Some(Value::String(host)) if allows_private || is_routable(host) => {}
        Some(value @ Value::String(host)) => {
            let why = format!("source_host {host} is not a routable address");
            faults.push(validation::value_error("source_host", &why, value));
        }
        Some(value) => faults.push(validation::not_text("source_host", value)),
        None => faults.push(validation::missing("source_host", body)),
    }
    match body.get("export_token") {
        Some(Value::String(_)) => {}
        Some(value) => faults.push(validation::not_text("export_token", value)),
        None => faults.push(validation::missing("export_token", body)),
    }
    match body.get("disk_files") {
        Some(Value::Array(list)) if list.is_empty() => faults.push(json!({
            "type": "too_short", "loc": ["disk_files"],
            "msg": "List should have at least 1 item after validation, not 0", "input": [],
            "ctx": {"field_type": "List", "min_length": 1, "actual_length": 0},
            "url": "https://errors.pydantic.dev/2.14/v/too_short",
        })),
        Some(Value::Array(list)) if list.len() <= limits::MOVED_DISKS_MAX => {}
        Some(value) => faults.push(validation::value_error(
            "disk_files",
            "a list is expected",
            value,
        )),
        None => faults.push(validation::missing("disk_files", body)),
    }
    faults
}

/// False for names and addresses of this computer and of no computer.
fn is_routable(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(address) = literal.parse::<IpAddr>() else {
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
        return is_name && !host.trim_end_matches('.').eq_ignore_ascii_case("localhost");
    };
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let first = ip.octets()[0];
            !(ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || first == 0
                || first >= 240)
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified())
        }
    }
}

fn told(item_hash: &ItemHash, job: &ImportJob) -> Response {
    let (status, state) = match job.step {
        Step::Underway => (StatusCode::ACCEPTED, "importing"),
        Step::Done => (StatusCode::CONFLICT, "imported"),
        Step::Failed => (StatusCode::CONFLICT, "import_failed"),
    };
    let url = format!("/control/migrate/{item_hash}/status");
    begun(
        status,
        state,
        item_hash,
        job.started_at,
        job.error.as_deref(),
        &url,
    )
}

/// `POST /control/migrate`.
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes = control::authentic(&api, request).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "Body is not valid JSON"))?;
    let faults = faults(&value, api.config.allow_private_sources);
    if !faults.is_empty() {
        return Ok(validation::response(&faults));
    }
    let order: Order = match serde_json::from_value(value.clone()) {
        Ok(order) => order,
        Err(error) => {
            let fault = validation::value_error("disk_files", &error.to_string(), &value);
            return Ok(validation::response(&[fault]));
        }
    };
    let item_hash = order.vm_hash.clone();
    let found = api.machines.find(&item_hash).await;
    if found.is_some_and(|(known, _)| known.is_running) {
        let text = "VM already running on this host";
        return Err(ApiError::new(StatusCode::CONFLICT, text));
    }
    if api.machines.instances().is_none() {
        let text = "this node runs no instances";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    let job = ImportJob {
        step: Step::Underway,
        started_at: now(),
        finished_at: None,
        error: None,
        bytes: 0,
        bytes_expected: order
            .disk_files
            .iter()
            .map(|disk| disk.size_bytes)
            .fold(0, u64::saturating_add),
        current_step: "fetching_message",
    };
    let answer = told(&item_hash, &job);
    {
        let mut imports = api.migrations.imports();
        if let Some(other) = imports
            .get(&item_hash)
            .filter(|job| job.step != Step::Failed)
        {
            return Ok(told(&item_hash, other));
        }
        imports.retain(|_, job| job.step == Step::Underway || is_recent(job));
        imports.insert(item_hash, job);
    }
    let tasks = api.tasks.clone();
    tasks.spawn(async move {
        let imported = carry_out(&api, &order).await;
        api.migrations.change_import(&order.vm_hash, |job| {
            job.finished_at = Some(now());
            job.step = match imported {
                Ok(()) => Step::Done,
                Err(_) => Step::Failed,
            };
            job.error = imported.err();
        });
    });
    Ok(answer)
}

fn is_recent(job: &ImportJob) -> bool {
    let finished = job.finished_at.unwrap_or(job.started_at);
    let age_micros = now().micros().saturating_sub(finished.micros());
    i128::from(age_micros) < limits::EXPORT_LIFE.as_micros() as i128
}

async fn carry_out(api: &Api, order: &Order) -> Result<(), String> {
    let _turn = api.migrations.turn.acquire().await;
    let item_hash = &order.vm_hash;
    let step = |name| {
        api.migrations
            .change_import(item_hash, |job| job.current_step = name)
    };
    let described = api.contents.describe(item_hash).await;
    let described = described.map_err(|fault| fault.to_string())?;
    let demand = described.demand();
    // A compressed copy is no longer than the disk, but for its tables.
    let bytes_max = demand
        .disk_mib
        .saturating_mul(1 << 20)
        .saturating_add(64 << 20);
    let fits = api.fits(&described, crate::workloads::Kind::Instance).await;
    fits.map_err(|lack| lack.to_string())?;
    step("downloading_disks");
    let folder = api.config.folder.join("arrivals").join(item_hash.as_str());
    let wrong = |error: std::io::Error| format!("the disks cannot be kept: {error}");
    drop(tokio::fs::remove_dir_all(&folder).await);
    tokio::fs::create_dir_all(&folder).await.map_err(wrong)?;
    let arrived = async {
        let mut disks = Vec::new();
        for (index, disk) in order.disk_files.iter().enumerate() {
            let path = folder.join(index.to_string());
            fetch(api, order, disk, &path, bytes_max).await?;
            disks.push(MovedDisk {
                name: disk.name.clone(),
                path,
                size_bytes: disk.size_bytes,
                sha256: disk.sha256.clone(),
            });
        }
        step("creating_vm");
        let instances = api
            .machines
            .instances()
            .ok_or("this node runs no instances")?;
        let imported = instances.import(item_hash, disks).await;
        imported.map_err(|fault| fault.to_string())
    };
    let arrived = arrived.await;
    drop(tokio::fs::remove_dir_all(&folder).await);
    arrived
}

/// One disk, verified.
async fn fetch(
    api: &Api,
    order: &Order,
    disk: &DiskFile,
    path: &FilePath,
    bytes_max: u64,
) -> Result<(), String> {
    let scheme = if order.source_port == 443 {
        "https"
    } else {
        "http"
    };
    let (host, port) = (&order.source_host, order.source_port);
    if !disk.download_path.starts_with('/') || disk.size_bytes > bytes_max {
        return Err(format!(
            "{} is refused: too long, or not a path of that node",
            disk.name
        ));
    }
    let url = format!("{scheme}://{host}:{port}{}", disk.download_path);
    let broken = |reason: String| format!("{} cannot be fetched from {host}: {reason}", disk.name);
    let request = api.client.get(url).query(&[("token", &order.export_token)]);
    let response = request.send().await;
    let mut response = response
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| broken(error.without_url().to_string()))?;
    let mut file = tokio::fs::File::create(PathBuf::from(path))
        .await
        .map_err(|error| broken(error.to_string()))?;
    let (mut hash, mut size_bytes) = (Sha256::new(), 0u64);
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| broken(error.without_url().to_string()))? else {
            break;
        };
        size_bytes += chunk.len() as u64;
        if size_bytes > disk.size_bytes {
            return Err(broken("it is longer than announced".into()));
        }
        hash.update(&chunk);
        let written = file.write_all(&chunk).await;
        written.map_err(|error| broken(error.to_string()))?;
        let length = chunk.len() as u64;
        api.migrations
            .change_import(&order.vm_hash, |job| job.bytes += length);
    }
    file.flush()
        .await
        .map_err(|error| broken(error.to_string()))?;
    if const_hex::encode(hash.finalize()) != disk.sha256.to_lowercase() {
        return Err(broken("its hash is not the announced one".into()));
    }
    Ok(())
}

/// `GET /control/migrate/{ref}/status`.
pub(super) async fn status(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    control::authentic(&api, request).await?;
    let item_hash = parse(&reference)?;
    let job = api.migrations.imports().get(&item_hash).cloned();
    let none = || ApiError::new(StatusCode::NOT_FOUND, r#"{"error": "No import job"}"#);
    let job = job.ok_or_else(none)?;
    let until = job.finished_at.unwrap_or_else(now);
    let body = json!({
        "vm_hash": item_hash,
        "state": match job.step {
            Step::Underway => "importing",
            Step::Done => "imported",
            Step::Failed => "import_failed",
        },
        "started_at": iso(job.started_at),
        "finished_at": job.finished_at.map(iso),
        "bytes_downloaded": job.bytes,
        "total_bytes_expected": job.bytes_expected,
        "current_step": job.current_step,
        "error": job.error,
        "transfer_time_ms": (until.micros() - job.started_at.micros()) / 1000,
    });
    Ok(json::response(StatusCode::OK, &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_lead_inside_are_refused() {
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST.",
            "[::1]",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "::ffff:127.0.0.1",
            "fe80::1",
            "a b",
            "x/y",
            "u@x",
            "",
        ] {
            assert!(!is_routable(host), "{host}");
        }
        for host in ["crn.example.org", "8.8.8.8", "[2001:db8::1]", "10.0.0.7"] {
            assert!(is_routable(host), "{host}");
        }
    }
}
