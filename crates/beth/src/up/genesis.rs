//! The beginning of a local network: what the public one has and a new one
//! lacks. Signed by the development foundation, which the core nodes are
//! configured to believe.
//!
//! ```text
//!  balances-update            1 000 000 ALEPH for each development account and the foundation
//!  aleph_credit_distribution  credits, for what must be paid with them
//!  corechannel                the core nodes, and the compute nodes linked to them
//!  pricing, settings          as the public network had them, for clients that read them
//!  vm-images                  the Debian image, if it has been built
//! ```
//!
//! Published once, so that prices can be changed; the list of nodes again when it
//! changed. Ready means that
//! every core node has it and placement has seen every compute node.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use beth_protocol::cost::Prices;
use beth_protocol::registry::{self, CoreNode, Registry, ResourceNode};
use beth_protocol::{Account, ItemHash, Message, MessageType};
use beth_sdk::client::messages::Wait;
use beth_sdk::{Client, Error, Scheduler, content, development};
use serde_json::{Map, Value, json};

use super::images;
use super::layout::Layout;
use super::render::multiaddress;

const BALANCE_ALEPH: u64 = 1_000_000;
/// 1 000 000 credits are one dollar.
const CREDITS: u64 = 1_000_000_000_000;
/// Longest time until one message is processed.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time until gossip has brought it to another node.
const GOSSIP_TIMEOUT: Duration = Duration::from_millis(500);
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// Publishes what is missing and waits until the network can work. The STORE
/// message of the image for instances, if there is one at `image`.
pub async fn begin(
    layout: &Layout,
    peer_ids: &[String],
    image: Option<&Path>,
) -> anyhow::Result<Option<ItemHash>> {
    let foundation = development::foundation().context("the development foundation has no key")?;
    let clients = layout
        .core
        .iter()
        .map(|core| Client::new(&core.place.url()))
        .collect::<Result<Vec<_>, _>>()?;
    let [first, others @ ..] = &clients[..] else {
        bail!("a network needs a core node")
    };
    for message in missing(first, &foundation, &registry(layout, peer_ids)?).await? {
        everywhere(first, others, &message).await?;
    }
    let image = match image {
        Some(path) => Some(images::announce(first, &foundation, path).await?),
        None => None,
    };
    for message in image.iter().flat_map(|image| &image.messages) {
        everywhere(first, others, message).await?;
    }
    wait_for_nodes(layout).await?;
    Ok(image.map(|image| image.item_hash))
}

async fn everywhere(first: &Client, others: &[Client], message: &Message) -> anyhow::Result<()> {
    first.publish(message, MESSAGE_TIMEOUT).await?;
    for other in others {
        spread(other, message).await?;
    }
    Ok(())
}

/// Gossip brings a message to the other nodes; one that was not connected yet
/// gets it here.
async fn spread(node: &Client, message: &Message) -> anyhow::Result<()> {
    match node
        .wait_until_processed(&message.item_hash, GOSSIP_TIMEOUT)
        .await
    {
        Ok(_) => return Ok(()),
        Err(Error::StillPending { .. }) => node.submit(message, Wait::No).await?,
        Err(error) => return Err(error.into()),
    };
    node.wait_until_processed(&message.item_hash, MESSAGE_TIMEOUT)
        .await?;
    Ok(())
}

/// The messages that the first core node lacks.
async fn missing(
    client: &Client,
    foundation: &Account,
    registry: &Registry,
) -> anyhow::Result<Vec<Message>> {
    let mut messages = Vec::new();
    let mut accounts = development::accounts();
    accounts.insert(0, foundation.clone());
    let last = accounts
        .last()
        .context("there are no development accounts")?;
    let balance = client.balance(last.address()).await?;
    if balance.balance == 0.0 {
        messages.push(post(
            foundation,
            "balances-update",
            balances(&accounts),
            "FOUNDATION",
        ));
    }
    if balance.credit_balance == 0.0 {
        messages.push(post(
            foundation,
            "aleph_credit_distribution",
            credits(&accounts),
            "ALEPH_CREDIT",
        ));
    }
    for (key, members) in prices() {
        if client.aggregate(foundation.address(), key).await?.is_none() {
            messages.push(aggregate(foundation, key, members));
        }
    }
    let known = client
        .aggregate(foundation.address(), registry::KEY)
        .await?;
    if known.as_ref().map(Registry::parse).as_ref() != Some(registry) {
        let Value::Object(members) = registry.to_content() else {
            bail!("the registry is no object")
        };
        messages.push(aggregate(foundation, registry::KEY, members));
    }
    Ok(messages)
}

fn aggregate(foundation: &Account, key: &str, members: Map<String, Value>) -> Message {
    let content = content::aggregate(foundation.address(), key, members);
    let channel = Some("FOUNDATION");
    foundation.sign_message(MessageType::Aggregate, &content, channel, beth_sdk::now())
}

/// What clients reckon with, and the oldest compute node that they accept: any.
fn prices() -> [(&'static str, Map<String, Value>); 2] {
    let prices = Prices::defaults();
    let mut settings = prices.settings().clone();
    settings.insert("last_crn_version".to_owned(), "0.0.1".into());
    [
        ("pricing", prices.pricing().clone()),
        ("settings", settings),
    ]
}

fn post(foundation: &Account, post_type: &str, inner: Value, channel: &str) -> Message {
    let content = content::post(foundation.address(), post_type, inner, None);
    foundation.sign_message(MessageType::Post, &content, Some(channel), beth_sdk::now())
}

fn balances(accounts: &[Account]) -> Value {
    let balances: BTreeMap<&str, u64> = accounts
        .iter()
        .map(|account| (account.address(), BALANCE_ALEPH))
        .collect();
    json!({
        "tags": ["ERC20", "local"], "chain": "ETH", "platform": "ALEPH_ETH", "main_height": 1,
        "token_symbol": "ALEPH", "balances": balances,
    })
}

fn credits(accounts: &[Account]) -> Value {
    let credits: Vec<Value> = accounts
        .iter()
        .map(|account| json!({
            "address": account.address(), "amount": CREDITS, "price": "0.000001", "tx_hash": "0x", "provider": "DEVELOPMENT",
        }))
        .collect();
    json!({"distribution": {"token": "ALEPH", "chain": "ETH", "credits": credits}})
}

/// The list of nodes that this layout is.
fn registry(layout: &Layout, peer_ids: &[String]) -> anyhow::Result<Registry> {
    let owner = development::foundation()
        .context("the development foundation has no key")?
        .address()
        .to_owned();
    let nodes = layout.core.iter().zip(peer_ids).enumerate().map(|(index, (core, peer_id))| {
        let linked: Vec<Value> =
            layout.compute.iter().filter(|compute| compute.parent == index).map(|compute| json!(compute.hash)).collect();
        serde_json::from_value::<CoreNode>(json!({
            "hash": core.hash, "owner": owner, "reward": owner, "status": "active", "time": index + 1,
            "total_staked": 500_000, "stakers": {owner.clone(): 500_000}, "score": 1, "name": core.place.name,
            "multiaddress": multiaddress(core, peer_id), "address": core.place.url(), "resource_nodes": linked,
        }))
    });
    let resource_nodes = layout.compute.iter().enumerate().map(|(index, compute)| {
        serde_json::from_value::<ResourceNode>(json!({
            "hash": compute.hash, "type": "compute", "owner": owner, "reward": owner, "status": "linked",
            "parent": layout.core[compute.parent].hash, "time": index + 1, "score": 1, "name": compute.place.name,
            "address": compute.place.url(),
        }))
    });
    Ok(Registry {
        nodes: nodes.collect::<Result<_, _>>()?,
        resource_nodes: resource_nodes.collect::<Result<_, _>>()?,
    })
}

/// Waits until placement has an answer from every compute node.
async fn wait_for_nodes(layout: &Layout) -> anyhow::Result<()> {
    let scheduler = Scheduler::new(&layout.core[0].place.url())?;
    loop {
        let nodes = scheduler.nodes().await?;
        let healthy = |hash: &str| {
            nodes
                .iter()
                .any(|node| node.node_id == hash && node.healthy == Some(true))
        };
        if layout
            .compute
            .iter()
            .all(|compute| healthy(compute.hash.as_str()))
        {
            return Ok(());
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::up::layout::Ports;

    #[test]
    fn the_registry_links_every_compute_node() {
        let layout = Layout::new(Path::new("/x"), Ports::from_base(4020, 2, 4).unwrap());
        let registry = registry(&layout, &["p1".into(), "p2".into()]).unwrap();
        let linked: Vec<usize> = registry
            .nodes
            .iter()
            .map(|node| registry.linked(&node.hash).len())
            .collect();
        assert_eq!(linked, [3, 1]);
        assert_eq!(
            registry.nodes[1].multiaddress,
            "/ip4/127.0.0.1/tcp/4035/p2p/p2"
        );
        // What comes back from a node is recognised.
        assert_eq!(Registry::parse(&registry.to_content()), registry);
    }

    #[test]
    fn the_posts_pass_the_schema() {
        let (foundation, accounts) = (development::foundation().unwrap(), development::accounts());
        for message in [
            post(
                &foundation,
                "balances-update",
                balances(&accounts),
                "FOUNDATION",
            ),
            post(
                &foundation,
                "aleph_credit_distribution",
                credits(&accounts),
                "ALEPH_CREDIT",
            ),
        ] {
            assert!(message.inline_content().unwrap().is_some());
        }
    }
}
