//! The network of this node, as far as others have it changed.

use beth_protocol::ItemHash;
use futures::future::BoxFuture;
use serde_json::Value;

/// What was made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remade {
    /// Names of chains that are gone.
    pub removed_chains: Vec<String>,
    /// Machines whose rules are there again.
    pub recreated: Vec<ItemHash>,
    /// Machines without, and why.
    pub failed: Vec<(ItemHash, String)>,
}

/// Whoever sets up addresses, ports and names.
pub trait Network: Send + Sync + 'static {
    /// Removes all rules of this node and makes those of the running machines
    /// again; the error says which phase failed.
    fn recreate(&self) -> BoxFuture<'_, Result<Remade, String>>;

    /// Reads again which domain names lead here.
    fn refresh_domains(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Backend to domain name to address, as the proxy has it; `None` without
    /// a proxy.
    fn domains(&self) -> BoxFuture<'_, Option<Value>>;
}
