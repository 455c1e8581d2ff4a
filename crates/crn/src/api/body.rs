//! Request bodies: whole, bounded in size and time (compute.md §3.2).

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::error::ApiError;
use crate::limits;

/// How much of a body that is too large is read before the connection ends; a
/// client that still sends would not see the answer.
const DISCARD_BYTES_MAX: usize = 16 * limits::REQUEST_BODY_BYTES_MAX;

/// Reads a body to its end.
pub(super) async fn read(body: Body) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(limits::REQUEST_BODY_DEADLINE, read_all(body)).await;
    read.unwrap_or_else(|_| {
        let seconds = limits::REQUEST_BODY_DEADLINE.as_secs();
        let text = format!("the request body did not arrive within {seconds} seconds");
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, text))
    })
}

async fn read_all(mut body: Body) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                format!("the request body broke off: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        size += data.len();
        if size <= limits::REQUEST_BODY_BYTES_MAX {
            bytes.extend_from_slice(&data);
        } else if size > DISCARD_BYTES_MAX {
            break;
        }
    }
    if size > limits::REQUEST_BODY_BYTES_MAX {
        let limit = limits::REQUEST_BODY_BYTES_MAX;
        let text = format!("Maximum request body size {limit} exceeded, actual body size {size}");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(bytes.freeze())
}
