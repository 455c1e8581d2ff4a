//! POST (processing.md §8, §9).
//!
//! The version of a post is its amend with the greatest content time; of those
//! at the same time the one with the greatest item hash, whichever came first.
//! An amend that is not later than the original never applies.

use super::{Complete, Effect, Effects, PostRow, Stop, base_permission, content_time};
use crate::content::{Content, PostContent};
use crate::permissions::{Action, may_act};
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;
use crate::view::{KnownPost, View};

pub(super) fn judge<V: View>(
    complete: &Complete,
    post: &PostContent,
    view: &V,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let created = content_time(&complete.content)?;
    let reference = post.reference().map(str::to_owned);
    let mut row = PostRow {
        owner: post.address.clone(),
        post_type: post.post_type.clone(),
        reference: reference.clone(),
        amends: None,
        is_latest: false,
        created,
    };
    if !post.is_amend() {
        base_permission(complete, view)?;
        effects.push(Effect::Post(row));
        return Ok(());
    }
    let Some(target) = reference else {
        return Err(Rejection::bare(Code::PostAmendNoTarget).into());
    };
    let Some(original) = view.post(&target)? else {
        return Err(Rejection::bare(Code::PostAmendTargetNotFound).into());
    };
    amend_permission(complete, post, &target, view)?;
    if original.owner != post.address {
        return Err(denied(format!(
            "Cannot amend post {target}: amend message address {} does not match original post owner {}",
            post.address, original.owner
        )));
    }
    if original.post_type == "amend" {
        return Err(Rejection::bare(Code::PostAmendAmend).into());
    }
    row.is_latest = is_later(complete.message.item_hash.as_str(), created, &original);
    row.amends = Some(target);
    effects.push(Effect::Post(row));
    Ok(())
}

/// True when an amend of this hash and time replaces the version in force.
fn is_later(item_hash: &str, created: Timestamp, original: &KnownPost) -> bool {
    match &original.latest_amend {
        Some(latest) => (created, item_hash) > (original.last_updated, latest),
        None => created > original.last_updated,
    }
}

fn denied(text: String) -> Stop {
    Rejection::text(Code::PermissionDenied, text).into()
}

/// A delegate amends under the permissions of the original post.
fn amend_permission<V: View>(
    complete: &Complete,
    post: &PostContent,
    target: &str,
    view: &V,
) -> Result<(), Stop> {
    let sender = &complete.message.sender;
    if sender.to_lowercase() == post.address.to_lowercase() {
        return Ok(());
    }
    let Some(original) = view.message(target)? else {
        return base_permission(complete, view);
    };
    let same_owner = original.content["address"]
        .as_str()
        .is_some_and(|owner| owner.to_lowercase() == post.address.to_lowercase());
    let content = Content::parse(original.message.message_type, &original.content).ok();
    let allowed = match &content {
        Some(content) if same_owner => may_act(
            view,
            sender,
            &post.address,
            Action::of(&original.message, content),
        )?,
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    Err(denied(format!(
        "Sender {sender} is not authorized to post on behalf of address {}",
        post.address
    )))
}
