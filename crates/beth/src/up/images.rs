//! The Debian image of instances as a STORE message of the foundation, and the
//! list of images from which clients choose (compute.md §16).
//!
//! The core nodes have the file already, as a stand-in ([`super::render`]): only
//! messages are made here, once for each build of the image.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use beth_protocol::{Account, ItemHash, Message, MessageType};
use beth_sdk::content::{self, StoreDraft};
use beth_sdk::{Client, now};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Aggregate of the foundation that names images.
const KEY: &str = "vm-images";
/// Our name in it.
const NAME: &str = "debian12";
const CHANNEL: &str = "FOUNDATION";

/// The STORE message of the image, and what must be published for it.
#[derive(Debug)]
pub struct Announcement {
    /// What instances name as the parent of their root disk.
    pub item_hash: ItemHash,
    /// Nothing when the network knows this build.
    pub messages: Vec<Message>,
}

/// What `client` lacks of the image at `path`.
pub async fn announce(
    client: &Client,
    foundation: &Account,
    path: &Path,
) -> anyhow::Result<Announcement> {
    let file = hash_of(path).await?;
    let known = client.aggregate(foundation.address(), KEY).await?;
    let known = known.as_ref().map(|list| &list["rootfs"][NAME]["hash"]);
    let known = known
        .and_then(Value::as_str)
        .and_then(|hash| ItemHash::parse(hash).ok());
    if let Some(item_hash) = known
        && let Some(record) = client.message(&item_hash).await?
        && record
            .members
            .get("message")
            .is_some_and(|message| message["content"]["item_hash"] == file.as_str())
    {
        return Ok(Announcement {
            item_hash,
            messages: Vec::new(),
        });
    }
    let stored = content::store(foundation.address(), &file, &StoreDraft::default());
    let stored = foundation.sign_message(MessageType::Store, &stored, Some(CHANNEL), now());
    let item_hash = stored.item_hash.clone();
    let entry = json!({"hash": item_hash, "display_name": "Debian 12", "min_disk_mib": 4096});
    let list = json!({"rootfs": {NAME: entry}, "defaults": {"rootfs": NAME}});
    let Value::Object(members) = list else {
        anyhow::bail!("the list of images is no object")
    };
    let list = content::aggregate(foundation.address(), KEY, members);
    let list = foundation.sign_message(MessageType::Aggregate, &list, Some(CHANNEL), now());
    Ok(Announcement {
        item_hash,
        messages: vec![stored, list],
    })
}

async fn hash_of(path: &Path) -> anyhow::Result<ItemHash> {
    let shown = path.display().to_string();
    let path = path.to_owned();
    let hashing = move || {
        let (mut file, mut hash) = (File::open(path)?, Sha256::new());
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                length => hash.update(piece.get(..length).unwrap_or_default()),
            }
        }
        io::Result::Ok(const_hex::encode(hash.finalize()))
    };
    let hash = tokio::task::spawn_blocking(hashing).await?;
    let hash = hash.with_context(|| format!("cannot read {shown}"))?;
    Ok(ItemHash::parse(&hash)?)
}
