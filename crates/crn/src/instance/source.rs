//! Messages and files of instances, from the core node (compute.md §11).

use std::collections::BTreeMap;
use std::path::PathBuf;

use beth_protocol::content::InstanceContent;
use beth_protocol::{Content, ItemHash, ItemType, MessageType};

use super::fault::InstanceFault;
use crate::core_node::{CoreNode, Version};
use crate::download::Files;
use crate::executor::LocalFile;
use crate::limits;

/// Where messages and files come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The core node.
    pub core: CoreNode,
    /// Verified files.
    pub files: Files,
    /// Files that need no download: hash of the STORE message to local path.
    pub well_known: BTreeMap<ItemHash, PathBuf>,
}

impl Source {
    /// What the message of an instance says. Its hash is verified.
    pub async fn content(&self, item_hash: &ItemHash) -> Result<InstanceContent, InstanceFault> {
        let message = self.core.message(item_hash).await?;
        let message = message.ok_or_else(|| InstanceFault::NoMessage {
            item_hash: item_hash.clone(),
            url: self.core.url().to_owned(),
        })?;
        if message.message_type != MessageType::Instance {
            return Err(InstanceFault::NotAnInstance);
        }
        let content = if message.item_type == ItemType::Inline {
            message.inline_content()
        } else {
            let file = self
                .files
                .fetch(item_hash, limits::CONTENT_BYTES_MAX)
                .await?;
            let bytes = tokio::fs::read(&file.path)
                .await
                .map_err(InstanceFault::disk("read the message"))?;
            message.fetched_content(&bytes).map(Some)
        };
        let unusable = |reason: String| InstanceFault::Unusable(reason);
        match content.map_err(|rejection| unusable(rejection.to_string()))? {
            Some(content) => match content.typed {
                Content::Instance(content) => Ok(*content),
                _ => Err(InstanceFault::NotAnInstance),
            },
            None => Err(unusable("its message has no content".into())),
        }
    }

    /// The file that a STORE message names.
    pub async fn file(
        &self,
        role: &'static str,
        reference: &ItemHash,
        use_latest: bool,
    ) -> Result<LocalFile, InstanceFault> {
        if let Some(path) = self.well_known.get(reference) {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let size_bytes = tokio::fs::metadata(&path)
                .await
                .map_err(InstanceFault::disk(&format!(
                    "read the well-known file {}",
                    path.display()
                )))?
                .len();
            let hash = reference.clone();
            return Ok(LocalFile {
                path,
                size_bytes,
                hash,
            });
        }
        let version = match use_latest {
            true => Version::Latest,
            false => Version::Exact,
        };
        let hash = self.core.file_hash(reference, version).await?;
        let hash = hash.ok_or_else(|| InstanceFault::NoFile {
            role,
            reference: reference.clone(),
        })?;
        Ok(self.files.fetch(&hash, limits::IMAGE_BYTES_MAX).await?)
    }
}
