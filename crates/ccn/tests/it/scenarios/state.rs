//! Questions about the state, as the recordings ask them.

use axum::body::{Body, to_bytes};
use beth_ccn::api;
use beth_protocol::decimal::Decimal;
use beth_protocol::time::Timestamp;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Scenario;

/// What this node answers; null for nothing.
pub async fn answer(node: &Scenario, step: &Value) -> Value {
    let argument = step["args"][0].as_str().unwrap_or_default();
    match kind(step) {
        "aggregate" => aggregate(node, argument).await,
        "cost rows" => costs(node, argument).await,
        "vm versions" => machines(node).await,
        other => panic!("unknown question {other}"),
    }
}

/// What the recording answers, in the form of [`answer`].
pub fn expected(step: &Value) -> Value {
    let value = step["value"].clone();
    match (kind(step), value) {
        ("cost rows", Value::Array(mut rows)) => {
            for row in &mut rows {
                for column in 3..6 {
                    let amount = Decimal::parse(row[column].as_str().unwrap()).unwrap();
                    row[column] = amount.to_cost_string().into();
                }
            }
            rows.into()
        }
        ("vm versions", Value::Array(mut rows)) => {
            rows.sort_by_key(Value::to_string);
            rows.into()
        }
        (_, value) => value,
    }
}

fn kind(step: &Value) -> &str {
    let kind = step["kind"].as_str().unwrap();
    kind.split(':').next().unwrap_or(kind)
}

async fn get(node: &Scenario, path: &str) -> Value {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = api::router(node.context.clone()).oneshot(request).await;
    let body = to_bytes(response.unwrap().into_body(), 1 << 24).await;
    serde_json::from_slice(&body.unwrap()).unwrap_or_default()
}

/// `[content, prefix of the newest element, creation, dirty]`.
async fn aggregate(node: &Scenario, key: &str) -> Value {
    let owner = node.accounts["A"]["address"].as_str().unwrap();
    let path = format!("/api/v0/aggregates/{owner}.json?keys={key}&with_info=true");
    let body = get(node, &path).await;
    let Some(content) = body["data"].get(key) else {
        return Value::Null;
    };
    let info = &body["info"][key];
    let newest = &info["last_update_item_hash"].as_str().unwrap()[..8];
    let created = Timestamp::from_iso(info["created"].as_str().unwrap()).unwrap();
    json!([content, newest, created.seconds_f64(), false])
}

/// `[type, name, payment, hold, stream, credit, prefix of the reference]`, in
/// the order of the bill.
async fn costs(node: &Scenario, item_hash: &str) -> Value {
    let hash = item_hash.to_owned();
    let found = node.context.read(move |state| state.costs_of(&hash)).await;
    let Some((payment, rows)) = found.unwrap() else {
        return json!([]);
    };
    let rows = rows.iter().map(|row| {
        let reference = row.reference.as_deref().unwrap_or_default();
        json!([
            row.cost_type,
            row.name,
            payment.as_str(),
            row.hold.to_cost_string(),
            row.stream.to_cost_string(),
            row.credit.to_cost_string(),
            reference.get(..6).unwrap_or_default(),
        ])
    });
    rows.collect()
}

/// `[prefix of the machine, prefix of its current version, its time]` of every
/// machine, sorted: versions never link (processing.md §12.2), so that each is
/// the current version of itself as long as it is in force.
async fn machines(node: &Scenario) -> Value {
    let path = "/api/v0/messages.json?msgTypes=PROGRAM,INSTANCE&pagination=200";
    let body = get(node, path).await;
    let messages = body["messages"].as_array().unwrap();
    let mut rows: Vec<Value> = messages
        .iter()
        .map(|message| {
            let prefix = &message["item_hash"].as_str().unwrap()[..6];
            json!([prefix, prefix, message["content"]["time"].as_f64()])
        })
        .collect();
    rows.sort_by_key(Value::to_string);
    rows.into()
}
