//! Judging: what a complete, authentic message does to the state.
//!
//! [`judge`] is a pure function of the message, a read view and the rules; it
//! answers with a [`Verdict`]. The same function serves live, retried and
//! replayed messages.
//!
//! ```text
//!  permissions ─▶ dependencies ─▶ payment ─▶ effects
//!       │               │             │          │
//!    Reject           Wait         Reject      Accept(Effects)
//! ```
//!
//! Permissions come before dependencies (processing.md §5): who may not act is
//! told so at once. One difference by name: an amend whose original is not
//! known waits for it (101), even where the sender's rights could be denied by
//! the amend itself. The original decides what those rights are, so an earlier
//! answer would depend on the order in which the two arrive. For the same
//! reason a FORGET waits for its targets (501) before any is asked for permission.
//!
//! A refusal is a value. `Err` means that the state could not be read: the
//! message stays pending and nobody is to blame but us.

mod credits;
mod effects;
pub mod files;
mod forget;
mod machines;
mod measurements;
pub mod payment;
mod posts;
pub mod rules;
pub mod solvency;
#[cfg(test)]
mod testing;

pub use effects::{BalanceUpdate, Effect, Effects, MachineRow, PostRow};
pub use measurements::{Measured, Measurement};
pub use rules::Rules;

use crate::content::Content;
use crate::message::{ItemType, Message, MessageContent};
use crate::permissions::{Action, may_act};
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;
use crate::view::{View, ViewError};

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is valid; apply these effects together with it.
    Accept(Effects),
    /// The same message is known already; only a confirmation may be added.
    Known,
    /// It depends on something that is not here yet; try again later.
    Wait(Rejection),
    /// It is refused for good.
    Reject(Rejection),
}

/// A message ready to be judged: authentic, its content complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    /// The envelope; its signature was verified (or it comes from a chain).
    pub message: Message,
    /// Its content.
    pub content: MessageContent,
    /// Of a FORGET: envelopes of targets that are forgotten elsewhere and may
    /// be unknown here; their signatures were verified.
    pub gone: Vec<Message>,
}

impl Complete {
    /// A message and its content.
    pub fn new(message: Message, content: MessageContent) -> Complete {
        Complete {
            message,
            content,
            gone: Vec::new(),
        }
    }
}

/// Either a reason to refuse or a failure of ours.
pub(crate) enum Stop {
    Refuse(Rejection),
    Fail(ViewError),
}

impl From<ViewError> for Stop {
    fn from(error: ViewError) -> Stop {
        Stop::Fail(error)
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Stop {
        Stop::Refuse(rejection)
    }
}

/// Judges a message at the time `now`.
pub fn judge<V: View>(
    complete: &Complete,
    view: &V,
    rules: &Rules,
    now: Timestamp,
) -> Result<Verdict, ViewError> {
    match known(complete, view) {
        Ok(Some(verdict)) => return Ok(verdict),
        Ok(None) => {}
        Err(Stop::Fail(error)) => return Err(error),
        Err(Stop::Refuse(rejection)) => return Ok(refuse(rejection)),
    }
    match accept(complete, view, rules, now) {
        Ok(effects) => Ok(Verdict::Accept(effects)),
        Err(Stop::Refuse(rejection)) => Ok(refuse(rejection)),
        Err(Stop::Fail(error)) => Err(error),
    }
}

/// Says of a STORE whose file is not here yet whether to refuse it without
/// fetching anything: its sender may not act for the owner, or the owner cannot
/// pay (processing.md §4, §15.4; a file of unknown size costs nothing here).
pub fn refuse_unfetched<V: View>(
    complete: &Complete,
    view: &V,
    rules: &Rules,
    now: Timestamp,
) -> Result<Option<Rejection>, ViewError> {
    let Content::Store(store) = &complete.content.typed else {
        return Ok(None);
    };
    let check = || -> Result<(), Stop> {
        base_permission(complete, view)?;
        files::permission(complete, store, view)?;
        // How long a file of IPFS is, its hash does not tell: it may be free.
        if store.item_type == ItemType::Ipfs && view.file_size(store.item_hash.as_str())?.is_none()
        {
            return Ok(());
        }
        payment::judge_resource(complete, view, rules, now, &mut Effects::new())
    };
    match check() {
        Ok(()) => Ok(None),
        Err(Stop::Refuse(rejection)) if rejection.code.is_retryable() => Ok(None),
        Err(Stop::Refuse(rejection)) => Ok(Some(rejection)),
        Err(Stop::Fail(error)) => Err(error),
    }
}

fn refuse(rejection: Rejection) -> Verdict {
    if rejection.code.is_retryable() {
        Verdict::Wait(rejection)
    } else {
        Verdict::Reject(rejection)
    }
}

/// processing.md §5 step 0.
fn known<V: View>(complete: &Complete, view: &V) -> Result<Option<Verdict>, Stop> {
    let hash = complete.message.item_hash.as_str();
    let wrong_copy = || {
        Rejection::text(
            Code::InvalidSignature,
            format!("Invalid signature for {hash}"),
        )
    };
    if let Some(known) = view.message(hash)? {
        let same = known.message.signature == complete.message.signature;
        return if same {
            Ok(Some(Verdict::Known))
        } else {
            Err(wrong_copy().into())
        };
    }
    if let Some(signature) = view.forgotten_signature(hash)? {
        let same = signature == complete.message.signature;
        let code = Code::ForgottenDuplicate;
        return Err(if same {
            Rejection::bare(code)
        } else {
            wrong_copy()
        }
        .into());
    }
    Ok(None)
}

fn accept<V: View>(
    complete: &Complete,
    view: &V,
    rules: &Rules,
    now: Timestamp,
) -> Result<Effects, Stop> {
    let mut effects = Effects::new();
    let Complete {
        message, content, ..
    } = complete;
    match &content.typed {
        Content::Post(post) => {
            posts::judge(complete, post, view, &mut effects)?;
            payment::judge_balances(post, rules, &mut effects)?;
            credits::judge(complete, post, (view, rules, now), &mut effects)?;
            measurements::judge(complete, post, rules, &mut effects);
        }
        Content::Aggregate(aggregate) => {
            base_permission(complete, view)?;
            effects.push(Effect::Element {
                owner: aggregate.address.clone(),
                key: aggregate.key().to_owned(),
                time: content_time(content)?,
                content: aggregate.content.clone(),
            });
        }
        Content::Store(store) => {
            base_permission(complete, view)?;
            files::permission(complete, store, view)?;
            files::dependencies(store, view)?;
            payment::judge_resource(complete, view, rules, now, &mut effects)?;
            files::effects(complete, store, &mut effects)?;
        }
        Content::Program(_) | Content::Instance(_) | Content::VerifiedProgram(_) => {
            base_permission(complete, view)?;
            machines::dependencies(&content.typed, view)?;
            payment::judge_resource(complete, view, rules, now, &mut effects)?;
            effects.push(Effect::Machine(Box::new(machines::row(complete)?)));
        }
        Content::Forget(forget) => forget::judge(complete, forget, view, &mut effects)?,
    }
    if message.item_type != ItemType::Inline {
        effects.push(Effect::ContentPin {
            file_hash: message.item_hash.to_string(),
            owner: message.sender.clone(),
            size_bytes: content.size,
            created: content_time(content)?,
        });
    }
    Ok(effects)
}

fn base_permission<V: View>(complete: &Complete, view: &V) -> Result<(), Stop> {
    let owner = complete.content.typed.address();
    let sender = &complete.message.sender;
    let action = Action::of(&complete.message, &complete.content.typed);
    if may_act(view, sender, owner, action)? {
        return Ok(());
    }
    Err(Rejection::text(
        Code::PermissionDenied,
        format!("Sender {sender} is not authorized to post on behalf of address {owner}"),
    )
    .into())
}

fn content_time(content: &MessageContent) -> Result<Timestamp, Stop> {
    Timestamp::from_seconds_f64(content.typed.time())
        .ok_or_else(|| Rejection::invalid_format("content.time is out of range").into())
}

#[cfg(test)]
mod tests {
    use super::testing::{Known, complete};
    use super::*;
    use crate::view::KnownTag;
    use serde_json::json;

    /// Who may not act is told so, also where something else is missing.
    #[test]
    fn permissions_come_before_dependencies() {
        let unknown = "f".repeat(64);
        let mut view = Known::default();
        let original = view.add_post("0xA", 1, None);
        let amend = view.add_post("0xA", 2, Some(&original));
        let tag = KnownTag {
            owner: "0xOther".to_owned(),
            file_hash: unknown.clone(),
            last_updated: Timestamp::from_seconds(1),
        };
        view.tags.insert("e".repeat(64), tag);
        let store = |reference: &str| json!({"address": "0xA", "time": 1, "item_type": "storage", "item_hash": unknown, "ref": reference});
        let amend_of = |target: &str| json!({"address": "0xA", "time": 3, "type": "amend", "ref": target, "content": {}});
        let program = json!({
            "address": "0xA", "time": 1, "allow_amend": false, "type": "vm-function",
            "code": {"encoding": "zip", "entrypoint": "main", "ref": unknown},
            "runtime": {"ref": unknown, "comment": ""},
            "on": {"http": true}, "environment": {}, "resources": {}, "volumes": [],
        });
        use Code::*;
        for (kind, content, owner_gets, stranger_gets) in [
            ("STORE", store(&unknown), StoreRefNotFound, PermissionDenied),
            (
                "STORE",
                store(&"e".repeat(64)),
                PermissionDenied,
                PermissionDenied,
            ),
            ("PROGRAM", program, VmVolumeNotFound, PermissionDenied),
            ("POST", amend_of(&amend), PostAmendAmend, PermissionDenied),
            (
                "POST",
                amend_of(&unknown),
                PostAmendTargetNotFound,
                PostAmendTargetNotFound,
            ),
        ] {
            for (sender, expected) in [("0xA", owner_gets), ("0xB", stranger_gets)] {
                let message = complete(kind, sender, content.clone());
                let now = Timestamp::from_seconds(1);
                let found = match judge(&message, &view, &Rules::default(), now) {
                    Ok(Verdict::Wait(rejection) | Verdict::Reject(rejection)) => rejection.code,
                    other => panic!("{other:?}"),
                };
                assert_eq!(found, expected, "{sender}: {content}");
            }
        }
    }
}
