//! Faults of request bodies in the form of upstream's validation library
//! (compute.md §3.5).

use axum::http::StatusCode;
use axum::response::Response;
use beth_protocol::ItemHash;
use serde_json::{Value, json};

use super::json;

fn url(kind: &str) -> String {
    format!("https://errors.pydantic.dev/2.14/v/{kind}")
}

/// A member that is not there.
pub(super) fn missing(name: &str, input: &Value) -> Value {
    json!({"type": "missing", "loc": [name], "msg": "Field required", "input": input, "url": url("missing")})
}

/// A member whose value is refused, and why.
pub(super) fn value_error(name: &str, why: &str, input: &Value) -> Value {
    json!({
        "type": "value_error", "loc": [name], "msg": format!("Value error, {why}"), "input": input,
        "ctx": {"error": why}, "url": url("value_error"),
    })
}

/// A member of another type than text.
pub(super) fn not_text(name: &str, input: &Value) -> Value {
    json!({
        "type": "string_type", "loc": [name], "msg": "Input should be a valid string", "input": input,
        "url": url("string_type"),
    })
}

/// The item hash in a member.
pub(super) fn item_hash(body: &Value, name: &str) -> Result<ItemHash, Value> {
    let value = body.get(name).ok_or_else(|| missing(name, body))?;
    let text = value.as_str().ok_or_else(|| not_text(name, value))?;
    ItemHash::parse(text).map_err(|error| value_error(name, &error.to_string(), value))
}

/// 400 with the faults as a text in JSON.
pub(super) fn response(faults: &[Value]) -> Response {
    let text = Value::from(faults.to_vec()).to_string();
    json::response(StatusCode::BAD_REQUEST, &text)
}
