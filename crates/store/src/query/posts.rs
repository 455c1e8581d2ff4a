//! The list of posts: originals with their latest version (core-api.md §5).

use beth_protocol::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::plan::{Conditions, SCANS_MAX, distinct, list};
use super::{Order, Page, Place, Span, Window};
use crate::error::Error;
use crate::rows::StoredMessage;
use crate::state::State;

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
    /// Time of the original, then the hash of the latest version.
    Created,
}

/// A post.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPost {
    /// The original message.
    pub original: StoredMessage,
    /// The newest amend; `None` = never amended.
    pub amend: Option<StoredMessage>,
    /// `content.address` of the original.
    pub owner: String,
    /// Its type.
    pub post_type: String,
    /// Its time.
    pub created: Timestamp,
    /// Time of the latest version.
    pub last_updated: Timestamp,
}

impl StoredPost {
    /// The latest version.
    pub fn current(&self) -> &StoredMessage {
        self.amend.as_ref().unwrap_or(&self.original)
    }
}

struct PostLine {
    item_hash: String,
    latest_amend: Option<String>,
    owner: String,
    post_type: String,
    created: Timestamp,
    last_updated: Timestamp,
}

const COLUMNS: &str = "item_hash, latest_amend, owner, type, created, last_updated";

impl State<'_> {
    /// A part of the list of posts.
    pub fn posts(
        &self,
        filter: &PostFilter,
        window: &Window<Place>,
    ) -> Result<Page<StoredPost, Place>, Error> {
        let lines = self.post_lines(filter, window)?;
        let rows = lines
            .into_iter()
            .map(|line| self.post_of(line))
            .collect::<Result<Vec<_>, Error>>()?;
        window.page(
            rows,
            |post| Place {
                time: post.last_updated,
                hash: post.original.message.item_hash.to_string(),
            },
            || self.count_posts(filter),
        )
    }

    fn post_of(&self, line: PostLine) -> Result<StoredPost, Error> {
        let message = |hash: &str| {
            self.stored_message(hash)?
                .ok_or_else(|| Error::Damaged(format!("post {hash} has no message")))
        };
        Ok(StoredPost {
            original: message(&line.item_hash)?,
            amend: line.latest_amend.as_deref().map(message).transpose()?,
            owner: line.owner,
            post_type: line.post_type,
            created: line.created,
            last_updated: line.last_updated,
        })
    }

    fn post_lines(
        &self,
        filter: &PostFilter,
        window: &Window<Place>,
    ) -> Result<Vec<PostLine>, Error> {
        let (limit, offset) = window.limit_offset();
        let direction = filter.order.sql();
        let order = match filter.sort {
            PostSort::Updated => format!("ORDER BY last_updated {direction}, item_hash"),
            PostSort::Created => {
                format!("ORDER BY created {direction}, coalesce(latest_amend, item_hash)")
            }
        };
        let depth = if limit < 0 {
            -1
        } else {
            limit.saturating_add(offset)
        };
        let mut parts = Vec::new();
        let mut params = Vec::new();
        for scan in filter.scans() {
            let conditions = filter.conditions(&scan, window.key());
            parts.push(format!(
                "SELECT * FROM (SELECT {COLUMNS} FROM posts {} WHERE {} {order} LIMIT ?)",
                scan.index,
                conditions.sql()
            ));
            params.extend(conditions.params());
            params.push(Value::Integer(depth));
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM ({}) {order} LIMIT ? OFFSET ?",
            parts.join(" UNION ALL ")
        );
        params.extend([Value::Integer(limit), Value::Integer(offset)]);
        self.all(&sql, params_from_iter(params), line)
    }

    fn count_posts(&self, filter: &PostFilter) -> Result<u64, Error> {
        let mut total = 0;
        for scan in filter.scans() {
            let conditions = filter.conditions(&scan, None);
            let sql = format!(
                "SELECT count(*) FROM posts {} WHERE {}",
                scan.index,
                conditions.sql()
            );
            let count: Option<i64> =
                self.one(&sql, params_from_iter(conditions.params()), |row| {
                    row.get(0)
                })?;
            total += count.unwrap_or(0) as u64;
        }
        Ok(total)
    }
}

fn line(row: &Row<'_>) -> rusqlite::Result<PostLine> {
    Ok(PostLine {
        item_hash: row.get(0)?,
        latest_amend: row.get(1)?,
        owner: row.get(2)?,
        post_type: row.get(3)?,
        created: Timestamp::from_micros(row.get(4)?),
        last_updated: Timestamp::from_micros(row.get(5)?),
    })
}

/// One walk along one index, for these values of its column.
struct Scan {
    index: &'static str,
    column: Option<&'static str>,
    values: Vec<String>,
}

impl PostFilter {
    /// Columns with an index, in the order of preference.
    fn columns(&self) -> [(&'static str, &'static str, Option<&Vec<String>>); 5] {
        [
            ("item_hash", "NOT INDEXED", self.hashes.as_ref()),
            ("ref", "INDEXED BY posts_ref", self.refs.as_ref()),
            ("owner", "INDEXED BY posts_owner", self.owners.as_ref()),
            ("type", "INDEXED BY posts_type", self.types.as_ref()),
            (
                "channel",
                "INDEXED BY posts_channel",
                self.channels.as_ref(),
            ),
        ]
    }

    fn scans(&self) -> Vec<Scan> {
        let chosen = self
            .columns()
            .into_iter()
            .find_map(|(column, index, values)| Some((column, index, values?)));
        let Some((column, index, values)) = chosen else {
            // Tags lead to posts by their hash.
            let index = if self.tags.is_some() {
                "NOT INDEXED"
            } else {
                "INDEXED BY posts_updated"
            };
            return vec![Scan {
                index,
                column: None,
                values: Vec::new(),
            }];
        };
        let values = distinct(values);
        if column == "item_hash" || values.len() > SCANS_MAX || values.is_empty() {
            return vec![Scan {
                index,
                column: Some(column),
                values,
            }];
        }
        values
            .into_iter()
            .map(|value| Scan {
                index,
                column: Some(column),
                values: vec![value],
            })
            .collect()
    }

    fn conditions(&self, scan: &Scan, after: Option<&Place>) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.add("amends IS NULL", []);
        for (column, _, values) in self.columns() {
            match values {
                Some(_) if scan.column == Some(column) => conditions.one_of(column, &scan.values),
                Some(values) => conditions.one_of(column, values),
                None => {}
            }
        }
        if let Some(tags) = &self.tags {
            // From the tag to the versions that carry it, to their originals;
            // then only those whose latest version is one of them.
            conditions.add(
                "item_hash IN (SELECT coalesce(version.amends, version.item_hash)
                     FROM message_tags AS tagged
                     JOIN messages AS message ON message.id = tagged.message_id
                     JOIN posts AS version ON version.item_hash = message.item_hash
                     WHERE tagged.tag IN (SELECT value FROM json_each(?)))
                 AND EXISTS (SELECT 1 FROM messages AS message
                     JOIN message_tags AS tagged ON tagged.message_id = message.id
                     WHERE message.item_hash = coalesce(posts.latest_amend, posts.item_hash)
                     AND tagged.tag IN (SELECT value FROM json_each(?)))",
                [list(tags), list(tags)],
            );
        }
        conditions.within("last_updated", self.span);
        conditions.after("last_updated", "item_hash", self.order, after);
        conditions
    }
}
