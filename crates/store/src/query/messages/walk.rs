//! From a filter to the ids of messages in order: which index is walked, what
//! is checked on the way, and the statement.
//!
//! ```text
//!  lists ─ tallies ─▶ the cheapest way ─▶ one scan a value ─▶ merged ─▶ ids
//!                     (rows passed × price of a row)  each cut at the page's end
//! ```
//!
//! A walk in the order of the list stops at the end of the page. One out of
//! order (many values, or by confirmation along another index) reads all its
//! rows and sorts them, so it is chosen for few rows only.

use rusqlite::types::Value;

use super::MessageSort;
use super::column::{Column, Way};
use super::wanted::Wanted;
use crate::keys::prefix;
use crate::query::Cut;
use crate::query::plan::{Conditions, SCANS_MAX, equal};

/// The price of reading the row of a message, in entries of an index.
const ROW_PRICE: f64 = 10.0;
/// The price of looking for the tags of a message.
const TAG_PRICE: f64 = 6.0;
/// How much of the longest possible walk counts beside the expected one.
const DOUBT: f64 = 0.05;

/// The place of a message in a list, exact, for this node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(super) confirmed: i64,
    pub(super) time: i64,
    pub(super) prefix: i64,
    pub(super) id: i64,
}

/// One scan: a way, and the values of its column.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) way: Way,
    pub(super) values: Vec<Value>,
}

/// How many messages there are: with a value of each column, and at all.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    pub(super) all: f64,
    /// Of the types asked for.
    pub(super) of_types: f64,
    pub(super) removing: f64,
    pub(super) of: Vec<(Column, Size)>,
}

/// How many messages have one of the values of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Of every type: so many are passed.
    count: f64,
    /// Among those of the types asked for: the share that has one.
    share: f64,
}

impl Size {
    pub(super) fn of(count: f64, share: f64) -> Size {
        Size { count, share }
    }
}

impl Sizes {
    fn of(&self, column: Column) -> f64 {
        let found = self.of.iter().find(|(listed, _)| *listed == column);
        found.map_or(self.all, |(_, size)| size.count)
    }

    /// Messages that match, if properties were independent.
    fn matching(&self) -> f64 {
        let shares = self.of.iter().map(|(_, size)| size.share);
        (self.of_types * shares.product::<f64>()).max(0.5)
    }

    /// True when one of the kept counts says that no message matches.
    pub(super) fn is_none(&self) -> bool {
        let is_none = |(column, size): &(Column, Size)| {
            (column.dimension().is_some() || *column == Column::Type)
                && size.count.min(size.share) == 0.0
        };
        self.of.iter().any(is_none)
    }
}

impl Wanted {
    /// The scans that find rows of a page soonest. `need`: rows up to its end.
    pub(super) fn walks_to(&self, need: f64, sizes: &Sizes) -> Vec<Walk> {
        let matching = sizes.matching();
        let (way, _) = self.cheapest(sizes, |way, count| {
            let expected = if self.is_ordered(way) {
                count.min(need * count / matching)
            } else {
                count * 2.0
            };
            expected + DOUBT * count
        });
        self.split(way)
    }

    /// The scans that pass the fewest rows, and what that costs in entries of
    /// an index.
    pub(super) fn walks_through(&self, sizes: &Sizes) -> (Vec<Walk>, f64) {
        let (way, price) = self.cheapest(sizes, |_, count| count);
        let walks = if way.is_tags() {
            let values = self.values(Column::Tag).unwrap_or_default().to_vec();
            vec![Walk { way, values }]
        } else {
            self.split(way)
        };
        (walks, price)
    }

    fn cheapest(&self, sizes: &Sizes, steps: impl Fn(Way, f64) -> f64) -> (Way, f64) {
        let mut best = (f64::INFINITY, Way::Time);
        let mut consider = |way: Way, count: f64| {
            let cost = steps(way, count) * self.price(way);
            if cost < best.0 {
                best = (cost, way);
            }
        };
        for (column, values) in &self.lists {
            if column.is_indexed(values) {
                consider(Way::Of(*column), sizes.of(*column));
            }
        }
        if self.status == Some(1) {
            consider(Way::Removing, sizes.removing);
        }
        if self.is_by_confirmation() || self.blocks.is_limited() {
            consider(Way::Confirmed, sizes.all);
        }
        consider(Way::Time, sizes.all);
        (best.1, best.0)
    }

    /// One walk a value, where these can be merged.
    fn split(&self, way: Way) -> Vec<Walk> {
        let Way::Of(column) = way else {
            let values = Vec::new();
            return vec![Walk { way, values }];
        };
        let values = self.values(column).unwrap_or_default();
        let size = if self.is_ordered(way) {
            1
        } else {
            values.len()
        };
        let mut walks = Vec::new();
        for values in values.chunks(size.max(1)) {
            let values = values.to_vec();
            if column == Column::Owner {
                let (way, values) = (Way::OtherOwner, values.clone());
                walks.push(Walk { way, values });
            }
            walks.push(Walk { way, values });
        }
        walks
    }

    /// True when a walk meets rows in the order of the list.
    fn is_ordered(&self, way: Way) -> bool {
        let by_confirmation = self.is_by_confirmation();
        match way {
            Way::Confirmed => by_confirmation,
            Way::Time | Way::Removing => !by_confirmation,
            // Scattered hashes are looked up, not scanned.
            Way::Of(Column::Hash) => false,
            Way::Of(column) => {
                let values = self.values(column).map_or(0, <[Value]>::len);
                !by_confirmation && values <= SCANS_MAX
            }
            Way::OtherOwner => false,
        }
    }

    pub(super) fn is_by_confirmation(&self) -> bool {
        self.sort == MessageSort::Confirmation
    }

    /// What passing one row costs.
    fn price(&self, way: Way) -> f64 {
        let mut price = if self.needs_row(way) { ROW_PRICE } else { 1.0 };
        if way != Way::Of(Column::Tag) && self.values(Column::Tag).is_some() {
            price += TAG_PRICE;
        }
        price
    }

    /// True when the index does not hold all that is looked at.
    fn needs_row(&self, way: Way) -> bool {
        let about_blocks = self.is_by_confirmation() || self.blocks.is_limited();
        (about_blocks && way != Way::Confirmed)
            || (self.status.is_some() && way.is_tags())
            || self.lists.iter().any(|(column, _)| {
                way != Way::Of(*column) && *column != Column::Tag && !way.holds(*column)
            })
    }

    /// `FROM` and the conditions of one walk.
    pub(super) fn scan(&self, walk: &Walk, after: Option<&Mark>) -> (String, Conditions) {
        let mut from = walk.way.from().to_owned();
        if walk.way.is_tags() && self.needs_row(walk.way) {
            from.push_str(" CROSS JOIN messages AS m ON m.id = t.id");
        }
        let mut conditions = Conditions::default();
        self.limit_walk(walk, &mut conditions);
        let row = row_of(walk.way);
        for (column, values) in &self.lists {
            let is_walked = match walk.way {
                Way::Of(walked) => walked == *column,
                Way::OtherOwner => *column == Column::Owner,
                _ => false,
            };
            match column {
                _ if is_walked => {}
                Column::Tag => conditions.add_all(has_tag(values)),
                column if walk.way.holds(*column) => {
                    conditions.add_all(equal(&format!("t.{}", column.sql()), values));
                }
                column => conditions.add_all(equal(&format!("{row}.{}", column.sql()), values)),
            }
        }
        if let Some(status) = self.status {
            conditions.add(format!("{row}.status = ?"), [status.into()]);
        }
        if let Some(start) = self.blocks.start {
            conditions.add(format!("{row}.height >= ?"), [start.into()]);
        }
        if let Some(end) = self.blocks.end {
            conditions.add(format!("{row}.height < ?"), [end.into()]);
        }
        conditions.within("t.time", self.span);
        if let Some(mark) = after {
            self.follow(walk, mark, &mut conditions);
        }
        (from, conditions)
    }

    fn limit_walk(&self, walk: &Walk, conditions: &mut Conditions) {
        match walk.way {
            Way::Of(Column::Hash) => {
                let texts = walk.values.iter().filter_map(|value| match value {
                    Value::Text(hash) => Some(Value::Integer(prefix(hash))),
                    _ => None,
                });
                conditions.add_all(equal("t.prefix", &texts.collect::<Vec<_>>()));
                conditions.add_all(equal("t.item_hash", &walk.values));
            }
            Way::Of(Column::Owner) => conditions.add_all(equal("t.sender", &walk.values)),
            Way::OtherOwner => conditions.add_all(equal("t.owner", &walk.values)),
            Way::Of(column) => {
                conditions.add_all(equal(&format!("t.{}", column.sql()), &walk.values));
            }
            Way::Time | Way::Removing | Way::Confirmed => {}
        }
        if let Some(partial) = walk.way.partial() {
            conditions.add(partial, []);
        }
    }

    /// Only what comes after a place.
    fn follow(&self, walk: &Walk, mark: &Mark, conditions: &mut Conditions) {
        let later = self.order.later();
        let (keys, marks, values) = if self.is_by_confirmation() {
            let keys = format!("({}.confirmed, t.time)", row_of(walk.way));
            (keys, "(?, ?)", vec![mark.confirmed, mark.time])
        } else {
            ("t.time".to_owned(), "?", vec![mark.time])
        };
        let tie = [mark.prefix, mark.prefix, mark.id];
        let params = values.iter().chain(&values).chain(&tie);
        // The first condition is implied; it is what bounds the range scan.
        conditions.add(
            format!(
                "{keys} {later}= {marks} AND ({keys} {later} {marks} OR t.prefix > ? OR (t.prefix = ? AND t.id > ?))"
            ),
            params.map(|number| Value::Integer(*number)),
        );
    }

    /// The statement for the ids of a part of the list.
    pub(super) fn ids(&self, walks: &[Walk], cut: &Cut<Mark>) -> (String, Vec<Value>) {
        let window = [clamp(cut.rows), clamp(cut.skip)];
        let (sql, mut params) = match walks {
            [walk] => {
                let (from, conditions) = self.scan(walk, cut.after.as_ref());
                // A message has several tags but one of everything else.
                let once = if walk.way.is_tags() && walk.values.len() > 1 {
                    "GROUP BY t.id"
                } else {
                    ""
                };
                let (found, order) = (conditions.sql(), self.order_by(row_of(walk.way), "t."));
                let sql = format!("SELECT t.id FROM {from} WHERE {found} {once} {order}");
                (sql, conditions.params())
            }
            walks => self.merged(walks, cut),
        };
        params.extend(window);
        (format!("{sql} LIMIT ? OFFSET ?"), params)
    }

    /// Every scan is cut where the page must end, then they are merged.
    fn merged(&self, walks: &[Walk], cut: &Cut<Mark>) -> (String, Vec<Value>) {
        let (mut parts, mut params) = (Vec::new(), Vec::new());
        for walk in walks {
            let (from, conditions) = self.scan(walk, cut.after.as_ref());
            let row = row_of(walk.way);
            let confirmed = if self.is_by_confirmation() {
                format!(", {row}.confirmed AS confirmed")
            } else {
                String::new()
            };
            parts.push(format!(
                "SELECT * FROM (SELECT t.id AS id, t.time AS time, t.prefix AS prefix{confirmed} FROM {from} WHERE {} {} LIMIT ?)",
                conditions.sql(),
                self.order_by(row, "t.")
            ));
            params.extend(conditions.params());
            params.push(clamp(cut.rows.saturating_add(cut.skip)));
        }
        let union = if walks.iter().any(|walk| walk.way.is_tags()) {
            " UNION "
        } else {
            " UNION ALL "
        };
        let order = self.order_by("", "");
        (
            format!("SELECT id FROM ({}) {order}", parts.join(union)),
            params,
        )
    }

    /// `row`: the table of the confirmation; `walked`: that of the rest, with
    /// its dot.
    fn order_by(&self, row: &str, walked: &str) -> String {
        let direction = self.order.sql();
        let dot = if row.is_empty() { "" } else { "." };
        let confirmed = if self.is_by_confirmation() {
            format!("{row}{dot}confirmed {direction}, ")
        } else {
            String::new()
        };
        format!("ORDER BY {confirmed}{walked}time {direction}, {walked}prefix, {walked}id")
    }
}

fn clamp(count: u64) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Where the row of the message is.
fn row_of(way: Way) -> &'static str {
    if way.is_tags() { "m" } else { "t" }
}

fn has_tag(tags: &[Value]) -> (String, Vec<Value>) {
    let (wanted, params) = equal("tagged.tag", tags);
    let sql = format!(
        "EXISTS (SELECT 1 FROM message_tags AS tagged INDEXED BY message_tags_message WHERE tagged.id = t.id AND {wanted})"
    );
    (sql, params)
}
