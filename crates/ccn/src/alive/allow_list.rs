//! Whose word about where it is counts: the configured bootstrap peers and the
//! nodes of the registry (network.md §4.1).
//!
//! Everybody may speak on the network; but only who registered, which costs
//! something, gets others to call it. At a failure of the database the list
//! stays what it was.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::alive::peer_id_in;
use beth_store::{Error, Readers, State};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::warn;

use crate::config::CcnConfig;
use crate::limits::REGISTRY_ABSENT_AGE_MAX;

/// Key of the registry among the aggregates of its owner.
const KEY: &str = "corechannel";

/// The list, read again from time to time.
pub(super) struct AllowList {
    bootstrap: HashSet<String>,
    registered: HashSet<String>,
    readers: Arc<Readers>,
    owner: String,
    age_max: Duration,
    /// When it is read again.
    due: Instant,
}

impl AllowList {
    pub(super) fn new(config: &CcnConfig, readers: Arc<Readers>) -> AllowList {
        let bootstrap = config.p2p.bootstrap.iter();
        AllowList {
            bootstrap: bootstrap
                .filter_map(|address| peer_id_in(address))
                .map(str::to_owned)
                .collect(),
            registered: HashSet::new(),
            readers,
            owner: config.rules.corechannel_address.clone(),
            age_max: Duration::from_secs(config.p2p.registry_seconds.max(1)),
            due: Instant::now(),
        }
    }

    /// True for who is on it.
    pub(super) fn allows(&self, peer_id: &str) -> bool {
        self.bootstrap.contains(peer_id) || self.registered.contains(peer_id)
    }

    /// When it is worth reading again.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Reads it again when it is due.
    pub(super) async fn refresh(&mut self) {
        if self.due > Instant::now() {
            return;
        }
        let (readers, owner) = (self.readers.clone(), self.owner.clone());
        let read = move || readers.read(|state| registered(state, &owner));
        let mut age_max = self.age_max;
        match spawn_blocking(read).await {
            Ok(Ok(Some(registered))) => self.registered = registered,
            Ok(Ok(None)) => {
                // A new node is about to hear of it.
                age_max = age_max.min(REGISTRY_ABSENT_AGE_MAX);
                self.registered.clear();
            }
            Ok(Err(failure)) => {
                warn!(%failure, "the registry of nodes could not be read; the list of before stays")
            }
            Err(_) => {}
        }
        self.due = Instant::now() + age_max;
    }
}

/// The peer ids in the registry; `None` while there is no registry.
fn registered(state: &State<'_>, owner: &str) -> Result<Option<HashSet<String>>, Error> {
    let keys = vec![KEY.to_owned()];
    let found = state.aggregates_of(owner, Some(&keys))?;
    let Some(registry) = found.first() else {
        return Ok(None);
    };
    Ok(Some(ids(registry.content.get("nodes"))))
}

fn ids(nodes: Option<&Value>) -> HashSet<String> {
    let nodes = nodes.and_then(Value::as_array).into_iter().flatten();
    let addresses = nodes.filter_map(|node| node["multiaddress"].as_str());
    addresses
        .filter_map(peer_id_in)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_registry_of_the_network() {
        let sample = include_str!(
            "../../../../vectors/network/corechannel/corechannel_aggregate_message_trimmed.json"
        );
        let sample: Value = serde_json::from_str(sample).unwrap();
        let text = sample["item_content"].as_str();
        let content: Value = match text {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => sample["content"].clone(),
        };
        let found = ids(content["content"].get("nodes"));
        assert_eq!(found.len(), 1, "{content}");
        let id = found.iter().next().unwrap();
        assert!(id.starts_with("Qm") && id.len() == 46, "{id}");
    }

    #[test]
    fn what_is_no_registry_allows_nobody() {
        for odd in [
            serde_json::json!(null),
            serde_json::json!("x"),
            serde_json::json!([1, {}, {"multiaddress": 3}, {"multiaddress": ""}]),
        ] {
            assert!(ids(Some(&odd)).is_empty(), "{odd}");
        }
    }
}
