//! Request bodies, bounded in size and time (compute.md §3.2): whole for the
//! node's own routes, in pieces for programs.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http_body_util::BodyExt;

use super::error::ApiError;
use crate::body::{self, BodyFault, Witness};
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

/// A body that a program takes at its own pace, of at most `bytes_max` bytes.
/// Small ones of known size are read before the program is called.
pub(super) async fn stream(
    headers: &HeaderMap,
    body: Body,
    bytes_max: Option<u64>,
    witness: &Witness,
) -> Result<body::Body, ApiError> {
    let announced = announced(headers);
    if let (Some(bytes), Some(bytes_max)) = (announced, bytes_max)
        && bytes > bytes_max
    {
        discard(body, DISCARD_BYTES_MAX as u64).await;
        return Err(refusal(&BodyFault::TooLong { bytes_max, bytes }));
    }
    let is_bodiless = announced.is_none() && !headers.contains_key(header::TRANSFER_ENCODING);
    if is_bodiless || announced == Some(0) {
        return Ok(body::Body::empty());
    }
    let pieces = body::Body::stream(paced(body), announced)
        .timed(limits::REQUEST_BODY_DEADLINE)
        .witnessed(witness.clone());
    let pieces = match bytes_max {
        Some(bytes_max) => pieces.limited(bytes_max),
        None => pieces,
    };
    if announced.is_some_and(|bytes| bytes <= limits::BODY_WHOLE_BYTES_MAX) {
        let whole = pieces.collect(limits::BODY_WHOLE_BYTES_MAX).await;
        return whole.map(body::Body::from).map_err(|fault| refusal(&fault));
    }
    Ok(pieces)
}

/// What a client sees whose request did not arrive.
pub(super) fn refusal(fault: &BodyFault) -> ApiError {
    match fault {
        BodyFault::TooLong { bytes_max, bytes } => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Maximum request body size {bytes_max} exceeded, actual body size {bytes}"),
        ),
        BodyFault::Idle { seconds } => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("nothing of the request body arrived for {seconds} seconds, or far too little"),
        ),
        BodyFault::Broken(_) => ApiError::new(StatusCode::BAD_REQUEST, format!("request: {fault}")),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The pieces of a body whose client sends neither nothing nor drops at a time.
fn paced(body: Body) -> impl Stream<Item = Result<Bytes, BodyFault>> + Send + 'static {
    let start = (body.into_data_stream(), std::time::Duration::ZERO, 0u64);
    futures::stream::unfold(start, |(mut pieces, mut waited, mut bytes)| async move {
        let asked = tokio::time::Instant::now();
        let piece = pieces.next().await?;
        waited += asked.elapsed();
        let piece = piece.map_err(|error| BodyFault::Broken(error.to_string()));
        bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let grace = limits::REQUEST_BODY_DEADLINE.as_secs();
        let allowed = grace + bytes / limits::REQUEST_BYTES_PER_SECOND_MIN;
        if waited.as_secs() > allowed {
            let late = Err(BodyFault::Idle { seconds: grace });
            return Some((late, (pieces, waited, bytes)));
        }
        Some((piece, (pieces, waited, bytes)))
    })
}

/// Reads what a client sends that would not see its answer before.
async fn discard(mut body: Body, bytes_max: u64) {
    let reading = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > bytes_max {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(limits::REQUEST_BODY_DEADLINE, reading).await;
}
