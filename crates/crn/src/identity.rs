//! Which registered node this is: the hash of the message that registered it
//! (compute.md §2).
//!
//! Configured, or known from an earlier run, or found among the registrations
//! of the operator: the one whose address is this node's domain name.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use beth_protocol::ItemHash;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::core_node::CoreNode;
use crate::limits;

/// The name of this node, once it is known. All clones are one.
#[derive(Clone, Debug)]
pub struct Identity {
    node_hash: Arc<RwLock<Option<ItemHash>>>,
    file: PathBuf,
}

impl Identity {
    /// The configured hash, else the one that `folder` remembers.
    pub fn open(configured: Option<&str>, folder: &Path) -> Identity {
        let file = folder.join("node-hash");
        let parse = |text: &str| ItemHash::parse(text.trim()).ok();
        let known = configured.and_then(parse).or_else(|| {
            let text = std::fs::read_to_string(&file).ok()?;
            parse(&text)
        });
        Identity {
            node_hash: Arc::new(RwLock::new(known)),
            file,
        }
    }

    /// The hash, if it is known.
    pub fn node_hash(&self) -> Option<ItemHash> {
        let known = self
            .node_hash
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    /// Looks for the registration every few minutes until it is found.
    pub async fn discover(
        self,
        core: CoreNode,
        owner: String,
        domain_name: String,
        cancel: CancellationToken,
    ) {
        let is_address = owner.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if owner.is_empty() || !is_address {
            return;
        }
        let query = format!("addresses={owner}&types=corechan-operation");
        while self.node_hash().is_none() {
            match core.posts(&query).await {
                Ok(posts) => {
                    if let Some(found) = posts.iter().find_map(|post| of_post(post, &domain_name)) {
                        self.found(found).await;
                        return;
                    }
                }
                Err(fault) => tracing::debug!("the registration is not found yet: {fault}"),
            }
            let pause = tokio::time::sleep(limits::DISCOVERY_PERIOD);
            if cancel.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn found(&self, node_hash: ItemHash) {
        tracing::info!("this node is registered as {node_hash}");
        if let Err(error) = tokio::fs::write(&self.file, node_hash.as_str()).await {
            tracing::warn!("cannot keep {}: {error}", self.file.display());
        }
        let mut known = self
            .node_hash
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some(node_hash);
    }
}

/// The hash of a post that registers a node of this name.
fn of_post(post: &Value, domain_name: &str) -> Option<ItemHash> {
    let content = post.get("content")?;
    // Some core nodes wrap the content of a post once more.
    let content = content.get("content").unwrap_or(content);
    if content.get("action")?.as_str()? != "create-resource-node" {
        return None;
    }
    let address = content.get("details")?.get("address")?.as_str()?;
    if address.trim_end_matches('/') != format!("https://{domain_name}") {
        return None;
    }
    let hash = ["original_item_hash", "item_hash", "hash"];
    let hash = hash.iter().find_map(|name| post.get(*name)?.as_str())?;
    ItemHash::parse(hash).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_registration_of_the_vectors() {
        let text = include_str!("../../../vectors/crn/messages.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let post = &vectors["messages"]["post_create_resource_node"];
        let found = of_post(post, "crn.example.org").unwrap();
        assert_eq!(found.as_str(), post["item_hash"].as_str().unwrap());
        assert_eq!(of_post(post, "other.example.org"), None);
        assert_eq!(of_post(&json!({"content": {"action": "x"}}), "x"), None);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Identity::open(None, folder.path()).node_hash(), None);
        std::fs::write(folder.path().join("node-hash"), format!("{found}\n")).unwrap();
        assert_eq!(
            Identity::open(None, folder.path()).node_hash(),
            Some(found.clone())
        );
        let other = "ab".repeat(32);
        let configured = Identity::open(Some(&other), folder.path()).node_hash();
        assert_eq!(configured.unwrap().as_str(), other);
    }
}
