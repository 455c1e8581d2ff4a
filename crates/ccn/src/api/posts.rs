//! Posts: originals merged with their latest amend (core-api.md §5).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use beth_store::confirmations::Confirmation;
use beth_store::query::Place;
use beth_store::query::posts::{PostFilter, PostSort, StoredPost};
use serde_json::{Map, Value, json};
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::cursor::{Paging, page_in_path};
use super::openapi::{Routes, params as described, posts as schemas, refusals};
use super::params::{Bounds, Params};
use super::render::listed_confirmations;
use crate::context::Context;

/// Rows of a page.
pub const PAGE: Bounds = Bounds::from(0, 20);
/// What orders the list.
pub const SORTS: [(&str, PostSort); 2] =
    [("time", PostSort::Updated), ("tx-time", PostSort::Created)];

/// Both versions of the list.
pub fn routes() -> Routes {
    Routes::new()
        .with(routes!(list_v0))
        .with(routes!(list_v1))
        .with(routes!(list_page_v0))
        .with(routes!(list_page_v1))
}

/// Posts in the older form, each with its latest amend.
#[utoipa::path(get, path = "/api/v0/posts.json", operation_id = "listOlderPosts", tag = "posts",
    params(described::PostFilters, described::PostPages),
    responses((status = 200, description = "A page.", body = schemas::OlderPostPage), refusals::BadQuery))]
async fn list_v0(context: State<Arc<Context>>, params: Params) -> Result<Response, ApiError> {
    list(context, params, None, item_v0).await
}

/// Posts, each with its latest amend.
#[utoipa::path(get, path = "/api/v1/posts.json", operation_id = "listPosts", tag = "posts",
    params(described::PostFilters, described::PostPages),
    responses((status = 200, description = "A page.", body = schemas::PostPage), refusals::BadQuery))]
async fn list_v1(context: State<Arc<Context>>, params: Params) -> Result<Response, ApiError> {
    list(context, params, None, item_v1).await
}

/// Posts in the older form, the number of the page being part of the path.
#[utoipa::path(get, path = "/api/v0/posts/page/{page}.json", operation_id = "listOlderPostsOfPage",
    tag = "posts", params(described::PagePath, described::PostFilters, described::PostPages),
    responses((status = 200, description = "A page.", body = schemas::OlderPostPage),
        refusals::BadQuery, refusals::BadPage))]
async fn list_page_v0(
    context: State<Arc<Context>>,
    file: Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    list_page(context, file, params, item_v0).await
}

/// Posts, the number of the page being part of the path.
#[utoipa::path(get, path = "/api/v1/posts/page/{page}.json", operation_id = "listPostsOfPage",
    tag = "posts", params(described::PagePath, described::PostFilters, described::PostPages),
    responses((status = 200, description = "A page.", body = schemas::PostPage),
        refusals::BadQuery, refusals::BadPage))]
async fn list_page_v1(
    context: State<Arc<Context>>,
    file: Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    list_page(context, file, params, item_v1).await
}

type Item = fn(&StoredPost, &[Confirmation]) -> Value;

async fn list_page(
    context: State<Arc<Context>>,
    Path(file): Path<String>,
    params: Params,
    item: Item,
) -> Result<Response, ApiError> {
    let number = page_in_path(&file)?;
    list(context, params, Some(number), item).await
}

async fn list(
    State(context): State<Arc<Context>>,
    mut params: Params,
    path: Option<u64>,
    item: Item,
) -> Result<Response, ApiError> {
    let filter = PostFilter {
        owners: params.list(&["addresses"]),
        hashes: params.hashes(&["hashes"]),
        refs: params.list(&["refs"]),
        types: params.list(&["types", "post_types"]),
        tags: params.list(&["tags"]),
        channels: params.list(&["channels"]),
        span: params.span(),
        sort: params
            .choice(&["sortBy", "sort_by"], &SORTS)
            .unwrap_or_default(),
        order: params.order(),
    };
    let paging = Paging::read(&mut params, PAGE, path);
    if filter.sort == PostSort::Created && paging.has_place() {
        params.refuse("Cursor pagination is not supported with tx-time sort order.");
    }
    params.finish()?;
    let window = paging.window::<Place>()?;
    let (items, total, next) = context
        .read(move |state| {
            let page = state.posts(&filter, &window)?;
            let items = page.rows.iter().map(|post| {
                let current = post.current().message.item_hash.as_str();
                Ok(item(post, &state.confirmations_of(current)?))
            });
            let items = items.collect::<Result<Vec<_>, beth_store::Error>>()?;
            Ok((items, page.total, page.next))
        })
        .await?;
    let mut body = Map::new();
    body.insert("posts".into(), Value::Array(items));
    body.extend(paging.members("posts", total, next.as_ref()));
    Ok(ok(Value::Object(body)).into_response())
}

/// Exactly the members that the released clients know.
fn item_v0(post: &StoredPost, confirmations: &[Confirmation]) -> Value {
    let (original, current) = (&post.original.message, &post.current().message);
    let post_type = if post.amend.is_some() {
        "amend"
    } else {
        post.post_type.as_str()
    };
    json!({
        "chain": original.chain,
        "item_hash": current.item_hash,
        "sender": post.owner,
        "type": post_type,
        "channel": original.channel,
        "confirmed": !confirmations.is_empty(),
        "content": post.current().content["content"],
        "item_content": current.item_content,
        "item_type": current.item_type,
        "signature": current.signature,
        "size": post.current().size,
        "time": post.last_updated,
        "confirmations": listed_confirmations(confirmations),
        "original_item_hash": original.item_hash,
        "original_signature": original.signature,
        "original_type": post.post_type,
        "hash": original.item_hash,
        "address": post.owner,
        "ref": post.original.content["ref"],
    })
}

fn item_v1(post: &StoredPost, _: &[Confirmation]) -> Value {
    let original = &post.original.message;
    json!({
        "item_hash": post.current().message.item_hash,
        "content": post.current().content["content"],
        "original_item_hash": original.item_hash,
        "original_type": post.post_type,
        "address": post.owner,
        "ref": post.original.content["ref"],
        "channel": original.channel,
        "created": post.created.to_iso("+00:00"),
        "last_updated": post.last_updated.to_iso("+00:00"),
    })
}
