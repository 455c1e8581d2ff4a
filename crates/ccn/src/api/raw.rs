//! Downloads (core-api.md §9.7): bytes from the disk to the client, a piece at a
//! time.
//!
//! ```text
//!  raw/<hash>            file       whole, or the ranges asked for
//!                        directory  a tape archive, made while it is sent
//!  raw/<hash>/<path>     what the path leads to in a directory
//! ```
//!
//! A content never changes, so its name is its ETag and caches may keep it for
//! ever. It is never compressed: clients rely on its length. Better than what
//! was recorded: ranges, ETag and paths.

pub(super) mod range;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::Response;
use beth_protocol::hash::classify_loosely;
use beth_store::blobs::{Content, Extent, Pieces, Shape};
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use utoipa_axum::routes;

use super::answer::ApiError;
use super::openapi::{Routes, params as described, refusals, storage as schemas};
use super::storage::{blocking, known};
use crate::context::Context;
use range::{Asked, Range};

const BYTES: &str = "application/octet-stream";
const TAR: &str = "application/x-tar";
const CACHE: HeaderValue =
    HeaderValue::from_static("public, max-age=31536000, immutable, no-transform");

/// Routes that send contents.
pub fn routes() -> Routes {
    Routes::new().with(routes!(raw)).with(routes!(raw_below))
}

/// What is sent: its name (the ETag), how much it is, and the bytes, unless
/// nobody needs them.
struct Download {
    name: String,
    extent: Extent,
    content: Option<Content>,
}

/// The bytes of a file, all of them or ranges; or a directory as a tape archive.
///
/// A HEAD is answered without touching them.
#[utoipa::path(
    get,
    path = "/api/v0/storage/raw/{file_hash}",
    operation_id = "fetchFile",
    tag = "storage",
    params(described::FilePath),
    responses(schemas::Contents, refusals::BadHash, refusals::NotFound)
)]
async fn raw(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let extent = expect_known(&context, &hash).await?;
    let mut download = Download {
        name: hash,
        extent,
        content: None,
    };
    if method == Method::HEAD || is_seen(&request, &download.name) {
        return Ok(download.head(&request));
    }
    let (blobs, name) = (context.blobs.clone(), download.name.clone());
    let content = blocking(move || blobs.content(&name)).await?;
    let content = content.ok_or_else(not_found)?;
    download.extent = content.extent();
    download.content = Some(content);
    download.answer(&request)
}

/// The bytes of what is in a directory.
///
/// The path may have several segments.
#[utoipa::path(
    get,
    path = "/api/v0/storage/raw/{file_hash}/{path}",
    operation_id = "fetchFileOfDirectory",
    tag = "storage",
    params(described::FilePath, described::StepsPath),
    responses(schemas::Contents, refusals::BadHash, refusals::NotFound)
)]
async fn raw_below(
    State(context): State<Arc<Context>>,
    Path((hash, path)): Path<(String, String)>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    expect_known(&context, &hash).await?;
    let name = format!("{hash}/{path}");
    let blobs = context.blobs.clone();
    let found = blocking(move || {
        let path = path.strip_suffix('/').unwrap_or(&path);
        let steps: Vec<&str> = path.split('/').collect();
        match blobs.content(&hash)? {
            Some(content) => content.at(&steps),
            None => Ok(None),
        }
    });
    let content = found.await?.ok_or_else(not_found)?;
    let download = Download {
        name,
        extent: content.extent(),
        content: Some(content),
    };
    if method == Method::HEAD || is_seen(&request, &download.name) {
        return Ok(download.head(&request));
    }
    download.answer(&request)
}

/// How much a content is, by its row.
async fn expect_known(context: &Context, hash: &str) -> Result<Extent, ApiError> {
    let invalid = || ApiError::text(StatusCode::BAD_REQUEST, "Invalid hash");
    classify_loosely(hash).ok_or_else(invalid)?;
    let file = known(context, hash).await?.ok_or_else(not_found)?;
    Ok(Extent {
        size_bytes: file.size_bytes,
        shape: if file.kind == Shape::Directory.as_str() {
            Shape::Directory
        } else {
            Shape::File
        },
    })
}

fn not_found() -> ApiError {
    ApiError::text(StatusCode::NOT_FOUND, "Not found")
}

/// As a header has it: characters that could end it are left out.
fn tag(name: &str) -> String {
    let plain = |c: &char| c.is_ascii_graphic() && *c != '"';
    format!("\"{}\"", name.chars().filter(plain).collect::<String>())
}

/// True when the client has it already.
fn is_seen(request: &HeaderMap, name: &str) -> bool {
    is_tagged(request, &tag(name))
}

/// True when the client has what this ETag stands for.
pub fn is_tagged(request: &HeaderMap, tag: &str) -> bool {
    let seen = request.get_all(header::IF_NONE_MATCH).iter();
    seen.filter_map(|value| value.to_str().ok()).any(|seen| {
        let mut known = seen.split(',').map(str::trim);
        known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    })
}

impl Download {
    /// An answer without bytes: 304, or what a GET would be preceded by.
    fn head(&self, request: &HeaderMap) -> Response {
        // Not an empty body: that has a length, and the length is another.
        let nothing = Body::from_stream(stream::empty::<Result<Bytes, Never>>());
        if is_seen(request, &self.name) {
            return self.with_headers(StatusCode::NOT_MODIFIED, nothing);
        }
        let mut response = self.with_headers(StatusCode::OK, nothing);
        if !self.extent.is_directory() {
            let length = self.extent.size_bytes;
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
        }
        response
    }

    fn answer(&self, request: &HeaderMap) -> Result<Response, ApiError> {
        let content = self.content.as_ref().ok_or_else(not_found)?;
        // A path is not part of the name of what it leads to.
        let top = self.name.rsplit('/').find(|step| !step.is_empty());
        if let Some(tar) = content.tar(top.unwrap_or(&self.name)) {
            return Ok(self.with_headers(StatusCode::OK, body_of(tar)));
        }
        let size = self.extent.size_bytes;
        Ok(match range::asked(request, &tag(&self.name), size) {
            Asked::Whole => self.part(
                StatusCode::OK,
                content,
                Range {
                    first: 0,
                    end: size,
                },
            ),
            Asked::Nothing => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let mut response = self.with_headers(status, Body::empty());
                put(
                    &mut response,
                    header::CONTENT_RANGE,
                    &format!("bytes */{size}"),
                );
                response
            }
            Asked::One(range) => {
                let mut response = self.part(StatusCode::PARTIAL_CONTENT, content, range);
                put(&mut response, header::CONTENT_RANGE, &range.of(size));
                response
            }
            Asked::Several(ranges) => {
                let (pieces, length) = range::multipart(content, &ranges, BYTES);
                let status = StatusCode::PARTIAL_CONTENT;
                let mut response = self.with_headers(status, body_of(pieces));
                put(&mut response, header::CONTENT_TYPE, range::MULTIPART);
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_LENGTH, length.into());
                response
            }
        })
    }

    fn part(&self, status: StatusCode, content: &Content, range: Range) -> Response {
        let length = range.end - range.first;
        let mut response = self.with_headers(status, body_of(content.pieces(range.first, length)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length.into());
        response
    }

    fn with_headers(&self, status: StatusCode, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let (content_type, ranges) = if self.extent.is_directory() {
            (TAR, "none")
        } else {
            (BYTES, "bytes")
        };
        put(&mut response, header::CONTENT_TYPE, content_type);
        put(&mut response, header::ACCEPT_RANGES, ranges);
        put(&mut response, header::ETAG, &tag(&self.name));
        if status != StatusCode::RANGE_NOT_SATISFIABLE {
            response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
        }
        response
    }
}

/// A stream that cannot fail needs an error type all the same.
type Never = std::convert::Infallible;

/// Sets a header; a text that no header can have is left out.
pub fn put(response: &mut Response, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

/// A body whose pieces are read, away from the threads that serve, when the
/// client has taken those before.
pub fn body_of(pieces: Pieces) -> Body {
    Body::from_stream(stream::try_unfold(pieces, |mut pieces| async move {
        let read = tokio::task::spawn_blocking(move || {
            let next = pieces.next();
            (next, pieces)
        });
        let (next, pieces) = read.await.map_err(std::io::Error::other)?;
        match next {
            Some(Ok(piece)) => Ok(Some((Bytes::from(piece), pieces))),
            None => Ok(None),
            Some(Err(failure)) => {
                tracing::warn!(%failure, "a content could not be sent to its end");
                Err(std::io::Error::other(failure))
            }
        }
    }))
}
