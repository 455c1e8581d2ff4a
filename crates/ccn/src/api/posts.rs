//! Posts: originals merged with their latest amend (core-api.md §5).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use beth_protocol::json::members;
use beth_store::Error;
use beth_store::query::posts::{ListedPost, PostFilter, PostMark, PostSort};
use beth_store::query::{Cut, Place, Reached};
use utoipa_axum::routes;

use super::answer::ApiError;
use super::cursor::{Paging, page_in_path};
use super::flow::{self, Piece, Rows};
use super::openapi::{Routes, params as described, posts as schemas, refusals};
use super::params::{Bounds, Params};
use super::render::{Confirmations, inline, member, write, written};
use crate::context::Context;

/// Rows of a page.
pub const PAGE: Bounds = Bounds::from(0, 20);
/// What orders the list.
pub const SORTS: [(&str, PostSort); 2] = [
    ("time", PostSort::Updated),
    ("tx-time", PostSort::Confirmation),
];

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
    list(context, params, None, write_v0).await
}

/// Posts, each with its latest amend.
#[utoipa::path(get, path = "/api/v1/posts.json", operation_id = "listPosts", tag = "posts",
    params(described::PostFilters, described::PostPages),
    responses((status = 200, description = "A page.", body = schemas::PostPage), refusals::BadQuery))]
async fn list_v1(context: State<Arc<Context>>, params: Params) -> Result<Response, ApiError> {
    list(context, params, None, write_v1).await
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
    list_page(context, file, params, write_v0).await
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
    list_page(context, file, params, write_v1).await
}

type Write = fn(&ListedPost, &mut Vec<u8>) -> Result<(), Error>;

async fn list_page(
    context: State<Arc<Context>>,
    Path(file): Path<String>,
    params: Params,
    write: Write,
) -> Result<Response, ApiError> {
    let number = page_in_path(&file)?;
    list(context, params, Some(number), write).await
}

async fn list(
    State(context): State<Arc<Context>>,
    mut params: Params,
    path: Option<u64>,
    write: Write,
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
    if filter.sort == PostSort::Confirmation && paging.is_cursor() {
        params.refuse("Cursor pagination is not supported with tx-time sort order.");
    }
    params.finish()?;
    flow::answer(context, Posts { filter, write }, paging).await
}

struct Posts {
    filter: PostFilter,
    write: Write,
}

impl Rows for Posts {
    type Mark = PostMark;
    const NAME: &'static str = "posts";

    fn mark(&self, state: &beth_store::State<'_>, place: &Place) -> Result<PostMark, Error> {
        state.post_mark_of(place)
    }

    fn write(
        &self,
        state: &beth_store::State<'_>,
        cut: &Cut<PostMark>,
        out: &mut Piece,
    ) -> Result<Reached<PostMark>, Error> {
        state.each_post(&self.filter, cut, |post| {
            (self.write)(&post, out.begin())?;
            Ok(out.end(Place {
                time: post.last_updated,
                hash: post.original.item_hash,
            }))
        })
    }

    fn total(&self, state: &beth_store::State<'_>) -> Result<u64, Error> {
        state.count_posts(&self.filter)
    }
}

/// Exactly the members that the released clients know.
fn write_v0(post: &ListedPost, out: &mut Vec<u8>) -> Result<(), Error> {
    let (original, current, told) = (&post.original, post.current(), Told::by(post));
    let post_type = if post.amend.is_some() {
        "amend"
    } else {
        post.post_type.as_str()
    };
    out.extend_from_slice(b"{\"chain\":");
    write(&original.chain, out)?;
    member("item_hash", &current.item_hash, out)?;
    member("sender", &post.owner, out)?;
    member("type", post_type, out)?;
    member("channel", &original.channel, out)?;
    member("confirmed", &!current.confirmations.is_empty(), out)?;
    written("content", told.content, out);
    member("item_content", &inline(current), out)?;
    member("item_type", &current.item_type, out)?;
    member("signature", &current.signature, out)?;
    member("size", &current.size, out)?;
    member("time", &post.last_updated.to_json(), out)?;
    member("confirmations", &Confirmations(&current.confirmations), out)?;
    member("original_item_hash", &original.item_hash, out)?;
    member("original_signature", &original.signature, out)?;
    member("original_type", &post.post_type, out)?;
    member("hash", &original.item_hash, out)?;
    member("address", &post.owner, out)?;
    written("ref", told.reference, out);
    out.push(b'}');
    Ok(())
}

fn write_v1(post: &ListedPost, out: &mut Vec<u8>) -> Result<(), Error> {
    let (original, current, told) = (&post.original, post.current(), Told::by(post));
    out.extend_from_slice(b"{\"item_hash\":");
    write(&current.item_hash, out)?;
    written("content", told.content, out);
    member("original_item_hash", &original.item_hash, out)?;
    member("original_type", &post.post_type, out)?;
    member("address", &post.owner, out)?;
    written("ref", told.reference, out);
    member("channel", &original.channel, out)?;
    member("created", &post.created.to_iso("+00:00"), out)?;
    member("last_updated", &post.last_updated.to_iso("+00:00"), out)?;
    out.push(b'}');
    Ok(())
}

/// What the contents of a post tell, as texts of JSON.
struct Told<'a> {
    /// `content` of the latest version.
    content: &'a str,
    /// `ref` of the original.
    reference: &'a str,
}

impl<'a> Told<'a> {
    fn by(post: &'a ListedPost) -> Told<'a> {
        let mut told = Told {
            content: "null",
            reference: "null",
        };
        for (name, value) in members(&post.original.body) {
            match name.as_ref() {
                "content" => told.content = value,
                "ref" => told.reference = value,
                _ => {}
            }
        }
        if let Some(amend) = &post.amend {
            let content = members(&amend.body).filter(|(name, _)| name == "content");
            told.content = content.last().map_or("null", |(_, value)| value);
        }
        told
    }
}
