//! The whole logical state, as text that can be compared: everything that the
//! node can be asked about the messages, people and files of a history.
//!
//! Left out is what may differ between nodes: when something was received, in
//! which rows it is stored, until when a file is kept, and why a message still
//! waits. The members of an aggregate keep their order: it is served as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use beth_protocol::content::PaymentType;
use beth_protocol::rejection::Code;
use beth_protocol::time::Timestamp;
use beth_protocol::{Content, Status, View};
use beth_store::query::aggregates::AggregateFilter;
use beth_store::query::messages::MessageFilter;
use beth_store::query::posts::{ListedPost, PostFilter};
use beth_store::query::{Order, Window};
use beth_store::rows::StoredMessage;
use beth_store::{Error, State};
use serde_json::Value;

use super::Step;

/// One line for each thing, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump(pub BTreeMap<String, String>);

/// Reads the state of these messages and people. `now` decides which credits
/// have expired.
pub fn dump(
    state: &State<'_>,
    steps: &[Step],
    addresses: &[String],
    now: Timestamp,
) -> Result<Dump, Error> {
    let mut dump = Dump::default();
    let references: BTreeSet<String> = steps.iter().flat_map(references).collect();
    for reference in &references {
        dump.of_reference(state, reference)?;
    }
    for step in steps {
        dump.of_message(state, step.hash())?;
    }
    for address in addresses {
        dump.of_address(state, address, now)?;
    }
    dump.of_lists(state)?;
    Ok(dump)
}

impl Dump {
    /// What two dumps disagree about; empty when they are equal.
    pub fn differences(&self, other: &Dump) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let line = |dump: &Dump, name: &String| dump.0.get(name).cloned().unwrap_or_default();
        names
            .into_iter()
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .map(|name| {
                format!(
                    "{name}\n    {}\n    {}",
                    line(self, name),
                    line(other, name)
                )
            })
            .collect()
    }

    fn add(&mut self, thing: &str, name: &str, value: impl Debug) {
        self.0
            .insert(format!("{thing} {name}"), format!("{value:?}"));
    }

    fn of_message(&mut self, state: &State<'_>, hash: &str) -> Result<(), Error> {
        self.add("status", hash, fate(state, hash)?);
        let stored = state.stored_message(hash)?;
        self.add("message", hash, stored.as_ref().map(message));
        self.add("forgotten", hash, state.forgotten_message(hash)?);
        self.add("costs", hash, state.costs_of(hash)?);
        let amendable = state.program_allows_amend(hash).map_err(damaged)?;
        self.add("amendable", hash, amendable);
        self.add("amends", hash, state.amends(hash).map_err(damaged)?);
        self.add("body", hash, state.count_pins(hash)?);
        Ok(())
    }

    /// A hash or label that files are found by.
    fn of_reference(&mut self, state: &State<'_>, name: &str) -> Result<(), Error> {
        self.add("file of tag", name, state.file_of_tag(name)?);
        let tag = state.tag(name).map_err(damaged)?;
        self.add("tag", name, tag.map(|tag| tag.last_updated));
        self.add("pin", name, state.file_of_message(name)?);
        let user = state.machine_using(name).map_err(damaged)?;
        self.add("used by", name, user);
        Ok(())
    }

    fn of_address(
        &mut self,
        state: &State<'_>,
        address: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        // Asking for it first brings the lots up to date.
        let credits = state.credit_balance(address, now).map_err(damaged)?;
        self.add("credit balance", address, credits.to_string());
        self.add("balances", address, state.balances_by_chain(address)?);
        self.add(
            "credits",
            address,
            state.credits_by_expiration(address, now)?,
        );
        self.add(
            "credits ever",
            address,
            state.credits_by_expiration(address, Timestamp::from_micros(0))?,
        );
        for payment in [
            PaymentType::Hold,
            PaymentType::Superfluid,
            PaymentType::Credit,
        ] {
            let owed = state.committed(address, payment).map_err(damaged)?;
            self.add(
                "owes",
                &format!("{address} {}", payment.as_str()),
                owed.to_cost_string(),
            );
        }
        self.add("files", address, state.files_total(address)?);
        Ok(())
    }

    fn of_lists(&mut self, state: &State<'_>) -> Result<(), Error> {
        let all = MessageFilter::default();
        let mut listed: Vec<String> = Vec::new();
        for row in state.messages(&all, &everything())?.rows {
            listed.push(row.message.item_hash.to_string());
        }
        self.add("list", "messages", listed);
        for post in state.posts(&PostFilter::default(), &everything())?.rows {
            self.add("post", post.original.item_hash.as_str(), shown(&post));
        }
        for row in state
            .aggregates(&AggregateFilter::default(), &everything())?
            .rows
        {
            let name = format!("{} {}", row.owner, row.key);
            let content = Value::Object(row.content).to_string();
            let span = (row.created, row.first_hash, row.last_updated, row.last_hash);
            self.add("aggregate", &name, (span, content));
        }
        let forgotten = state.forgotten_messages(&all, &everything())?.rows;
        self.add("list", "forgotten", forgotten.len());
        self.add("list", "triggers", state.triggers(Order::Ascending)?);
        self.add("list", "messages stored", state.totals()?.messages);
        Ok(())
    }
}

/// A whole list.
fn everything<K>() -> Window<K> {
    Window::Page { number: 1, size: 0 }
}

/// The status; with the reason, if it was refused. To be tried again and to
/// have been tried too often is the same: only time lies between them.
fn fate(state: &State<'_>, hash: &str) -> Result<String, Error> {
    let status = state.status(hash)?.map(|(status, _)| status);
    if status == Some(Status::Pending) {
        return Ok("waits".to_owned());
    }
    let refused = match status {
        Some(Status::Rejected) => state.rejection(hash)?,
        _ => None,
    };
    Ok(match refused {
        Some(refused) if Code::from_number(refused.error_code).is_some_and(Code::is_retryable) => {
            "waits".to_owned()
        }
        Some(refused) => format!("rejected {} {}", refused.error_code, refused.details),
        None => status.map_or_else(String::new, |status| status.to_string()),
    })
}

fn message(stored: &StoredMessage) -> (String, String, u64, Status) {
    let content = stored.content.to_string();
    (
        stored.message.to_wire(),
        content,
        stored.size,
        stored.status,
    )
}

fn shown(post: &ListedPost) -> (String, Timestamp) {
    (post.current().item_hash.clone(), post.last_updated)
}

/// Names under which files may be looked for because of this message.
fn references(step: &Step) -> Vec<String> {
    let mut names = vec![step.hash().to_owned()];
    let content = step.message.inline_content().ok().flatten();
    if let Some(Content::Store(store)) = content.map(|content| content.typed) {
        names.push(store.item_hash.to_string());
        if let Some(reference) = &store.reference {
            names.push(format!("{}/{reference}", store.address));
        }
    }
    names
}

fn damaged(error: beth_protocol::view::ViewError) -> Error {
    Error::Damaged(error.to_string())
}
