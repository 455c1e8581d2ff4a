//! Requests from pages of other origins: allowed, all of them (core-api.md
//! §1.3). Browsers talk to the node directly.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::answer::ApiError;
use super::edge::Route;

/// Answers preflights and adds the headers that let pages read the answer.
/// Unknown paths are told without them.
pub async fn allow(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    if request.method() == Method::OPTIONS {
        let asked = Asked::of(&request, origin);
        // No route answers OPTIONS, so the router tells what this one answers.
        return preflight(asked, next.run(request).await);
    }
    let mut response = next.run(request).await;
    list_options(&mut response);
    let is_known = response.extensions().get::<Unknown>().is_none();
    if is_known {
        // Kept by a cache, the answer to one origin is none to another.
        let vary = HeaderValue::from_static("origin");
        response.headers_mut().append(header::VARY, vary);
    }
    if let Some(origin) = origin.filter(|_| is_known) {
        let exposed: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
        // Those that are added further out.
        let exposed = format!("server,date,x-request-id,{}", exposed.join(","));
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Ok(exposed) = HeaderValue::from_str(&exposed) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
    response
}

/// An extension of the answer to a path that no route has.
#[derive(Clone, Copy, Debug)]
pub struct Unknown;

/// What a preflight asks.
struct Asked {
    origin: Option<HeaderValue>,
    method: Option<HeaderValue>,
    headers: Option<HeaderValue>,
}

impl Asked {
    fn of(request: &Request, origin: Option<HeaderValue>) -> Asked {
        let headers = request.headers();
        Asked {
            origin,
            method: headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned(),
            headers: headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        }
    }
}

/// Answers a preflight, given what the router said to it.
fn preflight(asked: Asked, routed: Response) -> Response {
    if routed.status() != StatusCode::METHOD_NOT_ALLOWED {
        return routed;
    }
    let refuse = |text: &str| {
        ApiError::text(
            StatusCode::FORBIDDEN,
            format!("CORS preflight request failed: {text}"),
        )
        .into_response()
    };
    let Some(origin) = asked.origin else {
        return refuse("origin header is not specified in the request");
    };
    let Some(method) = asked.method else {
        return refuse("'Access-Control-Request-Method' header is not specified");
    };
    let wanted = method.to_str().unwrap_or_default();
    if !methods_of(&routed).contains(&wanted) {
        let origin = origin.to_str().unwrap_or_default();
        return refuse(&format!(
            "request method '{wanted}' is not allowed for '{origin}' origin"
        ));
    }
    let names = asked.headers.as_ref().and_then(|names| names.to_str().ok());
    let names = names.map(|names| HeaderValue::from_str(&names.to_ascii_uppercase()));
    let mut response = Response::new(Body::empty());
    if let Some(route) = routed.extensions().get::<Route>() {
        response.extensions_mut().insert(route.clone());
    }
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
    if let Some(Ok(names)) = names {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    response
}

/// What a refused method could have been.
fn methods_of(response: &Response) -> Vec<&str> {
    let allowed = response.headers().get(header::ALLOW);
    let allowed = allowed.and_then(|value| value.to_str().ok());
    let methods = allowed.unwrap_or_default().split(',').map(str::trim);
    methods.filter(|method| !method.is_empty()).collect()
}

/// Every route answers OPTIONS.
fn list_options(response: &mut Response) {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let mut methods = methods_of(response);
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    if let Ok(value) = HeaderValue::from_str(&methods.join(",")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
}
