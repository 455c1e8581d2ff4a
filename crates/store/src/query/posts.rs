//! The list of posts: originals with their latest version (core-api.md §5).
//! Read as the list of [messages](super::messages) is.

mod walk;

use std::ops::ControlFlow;

use beth_protocol::time::Timestamp;
use rusqlite::{Row, params_from_iter};

use super::messages::ListedMessage;
use super::{Cut, Order, Page, Place, Reached, Span, Window};
use crate::error::Error;
use crate::keys::prefix;
use crate::state::State;
use walk::Wanted;

/// What to list; see [`MessageFilter`](super::messages::MessageFilter).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostFilter {
    /// `content.address` of the original.
    pub owners: Option<Vec<String>>,
    /// Item hash of the original.
    pub hashes: Option<Vec<String>>,
    /// `content.ref` of the original.
    pub refs: Option<Vec<String>>,
    /// Type of the original.
    pub types: Option<Vec<String>>,
    /// Any of these tags, of the latest version.
    pub tags: Option<Vec<String>>,
    /// Channel of the original.
    pub channels: Option<Vec<String>>,
    /// Time of the latest version.
    pub span: Span,
    /// What the list is sorted by.
    pub sort: PostSort,
    /// Direction.
    pub order: Order,
}

/// What posts are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostSort {
    /// Time of the latest version.
    #[default]
    Updated,
    /// Time of the earliest confirmation of the original, unconfirmed ones as
    /// the newest; then its time, then the hash of the latest version.
    Confirmation,
}

/// A post.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedPost {
    /// The original message.
    pub original: ListedMessage,
    /// The newest amend; `None` = never amended.
    pub amend: Option<ListedMessage>,
    /// `content.address` of the original.
    pub owner: String,
    /// Its type.
    pub post_type: String,
    /// Its time.
    pub created: Timestamp,
    /// Time of the latest version.
    pub last_updated: Timestamp,
}

impl ListedPost {
    /// The latest version.
    pub fn current(&self) -> &ListedMessage {
        self.amend.as_ref().unwrap_or(&self.original)
    }
}

/// The place of a post in a list, exact, for this node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostMark {
    confirmed: i64,
    created: i64,
    updated: i64,
    prefix: i64,
    version: i64,
    id: i64,
}

/// A row of the table of posts.
struct Line {
    id: i64,
    latest: Option<i64>,
    owner: i64,
    post_type: i64,
    created: i64,
    updated: i64,
    confirmed: i64,
    prefix: i64,
}

impl State<'_> {
    /// A part of the list of posts.
    pub fn posts(
        &self,
        filter: &PostFilter,
        window: &Window<Place>,
    ) -> Result<Page<ListedPost, Place>, Error> {
        let cut = window.cut(|place| self.post_mark_of(place))?;
        let mut rows = Vec::new();
        self.each_post(filter, &cut, |post| {
            rows.push(post);
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        window.page(
            rows,
            |post| Place {
                time: post.last_updated,
                hash: post.original.item_hash.clone(),
            },
            || self.count_posts(filter),
        )
    }

    /// Shows posts of a list one by one, until the end of the cut or until told
    /// to stop.
    pub fn each_post<E: From<Error>>(
        &self,
        filter: &PostFilter,
        cut: &Cut<PostMark>,
        show: impl FnMut(ListedPost) -> Result<ControlFlow<()>, E>,
    ) -> Result<Reached<PostMark>, E> {
        let lines = self.post_lines(filter, &cut.and_one())?;
        cut.show(&lines, |line| self.listed_post(line), show)
    }

    /// Where a place is in this node.
    pub fn post_mark_of(&self, place: &Place) -> Result<PostMark, Error> {
        // Whoever is gone came before all that begin alike.
        let id = self.message_id(&place.hash)?.unwrap_or(i64::MAX);
        Ok(PostMark {
            confirmed: i64::MAX,
            created: place.time.micros(),
            updated: place.time.micros(),
            prefix: prefix(&place.hash),
            version: prefix(&place.hash),
            id,
        })
    }

    /// Posts of the whole list.
    pub fn count_posts(&self, filter: &PostFilter) -> Result<u64, Error> {
        let Some(wanted) = Wanted::of(self, filter)? else {
            return Ok(0);
        };
        if let Some(kept) = self.kept_posts(&wanted)? {
            return Ok(kept);
        }
        let key = || {
            let shape = PostFilter {
                order: Order::default(),
                sort: PostSort::default(),
                ..filter.clone()
            };
            format!("{shape:?}")
        };
        self.remembered(key, || {
            let (walks, price) = wanted.walks_through();
            let mut total = 0;
            for walk in walks {
                let (sql, params) = wanted.count(&walk);
                total += self.number(&sql, params)?;
            }
            Ok((total, price))
        })
    }

    fn post_lines(&self, filter: &PostFilter, cut: &Cut<PostMark>) -> Result<Vec<Line>, Error> {
        let Some(wanted) = Wanted::of(self, filter)? else {
            return Ok(Vec::new());
        };
        let (sql, params) = wanted.lines(cut);
        self.all(&sql, params_from_iter(params), line)
    }

    fn listed_post(&self, line: &Line) -> Result<(ListedPost, PostMark), Error> {
        let (original, _) = self.listed_by_id(line.id)?;
        let amend = line.latest.map(|latest| self.listed_by_id(latest));
        let post = ListedPost {
            original,
            amend: amend.transpose()?.map(|(amend, _)| amend),
            owner: self.text_of(line.owner)?,
            post_type: self.text_of(line.post_type)?,
            created: Timestamp::from_micros(line.created),
            last_updated: Timestamp::from_micros(line.updated),
        };
        let mark = PostMark {
            confirmed: line.confirmed,
            created: line.created,
            updated: line.updated,
            prefix: line.prefix,
            version: prefix(&post.current().item_hash),
            id: line.id,
        };
        Ok((post, mark))
    }
}

/// Reads [`Wanted::lines`].
fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line {
        id: row.get(0)?,
        latest: row.get(1)?,
        owner: row.get(2)?,
        post_type: row.get(3)?,
        created: row.get(4)?,
        updated: row.get(5)?,
        confirmed: row.get(6)?,
        prefix: row.get(7)?,
    })
}
