//! FORGET (processing.md §13).

use serde_json::json;

use super::{Effect, Effects, Stop};
use crate::content::{Content, ForgetContent};
use crate::message::{Message, MessageType};
use crate::permissions::{Action, may_act};
use crate::rejection::{Code, Rejection};
use crate::view::{KnownMessage, View};

pub(super) fn judge<V: View>(
    message: &Message,
    forget: &ForgetContent,
    view: &V,
    effects: &mut Effects,
) -> Result<(), Stop> {
    if forget.hashes.is_empty() && forget.aggregates.is_empty() {
        return Err(Rejection::bare(Code::ForgetNoTarget).into());
    }
    let targets = targets(forget, view)?;
    for (hash, target) in &targets {
        check(&message.sender, hash, target, view)?;
    }
    for (hash, target) in targets {
        let amends = match target.message.message_type {
            MessageType::Post => view.amends(&hash)?,
            _ => Vec::new(),
        };
        effects.push(Effect::Forget { item_hash: hash });
        effects.extend(
            amends
                .into_iter()
                .map(|item_hash| Effect::Forget { item_hash }),
        );
    }
    Ok(())
}

fn targets<V: View>(forget: &ForgetContent, view: &V) -> Result<Vec<(String, KnownMessage)>, Stop> {
    let mut targets = Vec::new();
    for hash in &forget.hashes {
        let target = view.message(hash.as_str())?.ok_or_else(|| {
            Rejection::with(Code::ForgetTargetNotFound, vec![json!({"message": hash})])
        })?;
        if let Some(machine) = view.machine_using(hash.as_str())? {
            let text = format!("File {hash} used on vm {machine}");
            return Err(Rejection::text(Code::ForgetNotAllowed, text).into());
        }
        targets.push((hash.to_string(), target));
    }
    for key in &forget.aggregates {
        let elements = view.aggregate_elements(&forget.address, key)?;
        if elements.is_empty() {
            return Err(Rejection::with(
                Code::ForgetTargetNotFound,
                vec![json!({"aggregate": key})],
            )
            .into());
        }
        for hash in elements {
            if let Some(target) = view.message(&hash)? {
                targets.push((hash, target));
            }
        }
    }
    Ok(targets)
}

/// The sender must be able to create the target under its owner's permissions.
fn check<V: View>(sender: &str, hash: &str, target: &KnownMessage, view: &V) -> Result<(), Stop> {
    if target.message.message_type == MessageType::Forget {
        return Err(Rejection::with(Code::ForgetForget, vec![json!({"message": hash})]).into());
    }
    let owner = target.content["address"]
        .as_str()
        .unwrap_or(&target.message.sender);
    let allowed = match Content::parse(target.message.message_type, &target.content) {
        Ok(content) => may_act(view, sender, owner, Action::of(&target.message, &content))?,
        Err(_) => sender.to_lowercase() == owner.to_lowercase(),
    };
    if allowed {
        return Ok(());
    }
    Err(Rejection::text(
        Code::PermissionDenied,
        format!(
            "Sender {sender} is not authorized to forget message {hash} owned by {owner}: the sender could not \
             have created this target under the owner's security aggregate"
        ),
    )
    .into())
}
