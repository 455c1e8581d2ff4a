//! A peer that is not ours, made of the library's parts: what a released node
//! of upstream speaks, and what one older than that does.

use std::time::Duration;

use beth_network::message_id;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, Transport,
    core::upgrade::Version,
    gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId},
    identity::Keypair,
    noise,
    swarm::{self, SwarmEvent},
    tcp, yamux,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{TOPIC, breathe, within};

/// Which multiplexer the peer speaks.
pub enum Muxer {
    Yamux,
    Mplex,
}

/// A running one. It gossips, and knows nothing else.
pub struct Foreign {
    pub id: PeerId,
    pub heard: mpsc::UnboundedReceiver<Vec<u8>>,
    say: mpsc::Sender<Vec<u8>>,
    subscribers: watch::Receiver<usize>,
    connections: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Foreign {
    /// Calls a node.
    pub fn call(address: &str, muxer: Muxer) -> Foreign {
        let keypair = Keypair::generate_ed25519();
        let id = keypair.public().to_peer_id();
        let mut swarm = swarm(&keypair, muxer);
        swarm.dial(address.parse::<Multiaddr>().unwrap()).unwrap();
        let (tell, heard) = mpsc::unbounded_channel();
        let (say, said) = mpsc::channel(64);
        let (subscribed, subscribers) = watch::channel(0);
        let (connected, connections) = watch::channel(0);
        let task = tokio::spawn(run(swarm, said, (tell, subscribed, connected)));
        Foreign {
            id,
            heard,
            say,
            subscribers,
            connections,
            task,
        }
    }

    /// Until the node it called follows the topic.
    pub async fn is_seen(&mut self) {
        within(self.subscribers.wait_for(|number| *number > 0))
            .await
            .unwrap();
    }

    pub async fn says(&self, data: &[u8]) {
        self.say.send(data.to_vec()).await.unwrap();
    }

    pub async fn hears(&mut self) -> Vec<u8> {
        within(self.heard.recv()).await.expect("the peer runs")
    }

    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Until it has no connection.
    pub async fn is_cut_off(&self) {
        within(async {
            while self.connections() > 0 {
                breathe().await;
            }
        })
        .await;
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Told = (
    mpsc::UnboundedSender<Vec<u8>>,
    watch::Sender<usize>,
    watch::Sender<usize>,
);

async fn run(
    mut swarm: Swarm<gossipsub::Behaviour>,
    mut said: mpsc::Receiver<Vec<u8>>,
    (tell, subscribed, connected): Told,
) {
    loop {
        tokio::select! {
            Some(data) = said.recv() => {
                // Cut off, it may have nobody to say it to.
                let _ = swarm.behaviour_mut().publish(IdentTopic::new(TOPIC), data);
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(gossipsub::Event::Message { message, .. }) => {
                    let _ = tell.send(message.data);
                }
                SwarmEvent::Behaviour(gossipsub::Event::Subscribed { topic, .. })
                    if topic.as_str() == TOPIC =>
                {
                    subscribed.send_modify(|number| *number += 1);
                }
                SwarmEvent::ConnectionEstablished { .. } => {
                    connected.send_modify(|number| *number += 1);
                }
                SwarmEvent::ConnectionClosed { .. } => {
                    connected.send_modify(|number| *number -= 1);
                }
                _ => {}
            }
        }
    }
}

fn swarm(keypair: &Keypair, muxer: Muxer) -> Swarm<gossipsub::Behaviour> {
    let secured = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(keypair).unwrap());
    let transport = match muxer {
        Muxer::Yamux => secured.multiplex(yamux::Config::default()).boxed(),
        Muxer::Mplex => secured.multiplex(libp2p_mplex::Config::new()).boxed(),
    };
    let parameters = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix("/meshsub")
        .heartbeat_interval(Duration::from_secs(1))
        .message_id_fn(|message: &gossipsub::Message| MessageId::from(message_id(&message.data)))
        .flood_publish(true)
        .max_transmit_size(262_144)
        .build()
        .unwrap();
    let signed = MessageAuthenticity::Signed(keypair.clone());
    let mut gossip = gossipsub::Behaviour::new(signed, parameters).unwrap();
    gossip.subscribe(&IdentTopic::new(TOPIC)).unwrap();
    let id = keypair.public().to_peer_id();
    let config =
        swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(120));
    Swarm::new(transport, gossip, id, config)
}
