//! Everybody's tokens and credits (core-api.md §7.4, §7.5).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use beth_protocol::Chain;
use beth_store::query::holders::HoldingPlace;
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::cursor::{Cursor, Paging};
use super::openapi::{Routes, holders as schemas, params as described, refusals};
use super::params::{Bounds, Names, Params};
use crate::context::Context;
use crate::pipeline::now;

/// The least that must be there.
pub const MIN_BALANCE: Names = &["min_balance", "minBalance"];
/// Rows of a page.
pub const PAGE: Bounds = Bounds::from(0, 100);

/// Both lists.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(balances))
        .with(routes!(credit_balances))
}

/// Older nodes know the address alone; they ignore the rest, and what they
/// wrote means all rows of the address.
impl Cursor for HoldingPlace {
    fn to_json(&self) -> Value {
        let mut members = json!({"a": self.address, "c": self.chain});
        if !self.dapp.is_empty() {
            members["d"] = self.dapp.clone().into();
        }
        members
    }

    fn from_json(members: &Map<String, Value>) -> Option<HoldingPlace> {
        let text = |key: &str| members.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(HoldingPlace {
            address: text("a")?,
            chain: text("c"),
            dapp: text("d").unwrap_or_default(),
        })
    }
}

/// The address of the last row.
impl Cursor for String {
    fn to_json(&self) -> Value {
        json!({"a": self})
    }

    fn from_json(members: &Map<String, Value>) -> Option<String> {
        members.get("a")?.as_str().map(str::to_owned)
    }
}

/// Tokens of everybody, one row for each address and chain.
#[utoipa::path(get, path = "/api/v0/balances", operation_id = "listBalances", tag = "accounts",
    params(described::HoldingFilters, described::HolderPages),
    responses((status = 200, description = "A page.", body = schemas::BalancePage), refusals::BadQuery))]
async fn balances(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let words: Vec<(&str, &str)> = Chain::ALL
        .iter()
        .map(|chain| (chain.as_str(), chain.as_str()))
        .collect();
    let chains: Option<Vec<String>> = params
        .choices(&["chains"], &words)
        .map(|chains| chains.into_iter().map(str::to_owned).collect());
    let balance_min = params.at_least(MIN_BALANCE, 1);
    let paging = Paging::read(&mut params, PAGE, None);
    params.finish()?;
    let window = paging.window::<HoldingPlace>()?;
    let page = context
        .read(move |state| state.holdings(chains.as_ref(), balance_min, &window))
        .await?;
    let items = page.rows.iter().map(|row| {
        json!({"address": row.place.address, "balance": row.balance.to_f64(), "chain": row.place.chain})
    });
    let mut body = Map::new();
    body.insert("balances".into(), items.collect());
    body.extend(paging.members("balances", page.total, page.next.as_ref()));
    Ok(ok(Value::Object(body)).into_response())
}

/// Credits of everybody who ever had some.
#[utoipa::path(get, path = "/api/v0/credit_balances", operation_id = "listCreditBalances", tag = "accounts",
    params(described::CreditHolderFilters, described::HolderPages),
    responses((status = 200, description = "A page.", body = schemas::CreditBalancePage), refusals::BadQuery))]
async fn credit_balances(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let credits_min = params.at_least(MIN_BALANCE, 1);
    let paging = Paging::read(&mut params, PAGE, None);
    params.finish()?;
    let window = paging.window::<String>()?;
    let page = context
        .read(move |state| state.credit_holders(credits_min, now(), &window))
        .await?;
    let items = page
        .rows
        .iter()
        .map(|row| json!({"address": row.address, "credits": row.credits}));
    let mut body = Map::new();
    body.insert("credit_balances".into(), items.collect());
    body.extend(paging.members("credit_balances", page.total, page.next.as_ref()));
    Ok(ok(Value::Object(body)).into_response())
}
