//! Calling programs, by path and by host name (compute.md §10).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use beth_protocol::ItemHash;

use super::error::ApiError;
use super::{Api, answer, body, error, host, host_of, socket};
use crate::body::Witness;
use crate::executor::{Call, EVENT_HEADER};

/// `/vm/{ref}{suffix}`, any method.
pub(super) async fn by_path(State(api): State<Arc<Api>>, request: Request) -> Response {
    let path = request.uri().path();
    let rest = path.strip_prefix("/vm/").unwrap_or_default();
    let (reference, suffix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Ok(item_hash) = ItemHash::parse(reference) else {
        let text = format!("Invalid message reference: {reference}");
        return ApiError::new(StatusCode::BAD_REQUEST, text).into_response();
    };
    let path = if suffix.is_empty() {
        "/".to_owned()
    } else {
        decode_path(suffix)
    };
    run(&api, &item_hash, path, request).await
}

/// Any path that no other route claims, on any host name.
pub(super) async fn by_host(State(api): State<Arc<Api>>, request: Request) -> Response {
    let name = host_of(&request);
    if let Some(item_hash) = host::item_hash_of_host(name) {
        let path = decode_path(request.uri().path());
        return run(&api, &item_hash, path, request).await;
    }
    let is_own_name = host::is_own_name(name, &api.config.domain_name);
    if is_own_name && request.method() == Method::GET && request.uri().path() == "/" {
        return Html(landing_page(&api)).into_response();
    }
    ApiError::numbered(StatusCode::NOT_FOUND, "Invalid message reference").into_response()
}

/// Routes that upstream does not have must not hide a program's own paths.
pub(super) async fn program_hosts_first(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    if host::item_hash_of_host(host_of(&request)).is_some() {
        return by_host(State(api), request).await;
    }
    next.run(request).await
}

async fn run(api: &Api, item_hash: &ItemHash, path: String, request: Request) -> Response {
    if api.is_draining() {
        let text = "Server is draining, try another node";
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    let (parts, body) = request.into_parts();
    let witness = Witness::default();
    let limit = api.config.program_body_limit();
    let body = match body::stream(&parts.headers, body, limit, &witness).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let is_head = parts.method == Method::HEAD;
    let headers = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != EVENT_HEADER)
        .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
    let call = Call {
        method: parts.method.as_str().to_owned(),
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body,
    };
    if socket::is_asked(&parts) {
        return socket::connect(api, item_hash, parts, call).await;
    }
    match api.pool.call(item_hash, call).await {
        Ok(answered) => answer::response(item_hash, answered, is_head, limit),
        // A program that fails for want of its request's body is not to blame.
        Err(fault) => match witness.fault() {
            Some(fault) => body::refusal(&fault).into_response(),
            None => error::of_call(&fault),
        },
    }
}

/// Percent-decoded; as received where that gives no text.
pub(super) fn decode_path(path: &str) -> String {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = (*first == b'%').then(|| tail.first_chunk::<2>()).flatten();
        let byte = pair.and_then(|pair| {
            let mut byte = [0];
            const_hex::decode_to_slice(pair, &mut byte)
                .ok()
                .map(|()| byte[0])
        });
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| path.to_owned())
}

fn landing_page(api: &Api) -> String {
    let programs = api.pool.len();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Aleph.im compute node</title></head>\
         <body><h1>Aleph.im compute node</h1><p>This node runs programs of the Aleph.im network: call one at \
         <code>/vm/&lt;item hash&gt;/</code>.</p><ul><li><a href=\"/beth/v1/programs\">{programs} programs known</a></li>\
         <li><a href=\"/about/usage/system\">usage</a></li><li><a href=\"/status/config\">configuration</a></li></ul>\
         <p>{}</p></body></html>\n",
        super::VERSION
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded() {
        for (path, decoded) in [
            ("/hello%20w/x", "/hello w/x"),
            ("/%C3%A9", "/é"),
            ("/%2e%2E/%2f", "/..//"),
            ("/%ff", "/%ff"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            ("/a+b", "/a+b"),
        ] {
            assert_eq!(decode_path(path), decoded);
        }
    }
}
