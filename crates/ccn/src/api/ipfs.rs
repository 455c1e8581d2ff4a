//! Uploads to IPFS (core-api.md §9.2, §9.4, §9.5). No daemon is asked: the node
//! computes the names of files itself, as `ipfs add` would.
//!
//! ```text
//!  add_json, add_file   bytes ─▶ blobs/incoming, named `Qm…` while they arrive ─▶ file row
//!  add_car              blocks ─▶ blobs/incoming, each checked ─▶ root? funds? ─▶ graph whole? ─▶ row
//! ```
//!
//! What is wrong with an archive is found while it arrives and said when its
//! turn comes: whose it is comes first.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use beth_protocol::cid::Layout;
use beth_protocol::hash::Naming;
use beth_store::blobs::archive::{ArchiveError, ArchiveFault, Checked, IncomingArchive};
use beth_store::blobs::{Hashed, Incoming};
use http::StatusCode;
use serde_json::{Value, json};
use utoipa_axum::{router::UtoipaMethodRouterExt, routes};

use super::answer::{ApiError, ok};
use super::edge::Client;
use super::openapi::{Routes, refusals, storage as schemas};
use super::storage::blocking;
use super::upload::form::{self, FilePart};
use super::upload::metadata::{self, Signed, unprocessable};
use super::upload::{keep, keep_json, permit, register_upload, success};
use crate::context::Context;

/// Name of a file whose part has none.
const UNNAMED: &str = "file";

/// Routes that take contents of IPFS.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(add_json))
        // The limits of these routes depend on what is uploaded.
        .with(routes!(add_file).layer(DefaultBodyLimit::disable()))
        .with(routes!(add_car).layer(DefaultBodyLimit::disable()))
}

/// Refuses what an operator does not want.
fn expect_enabled(context: &Context) -> Result<(), ApiError> {
    if context.config.ipfs.enabled {
        return Ok(());
    }
    let text = "IPFS is disabled on this node";
    Err(ApiError::reason(StatusCode::FORBIDDEN, text))
}

/// Stores a JSON value, written again in one fixed way, under its name in IPFS.
#[utoipa::path(post, path = "/api/v0/ipfs/add_json", operation_id = "addJsonToIpfs", tag = "storage",
    request_body(content = serde_json::Value, description = "Any JSON."),
    responses((status = 200, description = "It is stored.", body = schemas::Added),
        refusals::NoIpfs, refusals::BadBody))]
async fn add_json(State(context): State<Arc<Context>>, body: Body) -> Result<Response, ApiError> {
    expect_enabled(&context)?;
    let bytes_max = context.config.ipfs.max_unauthenticated_upload_file_size;
    let kept = keep_json(&context, (body, bytes_max), Naming::cid(Layout::V0)).await?;
    register_upload(&context, &kept).await?;
    Ok(ok(success(&kept.hash)).into_response())
}

/// Stores a file under its name in IPFS.
#[utoipa::path(post, path = "/api/v0/ipfs/add_file", operation_id = "addFileToIpfs", tag = "storage",
    request_body(content = schemas::UploadForm, content_type = "multipart/form-data", description = "The file."),
    responses((status = 200, description = "It is stored; its message, if any, in force.",
            body = schemas::AddedToIpfs),
        refusals::SignedUpload))]
async fn add_file(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, ApiError> {
    expect_enabled(&context)?;
    expect_form(&request)?;
    let ipfs = &context.config.ipfs;
    let blobs = context.blobs.clone();
    let begin = move || blobs.begin_named(Naming::cid(Layout::V0));
    let client = Client::known(&request);
    let claim = context.uploads.claim()?;
    let form = form::receive(request, (ipfs.max_upload_file_size, claim), begin).await?;
    let part = form.file.ok_or_else(no_file)?;
    let Some(metadata) = form.metadata else {
        let bytes_max = ipfs.max_unauthenticated_upload_file_size;
        if part.sink.size_bytes() > bytes_max {
            return Err(ApiError::too_large(bytes_max));
        }
        let (file, name) = finish(part).await?;
        let kept = keep(&context, file).await?;
        register_upload(&context, &kept).await?;
        return Ok(ok(added(&kept, &name)).into_response());
    };
    let (declared, mode) = metadata::read(&metadata)?;
    let signed = Signed::verify(&context, client, declared).await?;
    signed.expect_ipfs()?;
    signed
        .expect_funds(&context, part.sink.size_bytes())
        .await?;
    let (file, name) = finish(part).await?;
    signed.expect_hash(&file.hash)?;
    let kept = keep(&context, file).await?;
    context
        .pipeline
        .add_file(&kept.hash, kept.size_bytes)
        .await?;
    signed.publish(&context, mode, added(&kept, &name)).await
}

/// Stores a directory, as an archive of its blocks.
#[utoipa::path(post, path = "/api/v0/ipfs/add_car", operation_id = "addDirectory", tag = "storage",
    request_body(content = schemas::ArchiveForm, content_type = "multipart/form-data", description = "The archive."),
    responses((status = 200, description = "It is stored, its message in force.", body = schemas::AddedDirectory),
        refusals::SignedUpload))]
async fn add_car(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, ApiError> {
    expect_enabled(&context)?;
    expect_form(&request)?;
    let blobs = context.blobs.clone();
    let bytes_max = context.config.ipfs.max_upload_car_size;
    let client = Client::known(&request);
    let claim = context.uploads.claim()?;
    let form = form::receive(request, (bytes_max, claim), move || blobs.begin_archive()).await?;
    let archive = form.file.ok_or_else(no_file)?.sink;
    let metadata = form
        .metadata
        .ok_or_else(|| unprocessable("metadata is required for CAR upload"))?;
    let (declared, mode) = metadata::read(&metadata)?;
    let signed = Signed::verify(&context, client, declared).await?;
    signed.expect_ipfs()?;
    let (root, declared) = (archive.root().map_err(invalid)?, &signed.store()?.item_hash);
    if root != declared.as_str() {
        return Err(unprocessable(format!(
            "Root CID does not match ({root} != {declared})"
        )));
    }
    signed.expect_funds(&context, archive.size_bytes()).await?;
    let kept = keep_archive(&context, archive).await?;
    context.pipeline.add_file(&kept.root, kept.extent).await?;
    let answer = json!({"status": "success", "hash": kept.root, "size": kept.tree_bytes});
    signed.publish(&context, mode, answer).await
}

async fn keep_archive(context: &Context, archive: IncomingArchive) -> Result<Checked, ApiError> {
    let permit = permit(&context.archives).await?;
    let blobs = context.blobs.clone();
    let kept = blocking(move || {
        let _permit = permit;
        match blobs.check(archive) {
            Ok(checked) => blobs.keep_archive(checked).map(Ok),
            Err(ArchiveError::Fault(fault)) => Ok(Err(fault)),
            Err(ArchiveError::Store(failure)) => Err(failure),
        }
    });
    kept.await?.map_err(invalid)
}

fn invalid(fault: ArchiveFault) -> ApiError {
    unprocessable(format!("Invalid CAR file: {fault}"))
}

fn expect_form(request: &Request) -> Result<(), ApiError> {
    if form::is_form(request) {
        return Ok(());
    }
    let text = "Expected Content-Type: multipart/form-data";
    Err(ApiError::reason(StatusCode::BAD_REQUEST, text))
}

fn no_file() -> ApiError {
    unprocessable("Missing 'file' in multipart form.")
}

async fn finish(part: FilePart<Incoming>) -> Result<(Hashed, String), ApiError> {
    let file = blocking(move || part.sink.finish()).await?;
    Ok((file, part.name.unwrap_or_else(|| UNNAMED.to_owned())))
}

fn added(kept: &Hashed, name: &str) -> Value {
    json!({"status": "success", "hash": kept.hash, "name": name, "size": kept.size_bytes})
}
