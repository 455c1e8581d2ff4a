//! `GET …/logs`: what a machine printed, as JSON (compute.md §7.2).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use beth_protocol::ItemHash;
use bytes::Bytes;
use futures::stream;
use serde_json::json;

use super::super::error::ApiError;
use super::super::{Api, json};
use super::{allowed, parse, python_time};
use crate::operator::Operator;
use crate::workloads::LogLine;

/// Lines of one piece of the body.
const PIECE_LINES: usize = 200;

/// The handler.
pub(super) async fn past(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Extension(operator): Extension<Operator>,
) -> Result<Response, ApiError> {
    let item_hash = parse(&reference)?;
    let none = || ApiError::new(StatusCode::NOT_FOUND, "No execution found for this VM");
    let (known, workloads) = api.machines.find(&item_hash).await.ok_or_else(none)?;
    allowed(&api, &operator, &known.owner).await?;
    let lines = workloads.logs(&item_hash).await.unwrap_or_default();
    let mut response = Response::new(Body::from_stream(pieces(item_hash, lines)));
    let content_type = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

/// The array, in pieces.
fn pieces(
    item_hash: ItemHash,
    lines: Vec<LogLine>,
) -> impl stream::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let mut text = vec![String::from("[")];
    for (index, lines) in lines.chunks(PIECE_LINES).enumerate() {
        let entries: Vec<String> = lines.iter().map(|line| entry(&item_hash, line)).collect();
        let comma = if index == 0 { "" } else { ",\n" };
        text.push(format!("{comma}{}", entries.join(",\n")));
    }
    text.push("]".into());
    stream::iter(text.into_iter().map(|piece| Ok(Bytes::from(piece))))
}

fn entry(item_hash: &ItemHash, line: &LogLine) -> String {
    let file = if line.is_error { "stderr" } else { "stdout" };
    json::text(&json!({
        "SYSLOG_IDENTIFIER": format!("vm-{item_hash}-{file}"),
        "MESSAGE": line.text,
        "file": file,
        "__REALTIME_TIMESTAMP": python_time(line.time, ""),
    }))
}
