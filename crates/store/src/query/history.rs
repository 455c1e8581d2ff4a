//! The credit history of an address: filters, orders, pages and sums
//! (core-api.md §7.8, §7.9).
//!
//! ```text
//!  address ─▶ credit_history_address ─▶ by time: stops when the page is full
//!                                     ─▶ by anything else: sorts the rows of this address
//! ```
//!
//! Rows of other addresses are never read.

use beth_protocol::MessageType;
use beth_protocol::time::Timestamp;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::credits::{CreditEvent, EVENT};
use super::plan::{Conditions, list, text};
use super::{Order, Page, Window};
use crate::error::Error;
use crate::keys::{prefix, type_of};
use crate::state::State;

/// Which rows, and in which order.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct HistoryFilter {
    pub tx_hash: Option<String>,
    pub token: Option<String>,
    pub chain: Option<String>,
    pub provider: Option<String>,
    pub origin: Option<String>,
    pub origin_ref: Option<String>,
    pub payment_method: Option<String>,
    /// Rows without a payment method go, too.
    pub excluded_payment_methods: Option<Vec<String>>,
    pub has_expiration: Option<bool>,
    /// From this moment on.
    pub start: Option<Timestamp>,
    /// Up to this moment; it belongs to the span.
    pub end: Option<Timestamp>,
    pub direction: Option<Direction>,
    /// Types of the message that the row is about, as long as it is in force.
    pub resource_types: Option<Vec<MessageType>>,
    /// The message that the row is about.
    pub resource: Option<String>,
    pub sort: HistorySort,
    /// Of the sort and of its tie-breaks.
    pub order: Order,
}

/// Credits that come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Direction {
    Incoming,
    Outgoing,
}

/// What a credit history is sorted by; rows that lack it come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HistorySort {
    #[default]
    Time,
    Expiration,
    PaymentMethod,
    Amount,
    Origin,
    TxHash,
    Provider,
}

/// A place in a credit history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPlace {
    /// What the list is sorted by.
    pub value: HistoryValue,
    /// First tie-break: the post.
    pub credit_ref: String,
    /// Second tie-break: the position in it.
    pub credit_index: i64,
}

/// A value that a credit history is sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HistoryValue {
    Nothing,
    Moment(Timestamp),
    Number(i64),
    Text(String),
}

/// A credit history in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct HistorySummary {
    pub entries: u64,
    /// Credits that came.
    pub incoming: i64,
    /// Credits that went: zero or less.
    pub outgoing: i64,
}

impl HistorySort {
    fn column(self) -> &'static str {
        match self {
            HistorySort::Time => "time",
            HistorySort::Expiration => "expiration",
            HistorySort::PaymentMethod => "payment_method",
            HistorySort::Amount => "amount",
            HistorySort::Origin => "origin",
            HistorySort::TxHash => "tx_hash",
            HistorySort::Provider => "provider",
        }
    }

    /// The place of a row in this order.
    pub fn place(self, event: &CreditEvent) -> HistoryPlace {
        let record = &event.record;
        let text = |value: &Option<String>| match value {
            Some(value) => HistoryValue::Text(value.clone()),
            None => HistoryValue::Nothing,
        };
        let value = match self {
            HistorySort::Time => HistoryValue::Moment(event.time),
            HistorySort::Expiration => record
                .expiration
                .map_or(HistoryValue::Nothing, HistoryValue::Moment),
            HistorySort::PaymentMethod => text(&record.payment_method),
            HistorySort::Amount => HistoryValue::Number(record.amount),
            HistorySort::Origin => text(&record.origin),
            HistorySort::TxHash => text(&record.tx_hash),
            HistorySort::Provider => text(&record.provider),
        };
        HistoryPlace {
            value,
            credit_ref: event.credit_ref.clone(),
            credit_index: i64::from(record.index),
        }
    }
}

impl HistoryValue {
    fn sql(&self) -> Value {
        match self {
            HistoryValue::Nothing => Value::Null,
            HistoryValue::Moment(time) => time.micros().into(),
            HistoryValue::Number(number) => (*number).into(),
            HistoryValue::Text(value) => text(value),
        }
    }
}

const TABLE: &str = "credit_history INDEXED BY credit_history_address";
/// The message that a row is about.
const RESOURCE: &str = "coalesce(origin, origin_ref)";

impl State<'_> {
    /// A part of the credit history of an address.
    pub fn credit_history(
        &self,
        address: &str,
        filter: &HistoryFilter,
        window: &Window<HistoryPlace>,
    ) -> Result<Page<CreditEvent, HistoryPlace>, Error> {
        let mut conditions = self.history_conditions(address, filter)?;
        let total = format!("SELECT count(*) FROM {TABLE} WHERE {}", conditions.sql());
        let total_params = conditions.params();
        if let Some(place) = window.key() {
            after(&mut conditions, filter, place);
        }
        let (column, order) = (filter.sort.column(), filter.order.sql());
        let absent = match filter.sort {
            HistorySort::Time | HistorySort::Amount => String::new(),
            _ => format!("{column} IS NULL, "),
        };
        let sql = format!(
            "SELECT {EVENT} FROM {TABLE} WHERE {}
             ORDER BY {absent}{column} {order}, credit_ref {order}, credit_index {order} LIMIT ? OFFSET ?",
            conditions.sql(),
        );
        let rows = self.credit_events(&sql, params_from_iter(conditions.windowed(window)))?;
        window.page(
            rows,
            |row| filter.sort.place(row),
            || self.number(&total, total_params),
        )
    }

    /// What the credit history of an address sums up to.
    pub fn credit_summary(
        &self,
        address: &str,
        filter: &HistoryFilter,
    ) -> Result<HistorySummary, Error> {
        let conditions = self.history_conditions(address, filter)?;
        let sql = format!(
            "SELECT count(*), coalesce(sum(max(amount, 0)), 0), coalesce(sum(min(amount, 0)), 0)
             FROM {TABLE} WHERE {}",
            conditions.sql()
        );
        let row = self.one(&sql, params_from_iter(conditions.params()), |row| {
            Ok(HistorySummary {
                entries: row.get::<_, i64>(0)?.max(0) as u64,
                incoming: row.get(1)?,
                outgoing: row.get(2)?,
            })
        })?;
        Ok(row.unwrap_or_default())
    }

    fn history_conditions(
        &self,
        address: &str,
        filter: &HistoryFilter,
    ) -> Result<Conditions, Error> {
        let mut conditions = Conditions::default();
        conditions.add("address = ?", [text(address)]);
        for (column, value) in [
            ("tx_hash", &filter.tx_hash),
            ("token", &filter.token),
            ("chain", &filter.chain),
            ("provider", &filter.provider),
            ("origin", &filter.origin),
            ("origin_ref", &filter.origin_ref),
            ("payment_method", &filter.payment_method),
            (RESOURCE, &filter.resource),
        ] {
            if let Some(value) = value {
                conditions.add(format!("{column} = ?"), [text(value)]);
            }
        }
        if let Some(methods) = &filter.excluded_payment_methods {
            conditions.add(
                "payment_method NOT IN (SELECT value FROM json_each(?))",
                [list(methods)],
            );
        }
        match filter.has_expiration {
            Some(true) => conditions.add("expiration IS NOT NULL", []),
            Some(false) => conditions.add("expiration IS NULL", []),
            None => {}
        }
        for (comparison, moment) in [(">=", filter.start), ("<=", filter.end)] {
            if let Some(moment) = moment {
                conditions.add(format!("time {comparison} ?"), [moment.micros().into()]);
            }
        }
        match filter.direction {
            Some(Direction::Incoming) => conditions.add("amount > 0", []),
            Some(Direction::Outgoing) => conditions.add("amount < 0", []),
            None => {}
        }
        if let Some(types) = &filter.resource_types {
            let resources = self.resources_of(address, types)?;
            conditions.add(
                format!("{RESOURCE} IN (SELECT value FROM json_each(?))"),
                [list(&resources)],
            );
        }
        Ok(conditions)
    }

    /// Messages of these types that the history of an address is about.
    fn resources_of(&self, address: &str, types: &[MessageType]) -> Result<Vec<String>, Error> {
        let mut resources: Vec<String> = self.all(
            &format!("SELECT DISTINCT {RESOURCE} FROM {TABLE} WHERE address = ?1 AND {RESOURCE} IS NOT NULL"),
            [address],
            |row| row.get(0),
        )?;
        let mut failure = None;
        resources.retain(|hash| {
            self.type_of_message(hash)
                .map(|found| found.is_some_and(|found| types.contains(&found)))
                .unwrap_or_else(|error| {
                    failure.get_or_insert(error);
                    false
                })
        });
        failure.map_or(Ok(resources), Err)
    }

    fn type_of_message(&self, item_hash: &str) -> Result<Option<MessageType>, Error> {
        let code: Option<i64> = self.one(
            "SELECT type FROM messages INDEXED BY messages_hash WHERE prefix = ?1 AND item_hash = ?2",
            (prefix(item_hash), item_hash),
            |row| row.get(0),
        )?;
        code.map(type_of).transpose()
    }
}

/// Only rows after a place.
fn after(conditions: &mut Conditions, filter: &HistoryFilter, place: &HistoryPlace) {
    let (column, later) = (filter.sort.column(), filter.order.later());
    let ties = [text(&place.credit_ref), place.credit_index.into()];
    let value = place.value.sql();
    match (&place.value, filter.sort) {
        (_, HistorySort::Time) => {
            let [credit_ref, index] = ties;
            conditions.add(
                format!("(time, credit_ref, credit_index) {later} (?, ?, ?)"),
                [value, credit_ref, index],
            );
        }
        (HistoryValue::Nothing, _) => conditions.add(
            format!("{column} IS NULL AND (credit_ref, credit_index) {later} (?, ?)"),
            ties,
        ),
        _ => {
            let [credit_ref, index] = ties;
            conditions.add(
                format!(
                    "({column} {later} ? OR {column} IS NULL
                      OR ({column} = ? AND (credit_ref, credit_index) {later} (?, ?)))"
                ),
                [value.clone(), value, credit_ref, index],
            );
        }
    }
}
