//! Request bodies, cut where a route's limit is (core-api.md §1.9).

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use futures::StreamExt;
use http::StatusCode;

use super::answer::ApiError;

/// Reads a whole body of at most `bytes_max` bytes.
pub async fn read(body: Body, bytes_max: u64) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| broken())?;
        if (whole.len() + chunk.len()) as u64 > bytes_max {
            return Err(ApiError::too_large(bytes_max));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The client went away or broke the transfer.
pub fn broken() -> ApiError {
    ApiError::text(StatusCode::BAD_REQUEST, "the request body ended early")
}
