//! What a node does with a message once it is verified, without its threads:
//! judge, apply or keep waiting, and try again what waited for it.

use std::collections::HashSet;

use beth_protocol::judge::{Complete, judge};
use beth_protocol::time::Timestamp;
use beth_protocol::{Message, Status, Verdict};
use beth_store::pending::Arrival;
use beth_store::rows::Outcome;
use beth_store::{Error, State};
use serde_json::{Value, json};

use super::Ending;
use crate::history::History;
use crate::history::order::Delivery;

/// The clock stands still, so that only what was awaited ends a wait.
pub const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
/// Longest pause between two tries.
const JITTER: f64 = 1.0;

pub struct Node<'a> {
    state: &'a State<'a>,
    history: &'a History,
    /// Messages that were kept waiting when they came first.
    early: HashSet<String>,
    waited: u64,
}

impl<'a> Node<'a> {
    pub fn new(state: &'a State<'a>, history: &'a History) -> Result<Node<'a>, Error> {
        for (hash, bytes) in &history.files {
            state.add_file(hash, bytes.len() as u64)?;
        }
        Ok(Node {
            state,
            history,
            early: HashSet::new(),
            waited: 0,
        })
    }

    pub fn hear(mut self, deliveries: &[Delivery]) -> Result<Ending, Error> {
        for (place, delivery) in deliveries.iter().enumerate() {
            match *delivery {
                Delivery::First(step) => self.first(step)?,
                Delivery::Again(step) => {
                    let at_once = place > 0 && deliveries[place - 1] == Delivery::First(step);
                    self.again(step, at_once)?;
                }
                Delivery::Forged(step) => self.forged(step)?,
            }
        }
        let next = self.state.next_due()?;
        assert!(next.is_none_or(|due| due > NOW), "something was forgotten");
        Ending::of(self.state, self.history, self.waited)
    }

    fn first(&mut self, step: usize) -> Result<(), Error> {
        let message = self.history.steps[step].message.clone();
        let hash = message.item_hash.to_string();
        if let Outcome::Pending(_) = self.take(message, None)? {
            self.early.insert(hash);
        }
        self.retry()
    }

    /// A refused message may be refused for other reasons later, or not at
    /// all; that is no repetition, so it is only repeated at once.
    fn again(&mut self, step: usize, at_once: bool) -> Result<(), Error> {
        let message = self.history.steps[step].message.clone();
        let status = self.state.status(message.item_hash.as_str())?;
        let refused = matches!(status, Some((Status::Rejected, _)));
        if refused && !at_once {
            return Ok(());
        }
        self.take(message, None)?;
        self.retry()
    }

    /// A copy under another valid signature changes nothing once the message
    /// is decided.
    fn forged(&mut self, step: usize) -> Result<(), Error> {
        let mut message = self.history.steps[step].message.clone();
        let status = self.state.status(message.item_hash.as_str())?;
        if let Some((Status::Processed | Status::Forgotten, _)) = status {
            message.signature = Some("0x00".into());
            let outcome = self.take(message, None)?;
            assert!(
                matches!(outcome, Outcome::Rejected(_) | Outcome::Final(_)),
                "{outcome:?}"
            );
        }
        Ok(())
    }

    /// Tries whatever is due, until nothing is.
    fn retry(&mut self) -> Result<(), Error> {
        loop {
            let due = self.state.due(NOW, 100)?;
            if due.is_empty() {
                return Ok(());
            }
            for pending in due {
                let message = Message::parse(&pending.message).unwrap();
                let hash = message.item_hash.to_string();
                let outcome = self.take(message, Some(pending.id))?;
                if outcome == Outcome::Processed && self.early.remove(&hash) {
                    self.waited += 1;
                }
            }
        }
    }

    fn take(&self, message: Message, retry_of: Option<i64>) -> Result<Outcome, Error> {
        let state = self.state;
        let arrival = Arrival {
            raw: serde_json::from_str(&message.to_wire()).unwrap(),
            reception_time: NOW,
            origin: "p2p",
            retry_of,
            transaction: None,
        };
        let hash = message.item_hash.to_string();
        if let Some(outcome) = state.settled(&hash)? {
            state.discard(&arrival)?;
            return Ok(outcome);
        }
        let content = match message.inline_content() {
            Ok(content) => content.unwrap(),
            Err(rejection) => panic!("{rejection}: {:?}", message.item_content),
        };
        let complete = Complete { message, content };
        let rules = &self.history.rules;
        let verdict = judge(&complete, state, rules, NOW)
            .map_err(|error| Error::Damaged(error.to_string()))?;
        match verdict {
            Verdict::Known => {
                state.discard(&arrival)?;
                Ok(Outcome::Known)
            }
            Verdict::Reject(rejection) => state.reject(&hash, &arrival, rejection),
            Verdict::Wait(rejection) => {
                state.wait(&complete.message, &arrival, rejection, JITTER, NOW)
            }
            Verdict::Accept(effects) => {
                state.savepoint(|state| state.apply(&complete, &effects, rules, NOW))?;
                state.wake(&hash, NOW)?;
                Ok(Outcome::Processed)
            }
        }
    }
}

/// True for a FORGET of an aggregate without any revision.
pub fn awaits_an_aggregate(state: &State<'_>, hash: &str) -> Result<bool, Error> {
    let copies = state.pending_copies(hash)?;
    Ok(copies.iter().any(|copy| {
        let details = copy
            .reason
            .as_ref()
            .map_or(&Value::Null, |(_, details)| details);
        details["errors"][0]
            .get("aggregate")
            .unwrap_or(&json!(null))
            != &Value::Null
    }))
}
