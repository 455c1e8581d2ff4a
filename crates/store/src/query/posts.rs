//! The list of posts: originals with their latest version (core-api.md §5).

use beth_protocol::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::plan::{Conditions, SCANS_MAX, distinct, list, prefixes};
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
    id: i64,
    latest: Option<i64>,
    owner: String,
    post_type: String,
    created: Timestamp,
    last_updated: Timestamp,
}

const COLUMNS: &str = "id, latest, owner, type, created, last_updated, prefix";
/// The same with names in place of their ids.
const NAMED: &str = "id, latest, (SELECT text FROM names WHERE id = owner), (SELECT text FROM names WHERE id = type),
    created, last_updated";

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
        Ok(StoredPost {
            original: self.message_by_id(line.id)?,
            amend: line.latest.map(|id| self.message_by_id(id)).transpose()?,
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
        let (version, order) = match filter.sort {
            PostSort::Updated => ("NULL", format!("last_updated {direction}, prefix, id")),
            PostSort::Created => (
                "(SELECT prefix FROM messages WHERE id = coalesce(posts.latest, posts.id))",
                format!("created {direction}, version, id"),
            ),
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
                "SELECT * FROM (SELECT {COLUMNS}, {version} AS version FROM posts {} WHERE {} ORDER BY {order} LIMIT ?)",
                scan.index,
                conditions.sql()
            ));
            params.extend(conditions.params());
            params.push(Value::Integer(depth));
        }
        let sql = format!(
            "SELECT {NAMED} FROM ({}) ORDER BY {order} LIMIT ? OFFSET ?",
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
            total += self.number(&sql, conditions.params())?;
        }
        Ok(total)
    }
}

fn line(row: &Row<'_>) -> rusqlite::Result<PostLine> {
    Ok(PostLine {
        id: row.get(0)?,
        latest: row.get(1)?,
        owner: row.get(2)?,
        post_type: row.get(3)?,
        created: Timestamp::from_micros(row.get(4)?),
        last_updated: Timestamp::from_micros(row.get(5)?),
    })
}

/// One walk along one index, for these values of its column.
struct Scan {
    index: &'static str,
    column: Option<Column>,
    values: Vec<String>,
}

/// The columns that posts are found by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Hash,
    Ref,
    Owner,
    Type,
    Channel,
}

impl Column {
    fn limit(self, conditions: &mut Conditions, values: &[String]) {
        match self {
            Column::Hash => {
                conditions.hashed(values);
                conditions.add(
                    "(SELECT item_hash FROM messages WHERE id = posts.id) IN (SELECT value FROM json_each(?))",
                    [list(values)],
                );
            }
            Column::Ref => conditions.one_of("ref", values),
            Column::Owner => conditions.named("owner", values),
            Column::Type => conditions.named("type", values),
            Column::Channel => conditions.named("channel", values),
        }
    }
}

impl PostFilter {
    /// Columns with an index, in the order of preference.
    fn columns(&self) -> [(Column, &'static str, Option<&Vec<String>>); 5] {
        [
            (Column::Hash, "NOT INDEXED", self.hashes.as_ref()),
            (Column::Ref, "INDEXED BY posts_ref", self.refs.as_ref()),
            (
                Column::Owner,
                "INDEXED BY posts_owner",
                self.owners.as_ref(),
            ),
            (Column::Type, "INDEXED BY posts_type", self.types.as_ref()),
            (
                Column::Channel,
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
        if column == Column::Hash || values.len() > SCANS_MAX || values.is_empty() {
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
        if let (Some(Column::Hash), hashes) = (scan.column, &scan.values) {
            conditions.add(
                "id IN (SELECT id FROM messages INDEXED BY messages_hash
                     WHERE prefix IN (SELECT value FROM json_each(?)))",
                [prefixes(hashes)],
            );
        }
        for (column, _, values) in self.columns() {
            match values {
                Some(_) if scan.column == Some(column) => {
                    column.limit(&mut conditions, &scan.values);
                }
                Some(values) => column.limit(&mut conditions, values),
                None => {}
            }
        }
        if let Some(tags) = &self.tags {
            // From the tag to the versions that carry it, to their originals;
            // then only those whose latest version is one of them.
            conditions.add(
                "id IN (SELECT coalesce(version.amends, version.id)
                     FROM message_tags AS tagged JOIN posts AS version ON version.id = tagged.message_id
                     WHERE tagged.tag IN (SELECT value FROM json_each(?)))
                 AND EXISTS (SELECT 1 FROM message_tags AS tagged
                     WHERE tagged.message_id = coalesce(posts.latest, posts.id)
                     AND tagged.tag IN (SELECT value FROM json_each(?)))",
                [list(tags), list(tags)],
            );
        }
        conditions.within("last_updated", self.span);
        conditions.after("last_updated", self.order, after);
        conditions
    }
}
