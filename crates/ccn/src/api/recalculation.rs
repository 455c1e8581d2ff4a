//! Costs computed again, for operators (core-api.md §8.5).
//!
//! ```text
//!  token ─▶ revisions of the prices ─▶ Timeline ─┐
//!              messages, some at a time ─────────┴▶ bill at its time ─▶ stored
//! ```
//!
//! Each message is billed with the prices that held at its time. Nodes agree
//! about costs, and compare them: one that recalculates alone differs from
//! others until they do the same.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beth_protocol::aggregate::{Element, merge};
use beth_protocol::cost::{self, Prices};
use beth_protocol::judge::payment::ViewSizes;
use beth_protocol::signature::operator;
use beth_protocol::time::Timestamp;
use beth_protocol::{Content, Status};
use beth_store::{Error, State as Snapshot, costs_something};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::messages::hash_in_path;
use super::openapi::{Routes, params as described, prices as schemas, refusals};
use crate::config::AuthConfig;
use crate::context::Context;
use crate::limits::{RECALCULATED_AT_ONCE, RECALCULATION_ERRORS_MAX, TOKEN_AHEAD_SECONDS_MAX};
use crate::pipeline::now;

/// The header with the token.
const TOKEN: &str = "x-auth-token";

/// Both routes.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(recalculate_all))
        .with(routes!(recalculate_one))
}

/// Computes the costs of every resource again.
#[utoipa::path(post, path = "/api/v0/price/recalculate", operation_id = "recalculatePrices", tag = "prices",
    params(described::OperatorToken),
    responses((status = 200, description = "What was done.", body = schemas::Recalculation),
        refusals::NoToken))]
async fn recalculate_all(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    check(&headers, &context.config.auth)?;
    let timeline = Timeline::read(&context).await?;
    let (mut done, mut after) = (Done::default(), 0);
    loop {
        let steps = timeline.clone();
        let (batch, next) = context
            .pipeline
            .work(move |state| {
                let billed = state.billed_after(after, RECALCULATED_AT_ONCE)?;
                let mut done = Done::default();
                for hash in &billed.hashes {
                    done.add(hash, rebill(state, hash, &steps)?);
                }
                Ok((done, billed.next))
            })
            .await?;
        done.merge(batch);
        match next {
            Some(next) => after = next,
            None => return Ok(done.answer(timeline.changes)),
        }
    }
}

/// Computes the cost of one resource again.
#[utoipa::path(post, path = "/api/v0/price/{item_hash}/recalculate", operation_id = "recalculatePrice",
    tag = "prices", params(described::HashPath, described::OperatorToken),
    responses((status = 200, description = "What was done.", body = schemas::Recalculation),
        refusals::NoToken, refusals::NoBill, refusals::NotFound, refusals::Gone))]
async fn recalculate_one(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    check(&headers, &context.config.auth)?;
    let hash = hash_in_path(&hash)?.to_string();
    let name = hash.clone();
    let refusal = context.read(move |state| refusal(state, &name)).await?;
    if let Some((status, text)) = refusal {
        return Err(ApiError::text(status, format!("{text}: {hash}")));
    }
    let timeline = Timeline::read(&context).await?;
    let steps = timeline.clone();
    let done = context.pipeline.work(move |state| {
        let mut done = Done::default();
        done.add(&hash, rebill(state, &hash, &steps)?);
        Ok(done)
    });
    Ok(done.await?.answer(timeline.changes))
}

/// Why a message has no bill that could be computed.
fn refusal(state: &Snapshot<'_>, hash: &str) -> Result<Option<(StatusCode, &'static str)>, Error> {
    let Some((status, _)) = state.status(hash)? else {
        return Ok(Some((StatusCode::NOT_FOUND, "Message not found with hash")));
    };
    Ok(match status {
        Status::Processed | Status::Removing => {
            let message = state.stored_message(hash)?;
            let costs = message.is_some_and(|m| costs_something(m.message.message_type));
            let text = "Message is not an executable or store message";
            (!costs).then_some((StatusCode::BAD_REQUEST, text))
        }
        Status::Pending => Some((StatusCode::NOT_FOUND, "Message still pending")),
        Status::Rejected => Some((StatusCode::NOT_FOUND, "This message was rejected")),
        Status::Removed => Some((StatusCode::GONE, "This message has been removed")),
        Status::Forgotten => Some((StatusCode::GONE, "This message has been forgotten")),
    })
}

/// Refuses who has no token of the operator.
fn check(headers: &HeaderMap, auth: &AuthConfig) -> Result<(), ApiError> {
    let refuse = |text: &str| {
        ApiError::text(StatusCode::UNAUTHORIZED, text)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    };
    let Some(token) = headers.get(TOKEN) else {
        return Err(refuse("Missing X-Auth-Token header"));
    };
    if is_valid(token.as_bytes(), auth, now()).unwrap_or(false) {
        Ok(())
    } else {
        Err(refuse("Invalid or expired authentication token"))
    }
}

/// A token is a time in seconds, a colon and a signature of it.
fn is_valid(token: &[u8], auth: &AuthConfig, now: Timestamp) -> Option<bool> {
    let token = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    let (time, signature) = token.split_once(':')?;
    let age = now.micros() / 1_000_000 - time.parse::<i64>().ok()?;
    let age_max = i64::try_from(auth.max_token_age_seconds).unwrap_or(i64::MAX);
    if age > age_max || age < -TOKEN_AHEAD_SECONDS_MAX {
        return Some(false);
    }
    let der = STANDARD.decode(signature).ok()?;
    Some(operator::verify(time.as_bytes(), &der, &auth.public_key))
}

/// The prices of each time.
#[derive(Clone)]
struct Timeline {
    /// Prices from a moment on, by the moment.
    steps: Arc<Vec<(Timestamp, Prices)>>,
    /// Price lists there ever were, the built-in one included.
    changes: usize,
}

impl Timeline {
    async fn read(context: &Context) -> Result<Timeline, ApiError> {
        let owner = context.config.rules.pricing_address.clone();
        let timeline = context
            .read(move |state| {
                let pricing = state.elements(&owner, "pricing")?;
                let settings = state.elements(&owner, "settings")?;
                Ok(Timeline::of(pricing, settings))
            })
            .await?;
        Ok(timeline)
    }

    fn of(pricing: Vec<Element>, settings: Vec<Element>) -> Timeline {
        let both = pricing.iter().chain(&settings);
        let mut times: Vec<Timestamp> = both.map(|element| element.time).collect();
        times.sort();
        times.dedup();
        let until = |elements: &[Element], time: Timestamp| {
            merge(
                elements
                    .iter()
                    .filter(|element| element.time <= time)
                    .cloned()
                    .collect(),
            )
        };
        let steps = times
            .into_iter()
            .map(|time| {
                let prices = Prices::new(until(&pricing, time), until(&settings, time));
                (time, prices)
            })
            .collect();
        Timeline {
            steps: Arc::new(steps),
            changes: 1 + pricing.len(),
        }
    }

    fn at(&self, time: Timestamp) -> Option<&Prices> {
        let later = self.steps.partition_point(|(start, _)| *start <= time);
        let step = self.steps.get(later.checked_sub(1)?)?;
        Some(&step.1)
    }
}

/// Computes a bill and stores it; a sentence when that cannot be.
fn rebill(
    state: &Snapshot<'_>,
    hash: &str,
    timeline: &Timeline,
) -> Result<Result<(), String>, Error> {
    let Some(stored) = state.stored_message(hash)? else {
        return Ok(Err("the message is gone".to_owned()));
    };
    let Ok(content) = Content::parse(stored.message.message_type, &stored.content) else {
        return Ok(Err("the content cannot be read any more".to_owned()));
    };
    let defaults = Prices::defaults();
    let prices = timeline.at(stored.message.time).unwrap_or(&defaults);
    let sizes = ViewSizes::new(state);
    let bill = cost::bill(hash, &content, prices, &sizes);
    sizes
        .check()
        .map_err(|failure| Error::Damaged(failure.to_string()))?;
    match bill {
        Ok(rows) => {
            state.apply_costs(
                hash,
                (content.address(), cost::payment_type(&content)),
                &rows,
            )?;
            Ok(Ok(()))
        }
        Err(failure) => Ok(Err(failure.to_string())),
    }
}

/// What was done.
#[derive(Default)]
struct Done {
    recalculated: u64,
    total: u64,
    errors: Vec<Value>,
}

impl Done {
    fn add(&mut self, hash: &str, outcome: Result<(), String>) {
        self.total += 1;
        match outcome {
            Ok(()) => self.recalculated += 1,
            Err(error) if self.errors.len() < RECALCULATION_ERRORS_MAX => {
                self.errors.push(json!({"item_hash": hash, "error": error}));
            }
            Err(_) => {}
        }
    }

    fn merge(&mut self, other: Done) {
        self.recalculated += other.recalculated;
        self.total += other.total;
        self.errors.extend(other.errors);
        self.errors.truncate(RECALCULATION_ERRORS_MAX);
    }

    fn answer(self, changes: usize) -> Response {
        if self.total == 0 {
            let nothing = "No messages found for cost recalculation";
            return ok(json!({"message": nothing, "recalculated_count": 0, "total_messages": 0}))
                .into_response();
        }
        let mut body = json!({
            "message": "Cost recalculation completed with historical pricing",
            "recalculated_count": self.recalculated, "total_messages": self.total,
            "pricing_changes_found": changes,
        });
        if !self.errors.is_empty() {
            body["errors"] = self.errors.into();
        }
        ok(body).into_response()
    }
}
