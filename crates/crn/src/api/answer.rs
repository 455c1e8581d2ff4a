//! From a program's answer to a response (compute.md §10.2, point 5).
//!
//! Differences to upstream, both repairs: an answer of status 404 passes
//! unchanged, and `content-encoding` stays, since the body does.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use beth_protocol::ItemHash;
use hyper::ext::ReasonPhrase;

use crate::pool::Answered;

const ITEM_HASH: HeaderName = HeaderName::from_static("aleph-program-itemhash");
const CODE_REF: HeaderName = HeaderName::from_static("aleph-program-code-ref");

/// The response to one call.
pub(super) fn response(item_hash: &ItemHash, answered: Answered, is_head: bool) -> Response {
    let answer = answered.answer;
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| status.as_u16() >= 200);
    let Some(status) = status else { return invalid() };
    let size_bytes = answer.body.len();
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in &answer.headers {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
            return invalid();
        };
        if name != header::TRANSFER_ENCODING {
            headers.append(name, value);
        }
    }
    // A length that is not the body's would garble the connection; only HEAD may announce another.
    if !(is_head && headers.contains_key(header::CONTENT_LENGTH)) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size_bytes));
    }
    for (name, value) in [(ITEM_HASH, item_hash), (CODE_REF, &answered.code_ref)] {
        if let Ok(value) = HeaderValue::from_str(value.as_str()) {
            headers.insert(name, value);
        }
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    response
}

/// The program's answer cannot be passed on.
fn invalid() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.extensions_mut().insert(ReasonPhrase::from_static(b"Invalid response from VM"));
    response
}
