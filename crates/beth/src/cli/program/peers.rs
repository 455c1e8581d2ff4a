//! The other core nodes: whom the list of nodes names beside ours.

use beth_sdk::{Client, development};
use serde_json::Value;

use crate::cli::session::Session;

/// Publishes the list of nodes of the public network (network.md §18).
const REGISTRY_ADDRESS: &str = "0xa1B3bb7d2332383D96b7796B908fB7f7F3c2Be10";
/// Most core nodes looked at.
const PEERS_MAX: usize = 5;

/// Clients of up to five other core nodes. Without a list of nodes there are
/// none.
pub async fn other_core_nodes(session: &Session) -> Vec<Client> {
    let owner = match development::foundation() {
        Some(account) if session.is_local() => account.address().to_owned(),
        _ => REGISTRY_ADDRESS.to_owned(),
    };
    let Ok(Some(registry)) = session.client.aggregate(&owner, "corechannel").await else {
        return Vec::new();
    };
    let own = session.client.peer_addresses().await.unwrap_or_default();
    let nodes = registry
        .get("nodes")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    others(nodes, session.client.base_url(), &own)
        .iter()
        .filter_map(|url| Client::new(url).ok())
        .collect()
}

fn others(nodes: &[Value], own_url: &str, own_peers: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for node in nodes {
        let multiaddress = text(node, "multiaddress");
        let peer = multiaddress.rsplit_once("/p2p/").map(|(_, peer)| peer);
        let is_own = peer.is_some_and(|peer| own_peers.iter().any(|known| known.ends_with(peer)));
        let url = [text(node, "url"), text(node, "address")]
            .into_iter()
            .find(|url| url.starts_with("http"))
            .map_or_else(
                || http_url(multiaddress),
                |url| Some(url.trim_end_matches('/').to_owned()),
            );
        match url {
            Some(url) if !is_own && url != own_url && !found.contains(&url) => found.push(url),
            _ => {}
        }
    }
    found.truncate(PEERS_MAX);
    found
}

fn text<'a>(node: &'a Value, name: &str) -> &'a str {
    node.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A node speaks HTTP one port below libp2p, as every default has it.
fn http_url(multiaddress: &str) -> Option<String> {
    let mut parts = multiaddress.split('/').skip(1);
    let (kind, host) = (parts.next()?, parts.next()?);
    let host = match kind {
        "ip4" | "dns" | "dns4" | "dns6" => host.to_owned(),
        "ip6" => format!("[{host}]"),
        _ => return None,
    };
    let port = (parts.next()? == "tcp")
        .then(|| parts.next())??
        .parse::<u16>()
        .ok()?
        .checked_sub(1)?;
    Some(format!("http://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_others_and_not_ourselves() {
        let nodes = [
            json!({"multiaddress": "/ip4/127.0.0.1/tcp/4025/p2p/QmOwn"}),
            json!({"multiaddress": "/ip4/127.0.0.1/tcp/4035/p2p/QmOther"}),
            json!({"multiaddress": "/dns4/example.org/tcp/4025/p2p/QmThird", "address": "https://example.org/"}),
            json!({"multiaddress": "", "address": ""}),
            json!({"multiaddress": "/ip6/::1/tcp/9/p2p/QmSix"}),
        ];
        let own = ["/ip4/10.0.0.1/tcp/4025/p2p/QmOwn".to_owned()];
        let expected = [
            "http://127.0.0.1:4034",
            "https://example.org",
            "http://[::1]:8",
        ];
        assert_eq!(others(&nodes, "http://localhost:4024", &own), expected);
        assert_eq!(
            others(&nodes[..2], "http://127.0.0.1:4034", &own),
            Vec::<String>::new()
        );
    }
}
