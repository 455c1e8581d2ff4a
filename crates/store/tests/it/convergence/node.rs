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

use crate::history::History;
use crate::history::order::Delivery;

/// The clock stands still, so that only what was awaited ends a wait.
pub const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
/// Longest pause between two tries.
const JITTER: f64 = 1.0;

pub struct Node<'a> {
    pub history: &'a History,
    /// Messages that came early and were processed later.
    pub waited: u64,
    /// Messages that were kept waiting when they came first.
    early: HashSet<String>,
    previous: Option<Delivery>,
}

impl<'a> Node<'a> {
    pub fn new(history: &'a History) -> Node<'a> {
        Node {
            history,
            waited: 0,
            early: HashSet::new(),
            previous: None,
        }
    }

    /// Takes a batch.
    pub fn hear(&mut self, state: &State<'_>, batch: &[Delivery]) -> Result<(), Error> {
        for delivery in batch {
            match *delivery {
                Delivery::First(step) => self.first(state, step)?,
                Delivery::Again(step) => self.again(state, step)?,
                Delivery::Forged(step) => self.forged(state, step)?,
            }
            self.previous = Some(*delivery);
        }
        Ok(())
    }

    fn first(&mut self, state: &State<'_>, step: usize) -> Result<(), Error> {
        let message = self.history.steps[step].message.clone();
        let hash = message.item_hash.to_string();
        if let Outcome::Pending(_) = self.take(state, message, None)? {
            self.early.insert(hash);
        }
        self.retry(state)
    }

    /// A refused message may be refused for other reasons later, or not at
    /// all; that is no repetition, so it is only repeated at once.
    fn again(&mut self, state: &State<'_>, step: usize) -> Result<(), Error> {
        let at_once = self.previous == Some(Delivery::First(step));
        let message = self.history.steps[step].message.clone();
        let status = state.status(message.item_hash.as_str())?;
        let refused = matches!(status, Some((Status::Rejected, _)));
        if refused && !at_once {
            return Ok(());
        }
        self.take(state, message, None)?;
        self.retry(state)
    }

    /// A copy under another valid signature changes nothing once the message
    /// is decided.
    fn forged(&mut self, state: &State<'_>, step: usize) -> Result<(), Error> {
        let mut message = self.history.steps[step].message.clone();
        let status = state.status(message.item_hash.as_str())?;
        if let Some((Status::Processed | Status::Forgotten, _)) = status {
            message.signature = Some("0x00".into());
            let outcome = self.take(state, message, None)?;
            assert!(
                matches!(outcome, Outcome::Rejected(_) | Outcome::Final(_)),
                "{outcome:?}"
            );
        }
        Ok(())
    }

    /// Tries whatever is due, until nothing is.
    fn retry(&mut self, state: &State<'_>) -> Result<(), Error> {
        loop {
            let due = state.due(NOW, 100)?;
            if due.is_empty() {
                return Ok(());
            }
            for pending in due {
                let message = Message::parse(&pending.message).unwrap();
                let hash = message.item_hash.to_string();
                let outcome = self.take(state, message, Some(pending.id))?;
                if outcome == Outcome::Processed && self.early.remove(&hash) {
                    self.waited += 1;
                }
            }
        }
    }

    fn take(
        &self,
        state: &State<'_>,
        message: Message,
        retry_of: Option<i64>,
    ) -> Result<Outcome, Error> {
        let arrival = Arrival {
            raw: serde_json::from_str(&message.to_wire()).unwrap(),
            reception_time: NOW,
            origin: "p2p",
            retry_of,
            gone: Vec::new(),
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
        let complete = Complete::new(message, content);
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
                state.apply(&complete, &effects, rules, NOW)?;
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
