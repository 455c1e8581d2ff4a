//! `POST …/expire`: a machine that is to end by itself (compute.md §7.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use beth_protocol::ItemHash;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::super::error::ApiError;
use super::super::{Api, body};
use super::target;
use crate::operator::Operator;

/// Ten days, in seconds: the longest wait.
const SECONDS_MAX: f64 = 864_000.0;

/// The machines that are to end, and how to change one's mind.
#[derive(Debug, Default)]
pub(crate) struct Expiries(Mutex<HashMap<ItemHash, CancellationToken>>);

impl Expiries {
    /// The machine lives on.
    pub(super) fn forget(&self, item_hash: &ItemHash) {
        if let Some(earlier) = self.lock().remove(item_hash) {
            earlier.cancel();
        }
    }

    fn replace(&self, item_hash: &ItemHash, token: CancellationToken) {
        if let Some(earlier) = self.lock().insert(item_hash.clone(), token) {
            earlier.cancel();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ItemHash, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
pub(super) struct Timeout {
    timeout: Option<f64>,
}

/// The handler: seconds in the body or in the query.
pub(super) async fn expire(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    query: Result<Query<Timeout>, axum::extract::rejection::QueryRejection>,
    Extension(operator): Extension<Operator>,
    request: Request,
) -> Result<String, ApiError> {
    let (known, workloads) = target(&api, &reference, &operator).await?;
    let bytes = body::read(request.into_body()).await?;
    let told = serde_json::from_slice(&bytes).unwrap_or(Timeout { timeout: None });
    let asked = query.ok().and_then(|Query(query)| query.timeout);
    let seconds = told.timeout.or(asked).unwrap_or_default();
    if !(seconds > 0.0 && seconds < SECONDS_MAX) {
        let text = "Invalid timeout duration";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, text));
    }
    let (item_hash, token) = (known.item_hash.clone(), api.cancel.child_token());
    api.expiries.replace(&item_hash, token.clone());
    let tasks = api.tasks.clone();
    tasks.spawn(async move {
        let wait = tokio::time::sleep(Duration::from_secs_f64(seconds));
        if token.run_until_cancelled(wait).await.is_some() {
            api.expiries.forget(&item_hash);
            if let Err(fault) = workloads.stop(&item_hash).await {
                tracing::warn!("{item_hash} was to end and does not: {fault}");
            }
        }
    });
    Ok(format!(
        "Expiring VM with ref {} in {seconds} seconds",
        known.item_hash
    ))
}
