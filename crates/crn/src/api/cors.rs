//! Cross-origin reading of the public routes (compute.md §3.6).

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Lets any origin read the response.
pub(super) async fn allow_all(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    if let Some(origin) = origin {
        allow(response.headers_mut(), origin);
    }
    response
}

/// Answers a preflight request: what was asked for is allowed.
pub(super) async fn preflight(request: Request) -> Response {
    let asked = request.headers();
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    let echo = |headers: &mut HeaderMap, from: HeaderName, to: HeaderName| {
        if let Some(value) = asked.get(from) {
            headers.insert(to, value.clone());
        }
    };
    echo(
        headers,
        header::ACCESS_CONTROL_REQUEST_METHOD,
        header::ACCESS_CONTROL_ALLOW_METHODS,
    );
    echo(
        headers,
        header::ACCESS_CONTROL_REQUEST_HEADERS,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
    );
    response
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    let exposed = HeaderValue::from_static("Content-Length,Date,Server");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}
