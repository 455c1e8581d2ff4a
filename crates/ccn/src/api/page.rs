//! The page of the node at `/` (core-api.md §10.7): its figures, as they are
//! and as they change. One file, nothing from elsewhere.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, header};
use utoipa_axum::routes;

use super::openapi::Routes;

const PAGE: &str = include_str!("page/index.html");
/// Whatever ends up in a figure, no script but ours runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub fn routes() -> Routes {
    Routes::new().with(routes!(page))
}

/// The figures of the node, for people.
#[utoipa::path(get, path = "/", operation_id = "showFigures", tag = "node",
    responses((status = 200, description = "A page.", body = String, content_type = "text/html")))]
async fn page() -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}
