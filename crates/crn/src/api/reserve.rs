//! Whether something would fit, and cards for who is about to pay
//! (compute.md §8.3, §25).

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beth_protocol::content::instance::InstanceContent;
use beth_protocol::time::Timestamp;
use beth_protocol::{Content, ItemHash, MessageType};
use serde_json::{Value, json};

use super::error::ApiError;
use super::machines::python_time;
use super::{Api, body, json, now, validation};
use crate::contents::{Described, demand_of_instance};
use crate::operator::Operator;
use crate::reservation::{Lack, Room, Wanted};
use crate::workloads::{Demand, Kind, Known};

impl Api {
    /// What the node has, what it promised, and what of that is used (MiB).
    pub(super) async fn room(&self) -> (Room, Vec<Known>, u64) {
        let settings = self.settings.read().await.unwrap_or_default();
        let policy = self.config.admission.clone();
        let folder = self.config.folder.clone();
        let mut room = match &self.room {
            Some(room) => room.clone(),
            None => tokio::task::spawn_blocking(move || super::system::room(&folder, &policy))
                .await
                .unwrap_or_default(),
        };
        crate::gpu::name_models(&mut room.gpus, &settings.compatible_gpus);
        if !self.config.enable_gpus {
            room.gpus.clear();
        }
        let known = self.machines.all().await;
        let used_mib = known.iter().map(|known| known.disk_used_mib).sum();
        (room, known, used_mib)
    }

    /// Whether a workload fits here.
    pub(super) async fn fits(&self, described: &Described, kind: Kind) -> Result<(), Lack> {
        let (room, known, used_mib) = self.room().await;
        let demand = described.demand();
        let wanted = Wanted {
            item_hash: Some(&described.item_hash),
            kind,
            demand: &demand,
            owner: &described.sender,
        };
        self.reservations.admit(&room, &known, used_mib, &wanted)
    }
}

/// The handler; the body is the content of an INSTANCE that does not exist yet.
pub(super) async fn reserve(
    State(api): State<Arc<Api>>,
    Extension(operator): Extension<Operator>,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes = body::read(request.into_body()).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "Body is not valid JSON"))?;
    let instance = match content(&value) {
        Ok(instance) => instance,
        Err(faults) => return Ok(validation::response(&faults)),
    };
    let demand: Demand = demand_of_instance(&instance);
    let (room, known, used_mib) = api.room().await;
    let without_cards = Demand {
        gpus: Vec::new(),
        ..demand.clone()
    };
    let wanted = Wanted {
        item_hash: None::<&ItemHash>,
        kind: Kind::Instance,
        demand: &without_cards,
        owner: &operator.address,
    };
    let admitted = api.reservations.admit(&room, &known, used_mib, &wanted);
    if let Err(lack) = admitted.and(api.can_host(&instance)) {
        tracing::info!("a reservation is refused: {lack}");
        let text = "This CRN cannot reserve the requested resources at this time.";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    match api
        .reservations
        .reserve(&room, &known, &demand, &operator.address)
    {
        Ok(duration) => {
            let micros = i64::try_from(duration.as_micros()).unwrap_or_default();
            let until = Timestamp::from_micros(now().micros().saturating_add(micros));
            let body = json!({"status": "reserved", "expires": python_time(until, "+00:00")});
            Ok(json::response(StatusCode::OK, &body))
        }
        Err(lack) => {
            let body = json!({
                "status": "error", "error": "Failed to reserves all resources", "reason": lack.to_string(),
            });
            Ok(json::response(StatusCode::BAD_REQUEST, &body))
        }
    }
}

fn content(value: &Value) -> Result<InstanceContent, Vec<Value>> {
    match Content::parse(MessageType::Instance, value) {
        Ok(Content::Instance(instance)) => Ok(*instance),
        Ok(_) => Err(Vec::new()),
        Err(faults) => Err(faults.iter().map(|fault| json!(fault)).collect()),
    }
}
