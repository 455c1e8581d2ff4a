//! What resources cost, together and each (core-api.md §8.4).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use beth_protocol::content::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_store::query::accounts::StoredCost;
use beth_store::query::costs::{CostFilter, CostSummary, ResourceCost};
use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::openapi::{Routes, params as described, prices as schemas, refusals};
use super::params::{Bounds, Names, Params};
use crate::context::Context;

/// Resources of a page.
pub const PAGE: Bounds = Bounds {
    default: 100,
    min: 10,
    max: 1000,
};
/// Whether to list resources (1), and what their bills consist of (2).
pub const DETAILS: Bounds = Bounds {
    default: 0,
    min: 0,
    max: 2,
};
/// Name of [`DETAILS`].
pub const INCLUDE_DETAILS: Names = &["include_details", "includeDetails"];
/// Ways to pay.
pub const PAYMENTS: [(&str, PaymentType); 3] = [
    ("hold", PaymentType::Hold),
    ("superfluid", PaymentType::Superfluid),
    ("credit", PaymentType::Credit),
];

/// The list of costs.
pub fn routes() -> Routes {
    Routes::new().with(routes!(list))
}

/// What to show of the resources.
#[derive(Clone, Copy)]
struct Shown {
    lines: bool,
    sizes: bool,
}

/// What everything costs that is paid in one way.
#[utoipa::path(get, path = "/api/v0/costs", operation_id = "listCosts", tag = "prices",
    params(described::CostFilters),
    responses((status = 200, description = "Sums, and a page of resources.", body = schemas::Costs),
        refusals::BadQuery))]
async fn list(
    State(context): State<Arc<Context>>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = CostFilter {
        owner: params.text(&["address"]).map(str::to_owned),
        item_hash: params.text(&["item_hash", "itemHash"]).map(str::to_owned),
        payment: params
            .choice(&["payment_type", "paymentType"], &PAYMENTS)
            .unwrap_or(PaymentType::Credit),
    };
    let details = params.integer(INCLUDE_DETAILS, DETAILS);
    let sizes = params.flag(&["include_size", "includeSize"]);
    let size = params.integer(&["pagination"], PAGE);
    let number = params.integer(&["page"], Bounds::from(1, 1));
    params.finish()?;
    if details == 2 && filter.owner.is_none() && filter.item_hash.is_none() {
        return Err(ApiError::text(
            StatusCode::UNPROCESSABLE_ENTITY,
            "include_details=2 requires at least one of 'address' or 'item_hash' filters to avoid fetching \
             breakdowns for all resources",
        ));
    }
    let asked = filter.clone();
    let (summary, page) = context
        .read(move |state| {
            let summary = state.cost_summary(&asked)?;
            let page = match details {
                0 => None,
                _ => Some(state.resource_costs(&asked, (number, size), summary.resources)?),
            };
            Ok((summary, page))
        })
        .await?;
    let shown = Shown {
        lines: details == 2,
        sizes,
    };
    let resources = page.as_ref().map(|page| {
        let items = page.rows.iter().map(|row| resource(row, &filter, shown));
        items.collect::<Vec<Value>>()
    });
    let listed = resources.is_some();
    Ok(ok(json!({
        "summary": summed(&summary),
        "filters": {"address": filter.owner, "item_hash": filter.item_hash, "payment_type": filter.payment.as_str()},
        "resources": resources,
        "pagination_page": listed.then_some(number),
        "pagination_total": page.map(|page| page.total),
        "pagination_per_page": listed.then_some(size),
        "pagination_item": listed.then_some("resources"),
    }))
    .into_response())
}

fn summed(summary: &CostSummary) -> Value {
    json!({
        "total_consumed_credits": summary.consumed_credits,
        "total_cost_hold": amount(summary.sums.hold),
        "total_cost_stream": amount(summary.sums.stream),
        "total_cost_credit": amount(summary.sums.credit),
        "resource_count": summary.resources,
    })
}

fn resource(row: &ResourceCost, filter: &CostFilter, shown: Shown) -> Value {
    let lines: Vec<Value> = row.lines.iter().map(|cost| line(cost, shown)).collect();
    json!({
        "item_hash": row.item_hash,
        "owner": row.owner,
        "payment_type": filter.payment.as_str(),
        "consumed_credits": u64::try_from(row.consumed_credits).unwrap_or(u64::MAX),
        "cost_hold": amount(row.sums.hold),
        "cost_stream": amount(row.sums.stream),
        "cost_credit": amount(row.sums.credit),
        "detail": shown.lines.then_some(lines),
    })
}

fn line(cost: &StoredCost, shown: Shown) -> Value {
    let mut members = Map::new();
    members.insert("type".into(), cost.cost_type.clone().into());
    members.insert("name".into(), cost.name.clone().into());
    for (name, amount) in [
        ("cost_hold", &cost.hold),
        ("cost_stream", &cost.stream),
        ("cost_credit", &cost.credit),
    ] {
        members.insert(name.into(), amount.to_cost_string().into());
    }
    let size = cost.size_mib.as_ref().filter(|_| shown.sizes);
    members.insert("size_mib".into(), size.map(Decimal::to_f64).into());
    Value::Object(members)
}

/// A decimal text with 18 digits behind the point.
fn amount(units: i128) -> String {
    const ONE: u128 = 10u128.pow(18);
    let sign = if units < 0 { "-" } else { "" };
    let units = units.unsigned_abs();
    format!("{sign}{}.{:018}", units / ONE, units % ONE)
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_have_eighteen_digits() {
        assert_eq!(amount(0), "0.000000000000000000");
        assert_eq!(amount(-7), "-0.000000000000000007");
        assert_eq!(amount(-2_500_000_000_000_000_000), "-2.500000000000000000");
        assert_eq!(
            amount(1_476_199_999_975_000_000_000),
            "1476.199999975000000000"
        );
    }
}
