//! From a filter of posts to the statement for their ids; see the walks of
//! messages, whose rules hold here too.

use rusqlite::types::Value;

use super::{PostFilter, PostMark, PostSort};
use crate::error::Error;
use crate::query::plan::{Conditions, SCANS_MAX, distinct, equal, prefixes};
use crate::query::{Cut, Order, Span};
use crate::state::State;
use crate::tallies::{Dimension, count_within};

/// The price of reading the row of a post, in entries of an index.
const ROW_PRICE: f64 = 6.0;
/// The price of finding the post of a message, or the tags of a post.
const TAG_PRICE: f64 = 8.0;
/// How much of the longest possible walk counts beside the expected one.
const DOUBT: f64 = 0.05;
/// Of references, one post of so many is assumed to have it.
const REF_SHARE: f64 = 1_000.0;
/// The code of POST.
const POST: [i64; 1] = [0];

/// What posts are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Hash,
    Ref,
    Owner,
    Type,
    Channel,
    Tag,
}

/// What a scan walks along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Of(Column),
    Updated,
    Confirmed,
}

/// A filter with ids in place of texts.
pub(super) struct Wanted {
    /// Columns, their values, and how many posts have one of them.
    pub(super) lists: Vec<(Column, Vec<Value>, f64)>,
    pub(super) span: Span,
    sort: PostSort,
    order: Order,
    all: f64,
}

/// One scan: a way, and the values of its column.
pub(super) struct Walk {
    way: Way,
    values: Vec<Value>,
}

/// What a walk reads.
pub(super) struct Scan {
    from: &'static str,
    /// The table that has the place of a post in the list.
    place: &'static str,
    conditions: Conditions,
}

/// Along one tag, and to the post of each entry.
const TAGGED: &str = "post_tags AS tagged CROSS JOIN posts AS t ON t.id = tagged.id";

impl Walk {
    /// True when the walk is along the entries of one tag.
    fn is_along_tag(&self) -> bool {
        self.way == Way::Of(Column::Tag) && self.values.len() == 1
    }
}

impl Wanted {
    /// `None` when no post can match.
    pub(super) fn of(state: &State<'_>, filter: &PostFilter) -> Result<Option<Wanted>, Error> {
        let mut lists = Vec::new();
        let all = state.posts_kept()? as f64;
        for (column, texts) in [
            (Column::Hash, &filter.hashes),
            (Column::Ref, &filter.refs),
            (Column::Owner, &filter.owners),
            (Column::Type, &filter.types),
            (Column::Channel, &filter.channels),
            (Column::Tag, &filter.tags),
        ] {
            let Some(texts) = texts else { continue };
            let values = values_of(state, column, distinct(texts))?;
            if values.is_empty() {
                return Ok(None);
            }
            let size = size_of(state, column, &values, all)?;
            lists.push((column, values, size));
        }
        Ok(Some(Wanted {
            lists,
            span: filter.span,
            sort: filter.sort,
            order: filter.order,
            all,
        }))
    }

    /// The statement for the rows of a part of the list.
    pub(super) fn lines(&self, cut: &Cut<PostMark>) -> (String, Vec<Value>) {
        let need = cut.rows.saturating_add(cut.skip) as f64;
        let walks = self.split(self.cheapest(|way, count| self.steps(way, count, need)).0);
        let window = [clamp(cut.rows), clamp(cut.skip)];
        let (mut parts, mut params) = (Vec::new(), Vec::new());
        let order = self.order_by();
        for walk in &walks {
            let Scan {
                from,
                place,
                conditions,
            } = self.scan(walk, cut.after.as_ref());
            let version = match self.sort {
                PostSort::Updated => "",
                PostSort::Confirmation => {
                    ", (SELECT messages.prefix FROM messages WHERE messages.id = coalesce(t.latest, t.id)) AS version"
                }
            };
            parts.push(format!(
                "SELECT * FROM (SELECT {place}.id AS id, t.latest AS latest, t.owner AS owner, t.type AS type,
                     t.created AS created, {place}.last_updated AS last_updated, t.confirmed AS confirmed,
                     {place}.prefix AS prefix{version}
                 FROM {from} WHERE {} ORDER BY {order} LIMIT ?)",
                conditions.sql(),
            ));
            params.extend(conditions.params());
            params.push(clamp(cut.rows.saturating_add(cut.skip)));
        }
        params.extend(window);
        let sql = format!(
            "SELECT id, latest, owner, type, created, last_updated, confirmed, prefix FROM ({}) ORDER BY {order} LIMIT ? OFFSET ?",
            parts.join(" UNION ALL ")
        );
        (sql, params)
    }

    /// The statement that counts what a walk finds.
    pub(super) fn count(&self, walk: &Walk) -> (String, Vec<Value>) {
        let Scan {
            mut from,
            conditions,
            ..
        } = self.scan(walk, None);
        if walk.is_along_tag() && self.lists.len() == 1 {
            from = "post_tags AS tagged";
        }
        let sql = format!("SELECT count(*) FROM {from} WHERE {}", conditions.sql());
        (sql, conditions.params())
    }

    /// The scans that pass the fewest rows, and what that costs in entries of
    /// an index.
    pub(super) fn walks_through(&self) -> (Vec<Walk>, f64) {
        let (way, price) = self.cheapest(|_, count| count);
        (self.split(way), price)
    }

    /// What one walk reads.
    pub(super) fn scan(&self, walk: &Walk, after: Option<&PostMark>) -> Scan {
        let is_tagged = walk.is_along_tag();
        let from = match walk.way {
            Way::Of(Column::Tag) if is_tagged => TAGGED,
            Way::Of(Column::Hash | Column::Tag) => "posts AS t NOT INDEXED",
            Way::Of(Column::Ref) => "posts AS t INDEXED BY posts_ref",
            Way::Of(Column::Owner) => "posts AS t INDEXED BY posts_owner",
            Way::Of(Column::Type) => "posts AS t INDEXED BY posts_type",
            Way::Of(Column::Channel) => "posts AS t INDEXED BY posts_channel",
            Way::Updated => "posts AS t INDEXED BY posts_updated",
            Way::Confirmed => "posts AS t INDEXED BY posts_confirmed",
        };
        let place = if is_tagged { "tagged" } else { "t" };
        let mut conditions = Conditions::default();
        if !is_tagged {
            conditions.add("t.amends IS NULL", []);
        }
        for (column, values, _) in &self.lists {
            let is_walked = walk.way == Way::Of(*column);
            let values = if is_walked { &walk.values } else { values };
            match column {
                Column::Hash => {
                    if is_walked {
                        conditions.add_all(begin_alike(values));
                    }
                    let hash = "(SELECT item_hash FROM messages WHERE messages.id = t.id)";
                    conditions.add_all(equal(hash, values));
                }
                Column::Tag if is_tagged => conditions.add_all(equal("tagged.tag", values)),
                Column::Tag if is_walked => conditions.add_all(any_tag(values)),
                Column::Tag => conditions.add_all(has_tag(values)),
                column => conditions.add_all(equal(&format!("t.{}", column.sql()), values)),
            }
        }
        conditions.within(&format!("{place}.last_updated"), self.span);
        if let Some(mark) = after {
            self.follow(mark, place, &mut conditions);
        }
        Scan {
            from,
            place,
            conditions,
        }
    }

    /// Only what comes after a place.
    fn follow(&self, mark: &PostMark, place: &str, conditions: &mut Conditions) {
        let later = self.order.later();
        let (keys, marks, values, tie, hash) = match self.sort {
            PostSort::Updated => (
                format!("{place}.last_updated"),
                "?",
                vec![mark.updated],
                format!("{place}.prefix"),
                mark.prefix,
            ),
            PostSort::Confirmation => (
                "(t.confirmed, t.created)".to_owned(),
                "(?, ?)",
                vec![mark.confirmed, mark.created],
                "(SELECT messages.prefix FROM messages WHERE messages.id = coalesce(t.latest, t.id))".to_owned(),
                mark.version,
            ),
        };
        let params = values.iter().chain(&values);
        let params: Vec<Value> = params
            .chain(&[hash, hash, mark.id])
            .map(|number| Value::Integer(*number))
            .collect();
        // The first condition is implied; it is what bounds the range scan.
        conditions.add(
            format!(
                "{keys} {later}= {marks} AND ({keys} {later} {marks} OR {tie} > ? OR ({tie} = ? AND {place}.id > ?))"
            ),
            params,
        );
    }

    fn order_by(&self) -> String {
        let direction = self.order.sql();
        match self.sort {
            PostSort::Updated => format!("last_updated {direction}, prefix, id"),
            PostSort::Confirmation => {
                format!("confirmed {direction}, created {direction}, version, id")
            }
        }
    }

    fn steps(&self, way: Way, count: f64, need: f64) -> f64 {
        let shares = self
            .lists
            .iter()
            .map(|(_, _, size)| size / self.all.max(1.0));
        let matching = (self.all * shares.product::<f64>()).max(0.5);
        let expected = if self.is_ordered(way) {
            count.min(need * count / matching)
        } else {
            count * 2.0
        };
        expected + DOUBT * count
    }

    fn cheapest(&self, steps: impl Fn(Way, f64) -> f64) -> (Way, f64) {
        let last = match self.sort {
            PostSort::Updated => Way::Updated,
            PostSort::Confirmation => Way::Confirmed,
        };
        let columns = self
            .lists
            .iter()
            .map(|(column, _, size)| (Way::Of(*column), *size));
        let mut best = (last, f64::INFINITY);
        for (way, count) in columns.chain([(last, self.all)]) {
            let cost = steps(way, count) * self.price(way);
            if cost < best.1 {
                best = (way, cost);
            }
        }
        best
    }

    fn split(&self, way: Way) -> Vec<Walk> {
        let of = |column| self.lists.iter().find(|(listed, ..)| *listed == column);
        let values = match way {
            Way::Of(column) => of(column).map(|(_, values, _)| values.clone()),
            _ => None,
        };
        let values = values.unwrap_or_default();
        if !self.is_ordered(way) || values.is_empty() {
            return vec![Walk { way, values }];
        }
        let walk = |value| Walk {
            way,
            values: vec![value],
        };
        values.into_iter().map(walk).collect()
    }

    /// True when a walk meets rows in the order of the list.
    fn is_ordered(&self, way: Way) -> bool {
        let values = |column| {
            let found = self.lists.iter().find(|(listed, ..)| *listed == column);
            found.map_or(0, |(_, values, _)| values.len())
        };
        match way {
            Way::Updated => self.sort == PostSort::Updated,
            Way::Confirmed => self.sort == PostSort::Confirmation,
            Way::Of(Column::Hash) => false,
            Way::Of(Column::Tag) => self.sort == PostSort::Updated && values(Column::Tag) == 1,
            Way::Of(column) => self.sort == PostSort::Updated && values(column) <= SCANS_MAX,
        }
    }

    /// What passing one row costs.
    fn price(&self, way: Way) -> f64 {
        let holds = |column: Column| {
            let tail = [Column::Owner, Column::Type, Column::Channel];
            match way {
                Way::Updated | Way::Of(Column::Hash | Column::Tag) => false,
                _ => tail.contains(&column),
            }
        };
        let others = || {
            self.lists
                .iter()
                .filter(|(column, ..)| way != Way::Of(*column))
        };
        let mut price = 1.0;
        if others().any(|(column, ..)| !holds(*column)) || way == Way::Of(Column::Hash) {
            price += ROW_PRICE;
        }
        if others().any(|(column, ..)| *column == Column::Tag) {
            price += TAG_PRICE;
        }
        price
    }
}

impl State<'_> {
    /// Posts, without amends, as the writer counts messages.
    fn posts_kept(&self) -> Result<u64, Error> {
        let posts = self.number(
            "SELECT coalesce(sum(count), 0) FROM counters WHERE type = 0",
            Vec::new(),
        )?;
        let Some(amend) = self.known_name("amend")? else {
            return Ok(posts);
        };
        let amends = self
            .tallied(Dimension::ContentType, &[amend], Some(&POST))?
            .wanted;
        Ok(posts.saturating_sub(amends))
    }

    /// The total, where the writer counts it.
    pub(super) fn kept_posts(&self, wanted: &Wanted) -> Result<Option<u64>, Error> {
        if !wanted.lists.is_empty() {
            return Ok(None);
        }
        if wanted.span == Span::default() {
            return Ok(Some(wanted.all as u64));
        }
        let counted = |whole| self.tallied_between(Dimension::Updated, whole, None);
        let read = |part| {
            let mut conditions = Conditions::default();
            conditions.add("amends IS NULL", []);
            conditions.within("last_updated", part);
            let sql = format!(
                "SELECT count(*) FROM posts INDEXED BY posts_updated WHERE {}",
                conditions.sql()
            );
            self.number(&sql, conditions.params())
        };
        count_within(wanted.span, counted, read).map(Some)
    }
}

fn size_of(state: &State<'_>, column: Column, values: &[Value], all: f64) -> Result<f64, Error> {
    let dimension = match column {
        Column::Owner => Dimension::Owner,
        Column::Type => Dimension::ContentType,
        Column::Channel => Dimension::Channel,
        Column::Tag => Dimension::Tag,
        Column::Hash => return Ok(values.len() as f64),
        Column::Ref => return Ok((all / REF_SHARE).max(values.len() as f64)),
    };
    let ids: Vec<i64> = values
        .iter()
        .filter_map(|value| match value {
            Value::Integer(id) => Some(*id),
            _ => None,
        })
        .collect();
    Ok(state.tallied(dimension, &ids, Some(&POST))?.wanted as f64)
}

fn values_of(state: &State<'_>, column: Column, texts: Vec<String>) -> Result<Vec<Value>, Error> {
    if matches!(column, Column::Hash | Column::Ref) {
        return Ok(texts.into_iter().map(Value::Text).collect());
    }
    let mut ids = Vec::with_capacity(texts.len());
    for text in &texts {
        if let Some(id) = state.known_name(text)? {
            ids.push(Value::Integer(id));
        }
    }
    Ok(ids)
}

impl Column {
    fn sql(self) -> &'static str {
        match self {
            Column::Hash | Column::Tag => "id",
            Column::Ref => "ref",
            Column::Owner => "owner",
            Column::Type => "type",
            Column::Channel => "channel",
        }
    }
}

/// The post of a row of the table `posts` has one of the tags.
fn has_tag(tags: &[Value]) -> (String, Vec<Value>) {
    let (wanted, params) = equal("tagged.tag", tags);
    let sql = format!(
        "EXISTS (SELECT 1 FROM post_tags AS tagged WHERE {wanted}
             AND tagged.last_updated = t.last_updated AND tagged.prefix = t.prefix AND tagged.id = t.id)"
    );
    (sql, params)
}

/// Posts that any of the tags leads to.
fn any_tag(tags: &[Value]) -> (String, Vec<Value>) {
    let (wanted, params) = equal("tagged.tag", tags);
    let sql = format!("t.id IN (SELECT id FROM post_tags AS tagged WHERE {wanted})");
    (sql, params)
}

/// Posts whose hashes begin as these do.
fn begin_alike(hashes: &[Value]) -> (String, Vec<Value>) {
    let texts: Vec<String> = hashes
        .iter()
        .filter_map(|value| match value {
            Value::Text(hash) => Some(hash.clone()),
            _ => None,
        })
        .collect();
    let sql = "t.id IN (SELECT id FROM messages INDEXED BY messages_hash
         WHERE prefix IN (SELECT value FROM json_each(?)))";
    (sql.to_owned(), vec![prefixes(&texts)])
}

fn clamp(count: u64) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}
