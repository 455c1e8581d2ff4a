//! The network: the core node asked for, its peers, the compute nodes placed on.

use beth_sdk::{Client, Scheduler};

use super::Check;

/// What was seen of a network.
pub(super) struct Network {
    /// A core node answers.
    pub(super) is_running: bool,
    pub(super) checks: Vec<Check>,
}

/// Looks at the core node at a URL.
pub(super) async fn look(url: &str) -> Network {
    let client = match Client::new(url) {
        Ok(client) => client,
        Err(error) => {
            let check = Check::missing("core node", error.to_string(), "correct --node");
            return Network {
                is_running: false,
                checks: vec![check],
            };
        }
    };
    let version = match client.version().await {
        Ok(version) => version,
        Err(error) => {
            let check = Check::missing("core node", format!("none at {url}"), error.to_string());
            return Network {
                is_running: false,
                checks: vec![check],
            };
        }
    };
    let mut checks = vec![Check::ok(
        "core node",
        format!("version {version} at {url}"),
    )];
    checks.push(peers(&client).await);
    checks.extend(compute_nodes(url).await);
    Network {
        is_running: true,
        checks,
    }
}

async fn peers(client: &Client) -> Check {
    let count = client
        .metrics()
        .await
        .ok()
        .and_then(|metrics| metrics.get("pyaleph_status_peers_total")?.as_u64());
    match count {
        Some(0) => Check::missing(
            "peers",
            "none",
            "none was heard of: check that the node's gossip port is reachable and its bootstrap peers run",
        ),
        Some(count) => Check::ok("peers", count.to_string()),
        None => Check::missing(
            "peers",
            "the node does not say",
            "look at its /metrics.json",
        ),
    }
}

async fn compute_nodes(url: &str) -> Option<Check> {
    let nodes = Scheduler::new(url).ok()?.nodes().await.ok()?;
    let healthy = nodes
        .iter()
        .filter(|node| node.healthy != Some(false))
        .count();
    let found = format!("{healthy} of {} can be used", nodes.len());
    Some(match healthy == nodes.len() {
        true => Check::ok("compute nodes", found),
        false => Check::missing(
            "compute nodes",
            found,
            format!("{url}/api/v0/nodes says what is wrong with the others"),
        ),
    })
}
