//! Deciding about one message, and writing the decision.

use beth_protocol::judge::{Complete, Rules, Verdict, judge, refuse_unfetched};
use beth_protocol::rejection::Code;
use beth_protocol::{Content, Message, Rejection, Status};
use beth_store::blobs::Extent;
use beth_store::pending::Arrival;
use beth_store::rows::Outcome;
use beth_store::{Error, State};
use tracing::warn;

use super::{Entry, News, Settled, Verified};
use crate::pipeline::now;

/// Keeps or drops what an arrival says about a transaction.
pub(super) fn note_confirmation(
    state: &State<'_>,
    entry: &Entry,
    done: &Settled,
) -> Result<(), Error> {
    let Some(outcome) = &done.outcome else {
        return Ok(());
    };
    // Nearly every message: nothing to keep, nothing to drop.
    if entry.arrival.transaction.is_none() && !matches!(outcome, Outcome::Rejected(_)) {
        return Ok(());
    }
    match entry.arrival.raw["item_hash"].as_str() {
        Some(item_hash) => state.note_confirmation(item_hash, &entry.arrival, outcome),
        None => Ok(()),
    }
}

pub(super) fn settle(
    state: &State<'_>,
    entry: &Entry,
    rules: &Rules,
    jitter: f64,
) -> Result<Settled, Error> {
    let arrival = &entry.arrival;
    let (message, rejection) = match &entry.verdict {
        Verified::Complete { complete, file } => {
            register_file(state, complete, *file)?;
            return judged(state, arrival, complete, (rules, jitter));
        }
        Verified::Malformed {
            item_hash,
            rejection,
        } => {
            let rejection = rejection.clone();
            return Ok(Settled::of(match item_hash {
                None => Outcome::Rejected(rejection),
                Some(hash) => state.reject(hash, arrival, rejection)?,
            }));
        }
        Verified::Failed => {
            let hash = arrival.raw["item_hash"].as_str();
            return match (hash, arrival.retry_of) {
                (Some(hash), Some(_)) => {
                    let rejection = Rejection::bare(Code::InternalError);
                    Ok(Settled::of(state.reject(hash, arrival, rejection)?))
                }
                _ => Ok(Settled::default()),
            };
        }
        Verified::Unfetched {
            complete,
            rejection,
        } => (&complete.message, rejection.clone()),
        Verified::Incomplete { message, rejection }
        | Verified::Refused { message, rejection }
        | Verified::Invalid { message, rejection } => (&**message, rejection.clone()),
    };
    if let Some(outcome) = state.settled(message.item_hash.as_str())? {
        state.discard(arrival)?;
        return Ok(Settled::of(outcome));
    }
    if !rejection.code.is_retryable() {
        return refuse(state, message, arrival, rejection);
    }
    if let Some(signature) = state.applied_signature(message.item_hash.as_str())? {
        // Another copy was complete; this one has nothing to wait for.
        if signature == message.signature {
            state.discard(arrival)?;
            return Ok(Settled::of(Outcome::Known));
        }
        let text = format!("Invalid signature for {}", message.item_hash);
        let rejection = Rejection::text(Code::InvalidSignature, text);
        return refuse(state, message, arrival, rejection);
    }
    if let Verified::Unfetched { complete, .. } = &entry.verdict {
        // A state that cannot be read is no reason to refuse.
        if let Ok(Some(rejection)) = refuse_unfetched(complete, state, rules, now()) {
            return refuse(state, message, arrival, rejection);
        }
    }
    // The first fetch begins at once.
    let pause = if arrival.retry_of.is_some() {
        jitter
    } else {
        0.0
    };
    wait(state, message, arrival, rejection, pause)
}

impl Settled {
    fn of(outcome: Outcome) -> Settled {
        Settled {
            outcome: Some(outcome),
            ..Settled::default()
        }
    }
}

pub(super) fn message_of(verdict: &Verified) -> Option<&Message> {
    match verdict {
        Verified::Complete { complete, .. } | Verified::Unfetched { complete, .. } => {
            Some(&complete.message)
        }
        Verified::Incomplete { message, .. }
        | Verified::Refused { message, .. }
        | Verified::Invalid { message, .. } => Some(message),
        Verified::Malformed { .. } | Verified::Failed => None,
    }
}

/// The size of a file is known before a message about it is judged, also when
/// a crash came between the file and its registration.
fn register_file(
    state: &State<'_>,
    complete: &Complete,
    file: Option<Extent>,
) -> Result<(), Error> {
    let (Content::Store(store), Some(extent)) = (&complete.content.typed, file) else {
        return Ok(());
    };
    let hash = store.item_hash.as_str();
    if state.knows_file(hash)? {
        return Ok(());
    }
    state.add_upload(hash, extent, now())
}

fn judged(
    state: &State<'_>,
    arrival: &Arrival,
    complete: &Complete,
    (rules, jitter): (&Rules, f64),
) -> Result<Settled, Error> {
    let message = &complete.message;
    let hash = message.item_hash.as_str();
    if let Some(outcome) = state.settled(hash)? {
        state.discard(arrival)?;
        return Ok(Settled::of(outcome));
    }
    let verdict = match judge(complete, state, rules, now()) {
        Ok(verdict) => verdict,
        Err(failure) => {
            warn!(%failure, hash, "a message could not be judged; it is tried again");
            Verdict::Wait(Rejection::bare(Code::InternalError))
        }
    };
    match verdict {
        Verdict::Known => {
            state.adopt_time(message)?;
            state.discard(arrival)?;
            Ok(Settled::of(Outcome::Known))
        }
        Verdict::Reject(rejection) => refuse(state, message, arrival, rejection),
        Verdict::Wait(rejection) => wait(state, message, arrival, rejection, jitter),
        Verdict::Accept(effects) => {
            state.apply(complete, &effects, rules, arrival.reception_time)?;
            Ok(Settled {
                outcome: Some(Outcome::Processed),
                news: News::Processed(arrival.reception_time),
                wakes_retry: state.wake(hash, now())? > 0,
            })
        }
    }
}

pub(super) fn wait(
    state: &State<'_>,
    message: &Message,
    arrival: &Arrival,
    rejection: Rejection,
    jitter: f64,
) -> Result<Settled, Error> {
    let outcome = state.wait(message, arrival, rejection, jitter, now())?;
    let (news, wakes_retry) = match &outcome {
        Outcome::Rejected(rejection) => (News::Rejected(rejection.clone()), false),
        _ if arrival.retry_of.is_some() => (News::Waiting, true),
        _ => (News::None, true),
    };
    Ok(Settled {
        outcome: Some(outcome),
        news,
        wakes_retry,
    })
}

fn refuse(
    state: &State<'_>,
    message: &Message,
    arrival: &Arrival,
    rejection: Rejection,
) -> Result<Settled, Error> {
    let outcome = state.reject(message.item_hash.as_str(), arrival, rejection)?;
    // A bad copy of a message that waits or is in force is nobody's news.
    let status = state.status(message.item_hash.as_str())?;
    let is_recorded = status.is_some_and(|(status, _)| status == Status::Rejected);
    let news = match &outcome {
        Outcome::Rejected(rejection) if is_recorded => News::Rejected(rejection.clone()),
        _ => News::None,
    };
    Ok(Settled {
        outcome: Some(outcome),
        news,
        wakes_retry: false,
    })
}
