//! What messages cost, and what one would cost (core-api.md §8.1–§8.3).

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::content::{Payment, PaymentType, StoreContent};
use beth_protocol::cost::{self, CostRow, FileRef, Sizes};
use beth_protocol::decimal::Decimal;
use beth_protocol::judge::payment::{ViewSizes, prices};
use beth_protocol::time::Timestamp;
use beth_protocol::view::ViewError;
use beth_protocol::{Content, ItemHash, ItemType, MessageType, Status};
use beth_store::{Error, State as Snapshot};
use http::StatusCode;
use serde_json::{Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::body;
use super::messages::hash_in_path;
use super::openapi::{Routes, params as described, prices as schemas, refusals};
use super::params::Params;
use crate::context::Context;
use crate::limits::JSON_BODY_BYTES_MAX;

const MIB: f64 = 1_048_576.0;

/// Routes under `/api/v0/price`.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(of_message))
        .with(routes!(estimate))
        .with(routes!(estimate_instance))
}

/// One line, as served.
struct Line {
    cost_type: String,
    name: String,
    hold: Decimal,
    stream: Decimal,
    credit: Decimal,
    size_mib: Option<Decimal>,
}

impl From<CostRow> for Line {
    fn from(row: CostRow) -> Line {
        Line {
            cost_type: row.cost_type.as_str().to_owned(),
            name: row.name,
            hold: row.hold,
            stream: row.stream,
            credit: row.credit,
            size_mib: row.size_mib,
        }
    }
}

/// A bill, as served.
struct Bill {
    owner: String,
    payment: PaymentType,
    lines: Vec<Line>,
}

impl Bill {
    fn to_json(&self, with_sizes: bool) -> Value {
        let amount = |line: &Line| match self.payment {
            PaymentType::Hold => line.hold.clone(),
            PaymentType::Superfluid => line.stream.clone(),
            PaymentType::Credit => line.credit.clone(),
        };
        let total: Decimal = self.lines.iter().map(amount).sum();
        let detail: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                let size = line.size_mib.as_ref().filter(|_| with_sizes).map(Decimal::to_f64);
                json!({
                    "cost_credit": line.credit.to_cost_string(), "cost_hold": line.hold.to_cost_string(),
                    "cost_stream": line.stream.to_cost_string(), "name": line.name, "size_mib": size,
                    "type": line.cost_type,
                })
            })
            .collect();
        json!({
            "charged_address": self.owner, "cost": total.to_cost_string(), "detail": detail,
            "payment_type": self.payment.as_str(), "required_tokens": total.to_f64(),
        })
    }
}

/// What a message costs, or why there is no answer.
enum Found {
    Bill(Bill),
    Nothing(StatusCode, &'static str),
}

/// What a message costs.
#[utoipa::path(get, path = "/api/v0/price/{item_hash}", operation_id = "showPrice", tag = "prices",
    params(described::HashPath, described::PriceView),
    responses((status = 200, description = "The bill.", body = schemas::Bill),
        refusals::NoBill, refusals::NotFound, refusals::Gone))]
async fn of_message(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let hash = hash_in_path(&hash)?;
    let with_sizes = params
        .text(&["include_size"])
        .is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let name = hash.to_string();
    let rules = context.config.rules.clone();
    let found = context
        .read(move |state| find(state, &name, &rules))
        .await?;
    match found {
        Found::Bill(bill) => Ok(ok(bill.to_json(with_sizes)).into_response()),
        Found::Nothing(status, text) => Err(ApiError::text(status, format!("{text}: {hash}"))),
    }
}

fn find(
    state: &Snapshot<'_>,
    hash: &str,
    rules: &beth_protocol::judge::Rules,
) -> Result<Found, Error> {
    let Some((status, _)) = state.status(hash)? else {
        return Ok(Found::Nothing(
            StatusCode::NOT_FOUND,
            "Message not found with hash",
        ));
    };
    match status {
        Status::Processed | Status::Removing => stored(state, hash),
        Status::Pending => Ok(Found::Nothing(
            StatusCode::NOT_FOUND,
            "Message still pending",
        )),
        Status::Rejected => Ok(Found::Nothing(
            StatusCode::NOT_FOUND,
            "This message was rejected",
        )),
        Status::Removed => {
            let found = Found::Nothing(StatusCode::GONE, "This message has been removed");
            match state.removed_message(hash)? {
                Some(row) if row.message_type == "STORE" => {
                    let gone = Gone {
                        owner: row.owner,
                        payment_type: row.payment_type,
                        size: row.size,
                        time: row.time,
                    };
                    Ok(bill_of_gone(state, hash, gone, rules)?.unwrap_or(found))
                }
                _ => Ok(found),
            }
        }
        Status::Forgotten => {
            let found = Found::Nothing(StatusCode::GONE, "This message has been forgotten");
            match state.forgotten_message(hash)? {
                Some(row) if row.message_type == "STORE" => {
                    let gone = Gone {
                        owner: row.owner,
                        payment_type: row.payment_type,
                        size: row.size,
                        time: row.time,
                    };
                    Ok(bill_of_gone(state, hash, gone, rules)?.unwrap_or(found))
                }
                _ => Ok(found),
            }
        }
    }
}

fn stored(state: &Snapshot<'_>, hash: &str) -> Result<Found, Error> {
    use MessageType::{Instance, Program, Store, VerifiedProgram};
    let Some(message) = state.stored_message(hash)? else {
        return Ok(Found::Nothing(
            StatusCode::NOT_FOUND,
            "Message not found with hash",
        ));
    };
    if !matches!(
        message.message.message_type,
        Instance | Program | Store | VerifiedProgram
    ) {
        return Ok(Found::Nothing(
            StatusCode::BAD_REQUEST,
            "Message is not an executable or store message",
        ));
    }
    let owner = message.content["address"]
        .as_str()
        .unwrap_or(&message.message.sender)
        .to_owned();
    let (payment, costs) = match state.costs_of(hash)? {
        Some(bill) => bill,
        None => (payment_of(&message.content), Vec::new()),
    };
    let lines = costs
        .into_iter()
        .map(|cost| Line {
            cost_type: cost.cost_type,
            name: cost.name,
            hold: cost.hold,
            stream: cost.stream,
            credit: cost.credit,
            size_mib: cost.size_mib,
        })
        .collect();
    Ok(Found::Bill(Bill {
        owner,
        payment,
        lines,
    }))
}

fn payment_of(content: &Value) -> PaymentType {
    payment_named(content["payment"]["type"].as_str().unwrap_or("hold"))
}

fn payment_named(text: &str) -> PaymentType {
    match text {
        "credit" => PaymentType::Credit,
        "superfluid" => PaymentType::Superfluid,
        _ => PaymentType::Hold,
    }
}

/// What is kept of a STORE message that is no more.
struct Gone {
    owner: String,
    payment_type: String,
    size: Option<i64>,
    time: Timestamp,
}

/// A file that is no more is billed by what is kept of its message, at today's
/// price.
fn bill_of_gone(
    state: &Snapshot<'_>,
    hash: &str,
    row: Gone,
    rules: &beth_protocol::judge::Rules,
) -> Result<Option<Found>, Error> {
    let (Some(size), Ok(item_hash)) = (row.size, ItemHash::parse(hash)) else {
        return Ok(None);
    };
    let payment = payment_named(&row.payment_type);
    let content = Content::Store(StoreContent {
        address: row.owner.clone(),
        time: row.time.seconds_f64(),
        item_type: ItemType::Storage,
        item_hash,
        size: None,
        content_type: None,
        reference: None,
        tags: None,
        metadata: None,
        payment: Some(Payment {
            chain: None,
            receiver: None,
            payment_type: payment,
        }),
    });
    let estimated = Estimated {
        by_reference: HashMap::new(),
        stored: Some(size.max(0) as u64),
        known: ViewSizes::new(state),
    };
    let lines = bill(state, hash, &content, (&estimated, rules))?;
    Ok(lines.ok().map(|lines| {
        Found::Bill(Bill {
            owner: row.owner.clone(),
            payment,
            lines,
        })
    }))
}

type Lines = Result<Vec<Line>, String>;

fn bill(
    state: &Snapshot<'_>,
    hash: &str,
    content: &Content,
    (sizes, rules): (&Estimated<'_>, &beth_protocol::judge::Rules),
) -> Result<Lines, Error> {
    let damaged = |failure: ViewError| Error::Damaged(failure.to_string());
    let prices = prices(state, rules).map_err(damaged)?;
    let bill = cost::bill(hash, content, &prices, sizes);
    sizes.known.check().map_err(damaged)?;
    Ok(bill
        .map(|rows| rows.into_iter().map(Line::from).collect())
        .map_err(|error| error.to_string()))
}

/// Sizes as the client states them, else as this node knows them.
struct Estimated<'a> {
    by_reference: HashMap<String, u64>,
    stored: Option<u64>,
    known: ViewSizes<'a, Snapshot<'a>>,
}

impl Sizes for Estimated<'_> {
    fn referenced(&self, file: FileRef<'_>) -> Option<u64> {
        let stated = self.by_reference.get(file.reference).copied();
        stated.or_else(|| self.known.referenced(file))
    }

    fn stored(&self, file_hash: &str) -> Option<u64> {
        self.stored.or_else(|| self.known.stored(file_hash))
    }
}

/// What a message would cost. Nothing is signed, nothing is kept.
#[utoipa::path(post, path = "/api/v0/price/estimate", operation_id = "estimatePrice", tag = "prices",
    request_body = schemas::EstimateRequest,
    responses((status = 200, description = "The bill.", body = schemas::Bill), refusals::BadBody))]
async fn estimate(State(context): State<Arc<Context>>, body: Body) -> Result<Response, ApiError> {
    let invalid = || ApiError::text(StatusCode::UNPROCESSABLE_ENTITY, "InvalidMessageFormat");
    let bytes = body::read(body, JSON_BODY_BYTES_MAX).await?;
    let request: Value = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    let message = &request["message"];
    let message_type = message["type"]
        .as_str()
        .and_then(MessageType::parse)
        .ok_or_else(invalid)?;
    let text = message["item_content"].as_str().ok_or_else(invalid)?;
    let item_hash = ItemHash::of_bytes(text.as_bytes());
    if message["item_hash"].as_str() != Some(item_hash.as_str()) {
        return Err(invalid());
    }
    let content = beth_protocol::json::parse_content(text).map_err(|_| invalid())?;
    answer_estimate(&context, message_type, content, item_hash).await
}

/// What an instance would cost, given its bare content.
#[utoipa::path(post, path = "/api/v0/price/estimate/instance", operation_id = "estimateInstance",
    tag = "prices", request_body = schemas::EstimatedInstance,
    responses((status = 200, description = "The bill.", body = schemas::Bill), refusals::BadBody))]
async fn estimate_instance(
    State(context): State<Arc<Context>>,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = body::read(body, JSON_BODY_BYTES_MAX).await?;
    let content: Value = serde_json::from_slice(&bytes)
        .map_err(|_| ApiError::reason(StatusCode::BAD_REQUEST, "Invalid JSON body"))?;
    let item_hash = ItemHash::of_bytes(&bytes);
    answer_estimate(&context, MessageType::Instance, content, item_hash).await
}

async fn answer_estimate(
    context: &Context,
    message_type: MessageType,
    mut content: Value,
    item_hash: ItemHash,
) -> Result<Response, ApiError> {
    let unprocessable = |text: String| ApiError::text(StatusCode::UNPROCESSABLE_ENTITY, text);
    let invalid = || unprocessable("InvalidMessageFormat".into());
    use MessageType::{Instance, Program, Store, VerifiedProgram};
    if !matches!(message_type, Instance | Program | Store | VerifiedProgram) {
        return Err(unprocessable(format!(
            "Messages of type {message_type} cost nothing"
        )));
    }
    let stated = take_sizes(message_type, &mut content).ok_or_else(invalid)?;
    let typed = Content::parse(message_type, &content).map_err(|_| invalid())?;
    let rules = context.config.rules.clone();
    let lines = context
        .read({
            let typed = typed.clone();
            move |state| {
                let (by_reference, stored) = stated;
                let sizes = Estimated {
                    by_reference,
                    stored,
                    known: ViewSizes::new(state),
                };
                bill(state, item_hash.as_str(), &typed, (&sizes, &rules))
            }
        })
        .await?
        .map_err(|text| unprocessable(format!("422: {text}")))?;
    let bill = Bill {
        owner: typed.address().to_owned(),
        payment: cost::payment_type(&typed),
        lines,
    };
    Ok(ok(bill.to_json(true)).into_response())
}

type StatedSizes = (HashMap<String, u64>, Option<u64>);

/// Takes `estimated_size_mib` out of a content, which the schema of messages
/// does not know, and adds what estimates may leave out. `None`: no content.
fn take_sizes(message_type: MessageType, content: &mut Value) -> Option<StatedSizes> {
    let members = content.as_object_mut()?;
    let mut by_reference = HashMap::new();
    let stored = members
        .remove("estimated_size_mib")
        .as_ref()
        .and_then(bytes_of);
    if message_type != MessageType::Store {
        members.entry("allow_amend").or_insert(Value::Bool(false));
        members.entry("time").or_insert(Value::from(0.0));
        let mut holders: Vec<&mut Value> = Vec::new();
        for (name, member) in members.iter_mut() {
            match name.as_str() {
                "code" | "runtime" | "data" => holders.push(member),
                "volumes" => holders.extend(member.as_array_mut().into_iter().flatten()),
                _ => {}
            }
        }
        for holder in holders {
            let Some(holder) = holder.as_object_mut() else {
                continue;
            };
            let size = holder
                .remove("estimated_size_mib")
                .as_ref()
                .and_then(bytes_of);
            if let (Some(size), Some(reference)) = (size, holder.get("ref").and_then(Value::as_str))
            {
                by_reference.insert(reference.to_owned(), size);
            }
        }
    }
    Some((by_reference, stored))
}

fn bytes_of(mib: &Value) -> Option<u64> {
    mib.as_f64()
        .filter(|mib| *mib >= 0.0 && *mib < 1e9)
        .map(|mib| (mib * MIB) as u64)
}
