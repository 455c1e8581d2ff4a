//! The path gateway of IPFS: contents by CID, for browsers and for clients that
//! check what they get (the path and the trustless gateway specification).
//!
//! ```text
//!  /ipfs/<cid>/<path> ─▶ target ─▶ resolve ─┬─ file        its bytes, ranges
//!     what is asked for  address.rs         ├─ directory   index.html, or a list (listing.rs)
//!                                           ├─ raw         one block
//!                                           └─ car         every block below
//! ```
//!
//! Only what this node keeps is served; with `[ccn.ipfs] gateway_fetch`, what its
//! neighbours have as well. Names in the path are those of a graph: no path leads
//! out of it, and none leads to a file of the disk.
//!
//! Pages of strangers come from the origin of the API here. So every answer is
//! put into a sandbox by its policy: scripts run, in an origin of their own that
//! nobody else has, and see of the API what any web page sees. Service workers,
//! which would stay for other pages, are refused.

mod address;
mod listing;
mod media;
mod send;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_store::Error;
use beth_store::blobs::{Content, Resolved};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::timeout;
use utoipa_axum::routes;

use super::answer::ApiError;
use super::openapi::{Routes, gateway as schemas, params as described};
use super::params::Params;
use super::storage::blocking;
use crate::context::Context;
use crate::fetch::{GraphError, Reach};
use crate::limits::GATEWAY_FETCH_TIMEOUT;
use address::{Form, Target};
use send::Sending;

pub use address::{DOWNLOAD, FILENAME, FORMAT, FORMATS, SCOPE, SCOPES};

/// What a directory shows when it has it.
const INDEX: &str = "index.html";

/// The routes of the gateway.
pub fn routes() -> Routes {
    let with_slash = axum::Router::new().route("/ipfs/{cid}/", axum::routing::get(root));
    Routes::new()
        .with(routes!(root))
        .with(routes!(below))
        .merge_undocumented(with_slash)
}

/// A request, as far as it matters here.
struct Asking {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// A content of IPFS by its CID: a file, a directory, a block, or an archive.
///
/// A directory shows its `index.html`, or the list of its names. `Accept:
/// application/vnd.ipld.raw` and `application/vnd.ipld.car` ask for blocks.
#[utoipa::path(
    get,
    path = "/ipfs/{cid}",
    operation_id = "openContent",
    tag = "storage",
    params(described::CidPath, described::GatewayView),
    responses(schemas::Served)
)]
async fn root(
    State(context): State<Arc<Context>>,
    Path(cid): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let asking = Asking {
        method,
        uri,
        headers,
    };
    answer(&context, asking, (&cid, ""), &params).await
}

/// What a path leads to below a directory of IPFS.
///
/// The path may have several segments.
#[utoipa::path(
    get,
    path = "/ipfs/{cid}/{path}",
    operation_id = "openContentOfDirectory",
    tag = "storage",
    params(described::CidPath, described::StepsPath, described::GatewayView),
    responses(schemas::Served)
)]
async fn below(
    State(context): State<Arc<Context>>,
    Path((cid, path)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let asking = Asking {
        method,
        uri,
        headers,
    };
    answer(&context, asking, (&cid, &path), &params).await
}

async fn answer(
    context: &Arc<Context>,
    asking: Asking,
    (cid, path): (&str, &str),
    params: &Params,
) -> Result<Response, ApiError> {
    let target = Target::read((cid, path), params, &asking.headers)?;
    if asking.headers.contains_key("service-worker") {
        let text =
            "a service worker would stay for other pages of this node: open the page without one";
        return Err(ApiError::text(StatusCode::BAD_REQUEST, text));
    }
    let mut found = resolve(context, &target).await?;
    if found.is_none() && context.config.ipfs.gateway_fetch && !is_probe(&asking.headers) {
        fetch(context, &target).await?;
        found = resolve(context, &target).await?;
    }
    let resolved = found.ok_or_else(|| absent(&asking.headers))?;
    let sending = Sending::new(asking, target, &resolved);
    match sending.target.form {
        Form::Block => block(context, sending, resolved).await,
        Form::Car => sending.car(context, &resolved),
        Form::Deserialized if resolved.content.extent().is_directory() => {
            directory(context, sending, resolved).await
        }
        Form::Deserialized => file(sending, resolved.content).await,
    }
}

/// What a target is; `None` when it is not here.
async fn resolve(context: &Arc<Context>, target: &Target) -> Result<Option<Resolved>, ApiError> {
    let (blobs, root, path) = (
        context.blobs.clone(),
        target.root.clone(),
        target.path.clone(),
    );
    blocking(move || {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        match blobs.resolve(&root, &steps) {
            // A graph that nobody sent as a whole: a part of it is here.
            Err(Error::Missing(_)) => Ok(None),
            other => other,
        }
    })
    .await
}

/// Makes this node have a content, for as long as an upload without a message is
/// kept. Peers alone are asked: core nodes that asked each other would go round.
async fn fetch(context: &Arc<Context>, target: &Target) -> Result<(), ApiError> {
    let Some(root) = target.root.cid(target.version) else {
        return Ok(());
    };
    let busy = || {
        let text = "the gateway of this node fetches other contents just now: try again in 10 s";
        ApiError::text(StatusCode::SERVICE_UNAVAILABLE, text).after(10)
    };
    let _turn = context.gateway_fetches.try_acquire().map_err(|_| busy())?;
    let bytes_max = context.config.ipfs.gateway_fetch_bytes_max;
    let obtained = context.graphs.obtain((root, bytes_max), Reach::Peers);
    let (status, text) = match timeout(GATEWAY_FETCH_TIMEOUT, obtained).await {
        Ok(Ok(Some(extent))) => {
            context.pipeline.add_file(&root.to_string(), extent).await?;
            return Ok(());
        }
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(GraphError::Store(failure))) => return Err(failure.into()),
        Ok(Err(failure @ GraphError::TooLarge(_))) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("{failure}: use another gateway"),
        ),
        Ok(Err(failure)) => (StatusCode::BAD_GATEWAY, failure.to_string()),
        Err(_) => {
            let text = "peers did not send all of it in time: try again, what came is kept";
            (StatusCode::GATEWAY_TIMEOUT, text.to_owned())
        }
    };
    Err(ApiError::text(status, text))
}

/// True when only what is here is asked for.
fn is_probe(request: &HeaderMap) -> bool {
    let cache = request.get(header::CACHE_CONTROL);
    let text = cache.and_then(|value| value.to_str().ok());
    text.is_some_and(|text| text.contains("only-if-cached"))
}

fn absent(request: &HeaderMap) -> ApiError {
    if is_probe(request) {
        return ApiError::text(StatusCode::PRECONDITION_FAILED, "it is not here");
    }
    let text = "this node does not have it: ask a node that does, or see to it that a STORE message names it";
    ApiError::text(StatusCode::NOT_FOUND, text)
}

async fn block(
    context: &Arc<Context>,
    sending: Sending,
    resolved: Resolved,
) -> Result<Response, ApiError> {
    let blobs = context.blobs.clone();
    let block = blocking(move || match resolved.steps.last() {
        Some(name) => blobs.block_named(name),
        None => Ok(None),
    });
    let block = block.await?;
    let block = block.ok_or_else(|| absent(&sending.asking.headers))?;
    Ok(sending.block(block))
}

async fn directory(
    context: &Arc<Context>,
    sending: Sending,
    resolved: Resolved,
) -> Result<Response, ApiError> {
    if let Some(location) = sending.with_slash() {
        let headers = [(header::LOCATION, location)];
        return Ok((StatusCode::MOVED_PERMANENTLY, headers).into_response());
    }
    let (blobs, steps) = (context.blobs.clone(), resolved.steps.clone());
    let index = blocking(move || match steps.last() {
        Some(directory) => blobs.resolve(directory, &[INDEX]),
        None => Ok(None),
    });
    let index = index.await?;
    let index = index.filter(|index| !index.content.extent().is_directory());
    match index {
        Some(index) => file(sending.of_index(&index), index.content).await,
        None => sending.listing(resolved.content).await,
    }
}

async fn file(sending: Sending, content: Content) -> Result<Response, ApiError> {
    if sending.is_slash_behind_file() {
        return Err(absent(&sending.asking.headers));
    }
    if sending.is_seen() {
        return Ok(sending.unchanged());
    }
    let media = match sending.media_by_name() {
        Some(media) => media,
        None => {
            let content = content.clone();
            let begin =
                blocking(move || content.pieces(0, media::SNIFFED_BYTES).next().transpose());
            media::of_bytes(&begin.await?.unwrap_or_default())
        }
    };
    Ok(sending.file(&content, HeaderValue::from_static(media)))
}
