//! Saying that this node is alive, and where: two seconds after its start and
//! every two minutes, once there is somebody to hear it.

use std::sync::Arc;
use std::time::Duration;

use beth_network::{Network, Published};
use tokio::time::sleep;
use tracing::debug;

use super::ourselves::{Announced, Ourselves};
use crate::gossip::NetworkInfo;
use crate::limits::{ALIVE_FIRST, ALIVE_LOOK, ALIVE_PERIOD};

/// Says it for ever.
pub(super) async fn run(
    ourselves: Ourselves,
    network: Arc<Network>,
    shown: NetworkInfo,
    topic: String,
) {
    if let Some(announced) = ourselves.at_once() {
        if let Some(address) = &announced.p2p {
            network.reachable(address).await;
        }
        shown.announce(announced.p2p);
    }
    sleep(ALIVE_FIRST).await;
    loop {
        let pause = match network.subscribers(&topic).await.is_empty() {
            // Nobody hears it, so nobody is asked where this node is.
            true => ALIVE_LOOK,
            false => say(&ourselves, &network, &shown, &topic).await,
        };
        sleep(pause).await;
    }
}

/// Says it once; answers when to say it again.
async fn say(
    ourselves: &Ourselves,
    network: &Network,
    shown: &NetworkInfo,
    topic: &str,
) -> Duration {
    let Some(announced) = ourselves.announced().await else {
        debug!("the public address of this node is not known yet");
        return ALIVE_PERIOD;
    };
    shown.announce(announced.p2p.clone());
    publish(&announced, network, topic).await
}

async fn publish(announced: &Announced, network: &Network, topic: &str) -> Duration {
    let mut pause = ALIVE_PERIOD;
    for message in announced.messages() {
        let text = message.to_text();
        match network.publish(topic, text.into_bytes()).await {
            // The same bytes are passed on once in half an hour: no failure.
            Ok(Published::Sent | Published::Duplicate) => {}
            Ok(Published::NoPeers) => pause = ALIVE_LOOK,
            Err(failure) => {
                debug!(%failure, kind = message.peer_type.as_str(), "an alive message was not published");
                pause = ALIVE_LOOK;
            }
        }
    }
    pause
}
