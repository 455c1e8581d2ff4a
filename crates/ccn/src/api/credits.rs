//! What credits an address got and spent (core-api.md §7.8, §7.9).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::MessageType;
use beth_protocol::decimal::Decimal;
use beth_protocol::time::Timestamp;
use beth_store::query::credits::CreditEvent;
use beth_store::query::history::{
    Direction, HistoryFilter, HistoryPlace, HistorySort, HistoryValue,
};
use beth_store::query::{Order, Window};
use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::cursor::{Cursor, Paging};
use super::openapi::{Routes, holders as schemas, params as described, refusals};
use super::params::{Bounds, END_DATE, Names, Params, START_DATE};
use crate::context::Context;

/// Rows of a page; all by default.
pub const PAGE: Bounds = Bounds::from(0, 0);
/// What orders the list.
pub const SORTS: [(&str, HistorySort); 7] = [
    ("message_timestamp", HistorySort::Time),
    ("expiration_date", HistorySort::Expiration),
    ("payment_method", HistorySort::PaymentMethod),
    ("amount", HistorySort::Amount),
    ("origin", HistorySort::Origin),
    ("tx_hash", HistorySort::TxHash),
    ("provider", HistorySort::Provider),
];
/// Credits that come or go.
pub const DIRECTIONS: [(&str, Direction); 2] = [
    ("incoming", Direction::Incoming),
    ("outgoing", Direction::Outgoing),
];
/// What the list is sorted by.
pub const SORT_BY: Names = &["sort_by", "sortBy"];
/// Types of what was paid.
pub const RESOURCE_TYPES: Names = &["resourceTypes", "resource_types"];
/// Texts that a row must have.
pub const TEXTS: [(Names, &str); 8] = [
    (&["tx_hash", "txHash"], "This transaction alone."),
    (&["token"], "This token alone."),
    (&["chain"], "This chain alone."),
    (&["provider"], "This provider alone."),
    (&["origin"], "This origin alone."),
    (&["origin_ref", "originRef"], "This `origin_ref` alone."),
    (
        &["payment_method", "paymentMethod"],
        "This payment method alone.",
    ),
    (
        &["resource"],
        "What concerns this message alone, be it in force or not.",
    ),
];
/// Payment methods that are left out.
pub const EXCLUDED: Names = &["exclude_payment_method", "excludePaymentMethod"];
/// Whether the credits may expire.
pub const HAS_EXPIRATION: Names = &["has_expiration", "hasExpiration"];

/// History and summary.
pub fn routes() -> Routes {
    Routes::new().with(routes!(history)).with(routes!(summary))
}

/// A place in a history that says which order it belongs to.
struct Marked {
    sort: HistorySort,
    order: Order,
    place: HistoryPlace,
}

impl Cursor for Marked {
    fn to_json(&self) -> Value {
        let value = match &self.place.value {
            HistoryValue::Nothing => Value::Null,
            HistoryValue::Moment(time) => time.to_iso("+00:00").into(),
            HistoryValue::Number(number) => (*number).into(),
            HistoryValue::Text(text) => text.clone().into(),
        };
        json!({
            "i": self.place.credit_index, "o": number_of(self.order), "r": self.place.credit_ref,
            "s": name_of(self.sort), "v": value,
        })
    }

    /// Without a sort it is of the older form, which knew one order only.
    fn from_json(members: &Map<String, Value>) -> Option<Marked> {
        let (sort, order, value) = match members.get("s") {
            None => (HistorySort::Time, Order::Descending, members.get("t")?),
            Some(sort) => {
                let sort = SORTS
                    .iter()
                    .find(|(name, _)| Some(*name) == sort.as_str())?;
                let order = match members.get("o")?.as_i64()? {
                    -1 => Order::Descending,
                    1 => Order::Ascending,
                    _ => return None,
                };
                (sort.1, order, members.get("v")?)
            }
        };
        let place = HistoryPlace {
            value: value_of(sort, value)?,
            credit_ref: members.get("r")?.as_str()?.to_owned(),
            credit_index: members.get("i")?.as_i64()?,
        };
        Some(Marked { sort, order, place })
    }
}

fn value_of(sort: HistorySort, value: &Value) -> Option<HistoryValue> {
    let moment = |text: &str| Timestamp::from_iso(text).map(HistoryValue::Moment);
    match (sort, value) {
        (HistorySort::Time, Value::String(text)) => moment(text),
        (HistorySort::Amount, Value::Number(number)) => number.as_i64().map(HistoryValue::Number),
        (HistorySort::Time | HistorySort::Amount, _) => None,
        (_, Value::Null) => Some(HistoryValue::Nothing),
        (HistorySort::Expiration, Value::String(text)) => moment(text),
        (_, Value::String(text)) => Some(HistoryValue::Text(text.clone())),
        _ => None,
    }
}

fn name_of(sort: HistorySort) -> &'static str {
    SORTS
        .iter()
        .find(|(_, known)| *known == sort)
        .map_or("message_timestamp", |(name, _)| name)
}

fn number_of(order: Order) -> i64 {
    match order {
        Order::Descending => -1,
        Order::Ascending => 1,
    }
}

/// Credits that came and went.
#[utoipa::path(get, path = "/api/v0/addresses/{address}/credit_history", operation_id = "listCredits",
    tag = "accounts",
    params(described::AddressPath, described::CreditFilters, described::CreditOrder, described::CreditPages),
    responses((status = 200, description = "A page.", body = schemas::CreditPage),
        refusals::NotFound, refusals::BadQuery))]
async fn history(
    State(context): State<Arc<Context>>,
    Path(address): Path<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = HistoryFilter {
        sort: params.choice(SORT_BY, &SORTS).unwrap_or_default(),
        order: params.order(),
        ..filter(&mut params)
    };
    let paging = Paging::read(&mut params, PAGE, None);
    params.finish()?;
    let (sort, order) = (filter.sort, filter.order);
    let window = unmarked(paging.window::<Marked>()?, (sort, order))?;
    let owner = address.clone();
    let page = context
        .read(move |state| state.credit_history(&owner, &filter, &window))
        .await?;
    if page.rows.is_empty() {
        return Err(ApiError::text(
            StatusCode::NOT_FOUND,
            "No credit history found for this address",
        ));
    }
    let rendering = match paging {
        Paging::Page { .. } => Rendering::Numbered,
        Paging::Cursor { .. } => Rendering::Following,
    };
    let items = page.rows.iter().map(|event| item(event, rendering));
    let next = page.next.map(|place| Marked { sort, order, place });
    let mut body = Map::new();
    body.insert("address".into(), address.into());
    body.insert("credit_history".into(), items.collect());
    body.extend(paging.members("credit_history", page.total, next.as_ref()));
    body.remove("pagination_item");
    Ok(ok(Value::Object(body)).into_response())
}

/// What the credits of an address sum up to.
#[utoipa::path(get, path = "/api/v0/addresses/{address}/credit_history/summary", operation_id = "sumCredits",
    tag = "accounts", params(described::AddressPath, described::CreditFilters),
    responses((status = 200, description = "The sums.", body = schemas::CreditSummary), refusals::BadQuery))]
async fn summary(
    State(context): State<Arc<Context>>,
    Path(address): Path<String>,
    mut params: Params,
) -> Result<Response, ApiError> {
    let filter = filter(&mut params);
    params.finish()?;
    let owner = address.clone();
    let sums = context
        .read(move |state| state.credit_summary(&owner, &filter))
        .await?;
    Ok(ok(json!({
        "address": address,
        "entry_count": sums.entries,
        "total_amount": sums.incoming.saturating_add(sums.outgoing),
        "total_incoming": sums.incoming,
        "total_outgoing": sums.outgoing,
    }))
    .into_response())
}

/// Everything but the order.
fn filter(params: &mut Params) -> HistoryFilter {
    let types = MessageType::ALL.map(|kind| (kind.as_str(), kind));
    let [
        tx_hash,
        token,
        chain,
        provider,
        origin,
        origin_ref,
        payment_method,
        resource,
    ] = TEXTS.map(|(names, _)| params.text(names).map(str::to_owned));
    let (start, end) = (params.moment(START_DATE), params.moment(END_DATE));
    if end.is_some() && end < start {
        params.refuse("end date cannot be lower than start date.");
    }
    HistoryFilter {
        tx_hash,
        token,
        chain,
        provider,
        origin,
        origin_ref,
        payment_method,
        excluded_payment_methods: params.list(EXCLUDED),
        has_expiration: params.given_flag(HAS_EXPIRATION),
        start,
        end,
        direction: params.choice(&["direction"], &DIRECTIONS),
        resource_types: params.choices(RESOURCE_TYPES, &types),
        resource,
        ..HistoryFilter::default()
    }
}

/// The window without its marks, which must be those of the request.
fn unmarked(
    window: Window<Marked>,
    (sort, order): (HistorySort, Order),
) -> Result<Window<HistoryPlace>, ApiError> {
    let mismatch = |text: String| ApiError::text(StatusCode::UNPROCESSABLE_ENTITY, text);
    Ok(match window {
        Window::Page { number, size } => Window::Page { number, size },
        Window::After { key: None, size } => Window::After { key: None, size },
        Window::After {
            key: Some(marked),
            size,
        } => {
            if marked.sort != sort {
                return Err(mismatch(format!(
                    "Cursor sort field mismatch: cursor was created with sort_by={}, but request has sort_by={}",
                    name_of(marked.sort),
                    name_of(sort),
                )));
            }
            if marked.order != order {
                return Err(mismatch(format!(
                    "Cursor sort order mismatch: cursor was created with sort_order={}, but request has sort_order={}",
                    number_of(marked.order),
                    number_of(order),
                )));
            }
            Window::After {
                key: Some(marked.place),
                size,
            }
        }
    })
}

/// Pages by number and by cursor write times and prices differently.
#[derive(Clone, Copy)]
enum Rendering {
    Numbered,
    Following,
}

fn item(event: &CreditEvent, rendering: Rendering) -> Value {
    let record = &event.record;
    let time = |time: Timestamp| match rendering {
        Rendering::Numbered => time.to_iso("Z").into(),
        Rendering::Following => time.to_json(),
    };
    let price: fn(&Decimal) -> Value = match rendering {
        Rendering::Numbered => |price| price.to_string().into(),
        Rendering::Following => |price| price.to_f64().into(),
    };
    json!({
        "amount": record.amount,
        "price": record.price.as_ref().map(price),
        "bonus_amount": record.bonus_amount,
        "tx_hash": record.tx_hash,
        "token": record.token,
        "chain": record.chain,
        "provider": record.provider,
        "origin": record.origin,
        "origin_ref": record.origin_ref,
        "payment_method": record.payment_method,
        "credit_ref": event.credit_ref,
        "credit_index": record.index,
        "expiration_date": record.expiration.map(time),
        "message_timestamp": time(event.time),
        "expense_count": record.expense_count,
        "expense_size_mib": record.expense_size_mib.as_ref().map(ToString::to_string),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::cursor::{decode, encode};
    use super::*;

    #[test]
    fn cursors_come_back_in_every_order() {
        let values = [
            (
                HistorySort::Time,
                HistoryValue::Moment(Timestamp::from_seconds(7)),
            ),
            (HistorySort::Expiration, HistoryValue::Nothing),
            (
                HistorySort::Expiration,
                HistoryValue::Moment(Timestamp::from_seconds(8)),
            ),
            (HistorySort::Amount, HistoryValue::Number(-12_345)),
            (HistorySort::Provider, HistoryValue::Text("ALEPH".into())),
        ];
        for (sort, value) in values {
            let place = HistoryPlace {
                value,
                credit_ref: "abc".into(),
                credit_index: 3,
            };
            let order = Order::Ascending;
            let written = encode(&Marked {
                sort,
                order,
                place: place.clone(),
            });
            let read: Marked = decode(&written).unwrap();
            assert_eq!((read.sort, read.order, read.place), (sort, order, place));
        }
    }

    #[test]
    fn the_older_cursor_is_read() {
        let members = json!({"i": 0, "r": "abc", "t": "2026-11-01T00:02:20+00:00"});
        let read = Marked::from_json(members.as_object().unwrap()).unwrap();
        assert_eq!(
            (read.sort, read.order),
            (HistorySort::Time, Order::Descending)
        );
        let wrong = json!({"i": 0, "r": "abc", "s": "amount", "o": 1, "v": "text"});
        assert!(Marked::from_json(wrong.as_object().unwrap()).is_none());
    }
}
