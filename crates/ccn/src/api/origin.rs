//! Requests from pages of other origins: allowed, all of them (core-api.md
//! §1.3). Browsers talk to the node directly.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::answer::ApiError;

/// Answers preflights and adds the headers that let pages read the answer.
pub async fn allow(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    if request.method() == Method::OPTIONS {
        return preflight(&request, origin);
    }
    let mut response = next.run(request).await;
    list_options(&mut response);
    if let Some(origin) = origin {
        let exposed: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
        let exposed = format!("server,date,{}", exposed.join(","));
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Ok(exposed) = HeaderValue::from_str(&exposed) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
    response
}

fn preflight(request: &Request, origin: Option<HeaderValue>) -> Response {
    let refuse = |text: &str| {
        ApiError::text(
            StatusCode::FORBIDDEN,
            format!("CORS preflight request failed: {text}"),
        )
        .into_response()
    };
    let Some(origin) = origin else {
        return refuse("origin header is not specified in the request");
    };
    let Some(method) = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD) else {
        return refuse("'Access-Control-Request-Method' header is not specified");
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let asked = asked
        .and_then(|asked| asked.to_str().ok())
        .map(str::to_ascii_uppercase);
    if let Some(Ok(asked)) = asked.map(|asked| HeaderValue::from_str(&asked)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    response
}

/// Every route answers OPTIONS.
fn list_options(response: &mut Response) {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let allowed = response
        .headers()
        .get(header::ALLOW)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut methods: Vec<&str> = allowed
        .split(',')
        .map(str::trim)
        .filter(|method| !method.is_empty())
        .collect();
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    if let Ok(value) = HeaderValue::from_str(&methods.join(",")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
}
