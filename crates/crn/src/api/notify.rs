//! `POST /control/allocation/notify`: an owner says that its instance may begin
//! (compute.md §8.2). Nobody signs: whether it begins is decided by what is
//! published and paid.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use beth_protocol::{Content, ItemHash};
use serde_json::{Value, json};

use super::error::ApiError;
use super::{Api, body, json, validation};
use crate::contents::{ContentFault, Described};
use crate::limits;
use crate::payment::PaymentFault;
use crate::workloads::{Kind, WorkloadFault};

/// A refusal: what went wrong, and the status that says so.
struct Refused(StatusCode, String);

impl Refused {
    fn numbered(status: StatusCode, text: impl std::fmt::Display) -> Refused {
        Refused(status, format!("{}: {text}", status.as_u16()))
    }
}

/// The handler.
pub(super) async fn notify(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, ApiError> {
    let bytes = body::read(request.into_body()).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "Body is not valid JSON"))?;
    let item_hash = match validation::item_hash(&value, "instance") {
        Ok(item_hash) => item_hash,
        Err(fault) => return Ok(validation::response(&[fault])),
    };
    if api.is_draining() {
        let text = "Server is draining, try another node";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    let asked = item_hash.clone();
    let tasks = api.tasks.clone();
    // Goes on when the client leaves: it is paid for.
    let begun = tasks.spawn(async move { begin(&api, &asked).await });
    let begun = begun.await.unwrap_or_else(|_| {
        let text = "the start broke off; look at the node's log".to_owned();
        Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, text))
    });
    Ok(match begun {
        Ok(()) => {
            let body = json!({"success": true, "successful": true, "failing": [], "errors": {}});
            json::response(StatusCode::OK, &body)
        }
        Err(Refused(status, text)) => {
            let body = json!({
                "error": text, "success": false, "successful": false, "failing": [item_hash],
                "errors": {item_hash.as_str(): text},
            });
            json::response(status, &body)
        }
    })
}

async fn begin(api: &Arc<Api>, item_hash: &ItemHash) -> Result<(), Refused> {
    let described = fetch(api, item_hash).await?;
    let Content::Instance(instance) = &described.content else {
        let text = "Message is not an instance";
        return Err(Refused::numbered(StatusCode::BAD_REQUEST, text));
    };
    let node = instance.requirements.as_ref();
    let wanted = node.and_then(|needs| needs.node.as_ref()?.node_hash.as_ref());
    if let Some(wanted) = wanted {
        let Some(own) = api.identity.node_hash() else {
            let text = "Node hash not yet discovered, cannot accept targeted allocations";
            return Err(Refused::numbered(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        if own != *wanted {
            let text = "Instance is allocated to a different node";
            return Err(Refused::numbered(StatusCode::BAD_REQUEST, text));
        }
    }
    let no_room = |why: String| {
        tracing::info!("{item_hash} does not fit: {why}");
        let text = "This CRN cannot host the requested instance at this time.";
        Refused(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
    };
    let fits = api.fits(&described, Kind::Instance).await;
    fits.and(api.can_host(instance))
        .map_err(|lack| no_room(lack.to_string()))?;
    let workloads = api
        .machines
        .instances()
        .ok_or_else(|| no_room("this node runs no instances".into()))?;
    let is_special = described.is_confidential() || !described.demand().gpus.is_empty();
    let paid = api.payments.admit(&described, is_special).await;
    paid.map_err(|fault| of_payment(&fault))?;
    let started = workloads.start(item_hash).await;
    started.map_err(|fault| {
        let status = match fault {
            WorkloadFault::Unsupported(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused(status, fault.to_string())
    })?;
    api.reservations.release(&described.sender);
    if let Some((known, _)) = api.machines.find(item_hash).await
        && let Err(fault) = api
            .machines
            .refresh_ports(api.contents.core(), &known)
            .await
    {
        tracing::warn!("the ports of {item_hash} stay as they are: {fault}");
    }
    Ok(())
}

/// The message; it may not have reached the core node yet.
async fn fetch(api: &Api, item_hash: &ItemHash) -> Result<Arc<Described>, Refused> {
    let patient = async {
        loop {
            match api.contents.describe(item_hash).await {
                Err(ContentFault::Unknown(_)) => {}
                other => return other,
            }
            tokio::time::sleep(limits::MESSAGE_LOOK_PERIOD).await;
        }
    };
    let patience = Duration::from_secs(api.config.notify_patience_seconds);
    match tokio::time::timeout(patience, patient).await {
        Ok(Ok(described)) => Ok(described),
        Ok(Err(fault @ ContentFault::Core(_))) => {
            Err(Refused(StatusCode::SERVICE_UNAVAILABLE, fault.to_string()))
        }
        Ok(Err(fault)) => Err(Refused::numbered(StatusCode::BAD_REQUEST, fault)),
        Err(_) => {
            let text = ContentFault::Unknown(item_hash.clone()).to_string();
            Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}

fn of_payment(fault: &PaymentFault) -> Refused {
    match fault {
        PaymentFault::Wrong(text) => Refused::numbered(StatusCode::BAD_REQUEST, text),
        PaymentFault::TooLittle(text) => Refused(StatusCode::PAYMENT_REQUIRED, text.clone()),
        PaymentFault::Core(_) | PaymentFault::Flow(_) => {
            Refused(StatusCode::SERVICE_UNAVAILABLE, fault.to_string())
        }
    }
}
