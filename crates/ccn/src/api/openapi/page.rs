//! The document and the page that shows it, `/api/docs/` (core-api.md §10.7).
//!
//! The page is Swagger UI, carried in the binary: nothing is loaded from
//! elsewhere, and its requests go to the node that served it.

use std::io::Read;
use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use utoipa_axum::routes;

use super::Routes;
use crate::api::answer::ApiError;

const PAGE: &str = include_str!("page.html");
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));
const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));

/// The document as it is served, written once.
static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(crate::api::document().to_string()));

/// Everything under `/api/docs`.
pub fn serve() -> Routes {
    Routes::new()
        .with(routes!(to_page))
        .with(routes!(page))
        .with(routes!(document))
        .also("/api/docs/swagger.json", routes!(document))
        .with(routes!(style))
        .with(routes!(script))
}

/// Where the page is.
#[utoipa::path(get, path = "/api/docs", operation_id = "findPage", tag = "node",
    responses((status = 301, description = "To `/api/docs/`.")))]
async fn to_page() -> Response {
    let location = [(header::LOCATION, "/api/docs/")];
    (StatusCode::MOVED_PERMANENTLY, location).into_response()
}

/// This document as a page, from which requests can be tried.
#[utoipa::path(get, path = "/api/docs/", operation_id = "showPage", tag = "node",
    responses((status = 200, description = "A page.", body = String, content_type = "text/html")))]
async fn page() -> Response {
    axum::response::Html(PAGE).into_response()
}

/// This document.
#[utoipa::path(get, path = "/api/docs/openapi.json", operation_id = "showDocument", tag = "node",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
async fn document() -> Response {
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], DOCUMENT.clone()).into_response()
}

/// How the page looks.
#[utoipa::path(get, path = "/api/docs/swagger-ui.css", operation_id = "showStyle", tag = "node",
    responses((status = 200, description = "A style sheet.", body = String, content_type = "text/css")))]
async fn style(request: HeaderMap) -> Result<Response, ApiError> {
    part(&request, STYLE, "text/css; charset=utf-8")
}

/// What the page does.
#[utoipa::path(get, path = "/api/docs/swagger-ui-bundle.js", operation_id = "showScript", tag = "node",
    responses((status = 200, description = "A script.", body = String, content_type = "text/javascript")))]
async fn script(request: HeaderMap) -> Result<Response, ApiError> {
    part(&request, SCRIPT, "text/javascript; charset=utf-8")
}

/// A compressed part, for those who cannot read it so: unpacked.
fn part(request: &HeaderMap, packed: &'static [u8], kind: &str) -> Result<Response, ApiError> {
    let accepted = request
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("gzip"));
    let kind = HeaderValue::from_str(kind).map_err(|_| ApiError::internal())?;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=86400"),
        ),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if accepted {
        let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return Ok((headers, encoding, Bytes::from_static(packed)).into_response());
    }
    let mut bytes = Vec::new();
    GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .map_err(|_| ApiError::internal())?;
    Ok((headers, Bytes::from(bytes)).into_response())
}
