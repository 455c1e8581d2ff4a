//! STORE (processing.md §11).

use super::{Complete, Effect, Effects, Stop, content_time};
use crate::content::StoreContent;
use crate::hash::classify_loosely;
use crate::message::ItemType;
use crate::rejection::{Code, Rejection};
use crate::view::View;
use crate::{HashKind, ItemHash};

/// The tag that a STORE message sets.
pub fn tag_of(item_hash: &str, content: &StoreContent) -> String {
    match content.reference.as_deref() {
        None => item_hash.to_owned(),
        Some(reference) if ItemHash::parse(reference).is_ok() => reference.to_owned(),
        Some(label) => format!("{}/{label}", content.address),
    }
}

pub(super) fn dependencies<V: View>(content: &StoreContent, view: &V) -> Result<(), Stop> {
    let class = classify_loosely(content.item_hash.as_str()).map(|kind| match kind {
        HashKind::Storage => ItemType::Storage,
        HashKind::Ipfs => ItemType::Ipfs,
    });
    if class != Some(content.item_type) {
        return Err(Rejection::invalid_format(format!(
            "Item hash '{}' is not of the expected type ('{}')",
            content.item_hash,
            content.item_type.as_str()
        ))
        .into());
    }
    let Some(reference) = content
        .reference
        .as_deref()
        .filter(|r| ItemHash::parse(r).is_ok())
    else {
        return Ok(());
    };
    match view.message_pin(reference)? {
        None => Err(Rejection::text(Code::StoreRefNotFound, reference).into()),
        Some(pin) if pin.reference.is_some() => {
            Err(Rejection::bare(Code::StoreUpdateUpdate).into())
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn permission<V: View>(
    complete: &Complete,
    content: &StoreContent,
    view: &V,
) -> Result<(), Stop> {
    if content.reference.is_none() {
        return Ok(());
    }
    let item_hash = complete.message.item_hash.as_str();
    match view.tag(&tag_of(item_hash, content))? {
        Some(tag) if tag.owner != content.address => Err(Rejection::text(
            Code::PermissionDenied,
            format!("{item_hash} attempts to update a file tag belonging to another user"),
        )
        .into()),
        _ => Ok(()),
    }
}

pub(super) fn effects(
    complete: &Complete,
    content: &StoreContent,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let created = content_time(&complete.content)?;
    effects.push(Effect::MessagePin {
        file_hash: content.item_hash.to_string(),
        owner: content.address.clone(),
        reference: content.reference.clone(),
        created,
    });
    effects.push(Effect::Tag {
        tag: tag_of(complete.message.item_hash.as_str(), content),
        owner: content.address.clone(),
        file_hash: content.item_hash.to_string(),
        last_updated: created,
    });
    Ok(())
}
