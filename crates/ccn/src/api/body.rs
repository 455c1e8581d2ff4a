//! Request bodies, cut where a route's limit is (core-api.md §1.9).

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use futures::StreamExt;
use http::StatusCode;

use tokio::time::timeout;

use super::answer::ApiError;
use crate::limits::BODY_SILENCE_MAX;

/// Reads a whole body of at most `bytes_max` bytes.
pub async fn read(body: Body, bytes_max: u64) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(chunk) = timely(stream.next()).await? {
        let chunk = chunk.map_err(|_| broken())?;
        if (whole.len() + chunk.len()) as u64 > bytes_max {
            return Err(ApiError::too_large(bytes_max));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The next piece of a body, unless its sender is silent for too long.
pub async fn timely<T>(piece: impl Future<Output = T>) -> Result<T, ApiError> {
    timeout(BODY_SILENCE_MAX, piece).await.map_err(|_| {
        ApiError::text(
            StatusCode::REQUEST_TIMEOUT,
            "the request body stopped arriving; send it again",
        )
    })
}

/// The client went away or broke the transfer.
pub fn broken() -> ApiError {
    ApiError::text(StatusCode::BAD_REQUEST, "the request body ended early")
}
