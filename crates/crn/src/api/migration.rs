//! Machines that move to another node while they rest (compute.md §9).
//!
//! ```text
//!  source                                     destination
//!  export ─▶ disks, hashes, a token ──────▶ migrate: download, verify, begin
//!     └─ cleanup, or half an hour later: the copies are removed
//! ```
//!
//! One machine moves at a time, in or out; others wait. Only the scheduler begins
//! anything; the disks go to whoever has the token of the export.

mod export;
mod import;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use beth_protocol::ItemHash;
use beth_protocol::time::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Api, json};
use crate::limits;
use crate::workloads::MovedDisk;

/// The routes of both sides.
pub(super) fn router() -> Router<Arc<Api>> {
    Router::new()
        .route(
            "/control/machine/{ref}/migration/export",
            post(export::begin),
        )
        .route(
            "/control/machine/{ref}/migration/export/status",
            get(export::status),
        )
        .route(
            "/control/machine/{ref}/migration/disk/{filename}",
            get(export::disk),
        )
        .route(
            "/control/machine/{ref}/migration/cleanup",
            post(export::clean_up),
        )
        .route("/control/migrate", post(import::begin))
        .route("/control/migrate/{ref}/status", get(import::status))
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Underway,
    Done,
    Failed,
}

/// What leaves.
#[derive(Clone, Debug)]
struct ExportJob {
    step: Step,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    error: Option<String>,
    disks: Vec<MovedDisk>,
    token: String,
    /// Whoever downloads holds one.
    downloads: Arc<()>,
}

/// What arrives.
#[derive(Clone, Debug)]
struct ImportJob {
    step: Step,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    error: Option<String>,
    bytes: u64,
    bytes_expected: u64,
    current_step: &'static str,
}

/// The jobs of a node; forgotten when it ends.
#[derive(Debug)]
pub(super) struct Migrations {
    exports: Mutex<HashMap<ItemHash, ExportJob>>,
    imports: Mutex<HashMap<ItemHash, ImportJob>>,
    turn: Arc<Semaphore>,
}

impl Default for Migrations {
    fn default() -> Migrations {
        Migrations {
            exports: Mutex::default(),
            imports: Mutex::default(),
            turn: Arc::new(Semaphore::new(limits::MIGRATIONS_MAX)),
        }
    }
}

impl Migrations {
    fn exports(&self) -> MutexGuard<'_, HashMap<ItemHash, ExportJob>> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn imports(&self) -> MutexGuard<'_, HashMap<ItemHash, ImportJob>> {
        self.imports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_import(&self, item_hash: &ItemHash, change: impl FnOnce(&mut ImportJob)) {
        if let Some(job) = self.imports().get_mut(item_hash) {
            change(job);
        }
    }
}

/// `2026-03-01T12:00:00.123456+00:00`.
fn iso(time: Timestamp) -> String {
    time.to_iso("+00:00")
}

/// The short answer to whoever begins a job.
fn begun(
    status: StatusCode,
    state: &str,
    item_hash: &ItemHash,
    started_at: Timestamp,
    error: Option<&str>,
    status_url: &str,
) -> Response {
    let mut body = json!({
        "state": state, "vm_hash": item_hash, "started_at": iso(started_at), "status_url": status_url,
    });
    if let Some(error) = error {
        body["error"] = Value::from(error);
    }
    json::response(status, &body)
}
