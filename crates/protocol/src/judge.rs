//! Judging: what a complete, authentic message does to the state.
//!
//! [`judge`] is a pure function of the message, a read view and the rules; it
//! answers with a [`Verdict`]. The same function serves live, retried and
//! replayed messages.
//!
//! ```text
//!  dependencies ─▶ permissions ─▶ payment ─▶ effects
//!       │               │             │          │
//!     Wait           Reject        Reject      Accept(Effects)
//! ```
//!
//! A refusal is a value. `Err` means that the state could not be read: the
//! message stays pending and nobody is to blame but us.

mod credits;
mod effects;
pub mod files;
mod forget;
mod machines;
pub mod payment;
mod posts;
pub mod rules;
pub mod solvency;

pub use effects::{BalanceUpdate, Effect, Effects, MachineRow, PostRow};
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
    let Complete { message, content } = complete;
    match &content.typed {
        Content::Post(post) => {
            posts::judge(complete, post, view, &mut effects)?;
            payment::judge_balances(post, rules, &mut effects)?;
            credits::judge(complete, post, (view, rules, now), &mut effects)?;
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
            files::dependencies(store, view)?;
            base_permission(complete, view)?;
            files::permission(complete, store, view)?;
            payment::judge_resource(complete, view, rules, now, &mut effects)?;
            files::effects(complete, store, &mut effects)?;
        }
        Content::Program(_) | Content::Instance(_) | Content::VerifiedProgram(_) => {
            machines::dependencies(&content.typed, view)?;
            base_permission(complete, view)?;
            payment::judge_resource(complete, view, rules, now, &mut effects)?;
            effects.push(Effect::Machine(Box::new(machines::row(complete)?)));
        }
        Content::Forget(forget) => forget::judge(message, forget, view, &mut effects)?,
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
