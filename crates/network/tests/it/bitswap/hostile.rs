//! A peer of another make, which says whatever it is told to.

use std::time::Instant;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{PeerId, StreamProtocol, SwarmBuilder, noise, swarm::SwarmEvent, tcp, yamux};
use libp2p_stream::{Control, IncomingStreams};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::shelf::cid;
use super::{PATIENCE, Trader, blocks};
use crate::{breathe, within};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/bitswap/1.2.0");

/// The other side of an exchange, by hand.
pub(crate) struct Stranger {
    id: PeerId,
    control: Control,
    node: PeerId,
    stream: Option<libp2p::Stream>,
    /// Messages that came.
    heard: mpsc::Receiver<Vec<u8>>,
}

impl Stranger {
    pub(crate) async fn connect(node: &Trader) -> Stranger {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
            .build();
        let id = *swarm.local_peer_id();
        let mut control = swarm.behaviour().new_control();
        let incoming = control.accept(PROTOCOL).unwrap();
        let address: libp2p::Multiaddr = node.peer.address().parse().unwrap();
        swarm.dial(address).unwrap();
        let (told, heard) = mpsc::channel(10_000);
        tokio::spawn(listen(incoming, told));
        let (met, connected) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut met = Some(met);
            loop {
                if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await
                    && let Some(met) = met.take()
                {
                    met.send(()).unwrap();
                }
            }
        });
        within(connected).await.unwrap();
        let stranger = Stranger {
            id,
            control,
            node: node.peer.network.peer_id().parse().unwrap(),
            stream: None,
            heard,
        };
        within(async {
            let id = stranger.id.to_string();
            while !node.peer.network.connected_peers().await.contains(&id) {
                breathe().await;
            }
        })
        .await;
        stranger
    }

    pub(crate) async fn wants(&mut self, cids: &[&[u8]]) {
        let entries = cids.iter().map(|cid| {
            let entry = [field(1, cid), vec![0x10, 1, 0x28, 1]].concat();
            field(1, &entry)
        });
        let list: Vec<u8> = entries.flatten().collect();
        self.says(&field(1, &list)).await;
    }

    pub(crate) async fn gives(&mut self, block: &[u8]) {
        let block = [field(1, &[1, 0x55, 0x12, 0x20]), field(2, block)].concat();
        self.says(&field(3, &block)).await;
    }

    pub(crate) async fn told_absent(&mut self, cid: &[u8]) {
        let presence = [field(1, cid), vec![0x10, 1]].concat();
        self.hears(&field(4, &presence)).await;
    }

    pub(crate) async fn gets(&mut self, block: &[u8]) {
        self.hears(&field(2, block)).await;
    }

    /// Waits for a message with these bytes in it.
    async fn hears(&mut self, part: &[u8]) -> Vec<u8> {
        within(async {
            loop {
                let message = self.heard.recv().await.expect("the stranger runs");
                if message.windows(part.len()).any(|window| window == part) {
                    return message;
                }
            }
        })
        .await
    }

    async fn says(&mut self, message: &[u8]) {
        let frame = [varint(message.len()), message.to_vec()].concat();
        self.writes(&frame).await;
    }

    async fn writes(&mut self, bytes: &[u8]) {
        if self.stream.is_none() {
            let opened = self.control.open_stream(self.node, PROTOCOL);
            self.stream = Some(within(opened).await.unwrap());
        }
        let stream = self.stream.as_mut().unwrap();
        within(stream.write_all(bytes)).await.unwrap();
        within(stream.flush()).await.unwrap();
    }
}

async fn listen(mut incoming: IncomingStreams, told: mpsc::Sender<Vec<u8>>) {
    while let Some((_, mut stream)) = incoming.next().await {
        let told = told.clone();
        tokio::spawn(async move {
            while let Some(length) = read_varint(&mut stream).await {
                let mut message = vec![0; length];
                if stream.read_exact(&mut message).await.is_err() {
                    return;
                }
                told.send(message).await.unwrap();
            }
        });
    }
}

async fn read_varint(stream: &mut libp2p::Stream) -> Option<usize> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.ok()?;
        value |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            return Some(value);
        }
    }
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len()), bytes.to_vec()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_passed_over() {
    let all = blocks(20, 3_000);
    let honest = Trader::start(&all, &[]).await;
    let wants = Trader::start(&[], &[&honest]).await;
    let mut liar = Stranger::connect(&wants).await;
    let names: Vec<_> = all.iter().map(|block| cid(block)).collect();
    let providers = [liar.id.to_string()];
    let begun = Instant::now();
    let mut fetch = wants.exchange.fetch(names.clone(), &providers, PATIENCE);
    liar.hears(&names[0]).await;
    liar.gives(b"anything else").await;
    let mut count = 0;
    while let Some(found) = within(fetch.next()).await {
        let block = found.block.unwrap();
        assert!(found.cid.ends_with(&Sha256::digest(&block)));
        count += 1;
    }
    assert_eq!(count, all.len());
    assert_eq!(wants.exchange.exchanged().faults, 1);
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    // It is not asked any more, though it is named.
    let nowhere = cid(b"nowhere");
    let mut fetch = wants
        .exchange
        .fetch(vec![nowhere.clone()], &providers, PATIENCE);
    assert!(within(fetch.next()).await.unwrap().block.is_err());
    while let Ok(message) = liar.heard.try_recv() {
        assert!(!message.windows(36).any(|part| part == nowhere));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_survived() {
    let has = Trader::start(&[b"block".to_vec()], &[]).await;
    let huge = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 100]].concat();
    let endless = vec![0xff; 100];
    let nonsense = [&[20][..], &[0xff; 20]].concat();
    let unasked = [varint(8), field(3, &field(2, b"none")), Vec::new()].concat();
    for (number, garbage) in [huge, endless, nonsense, unasked].into_iter().enumerate() {
        let mut stranger = Stranger::connect(&has).await;
        stranger.writes(&garbage).await;
        within(async {
            while has.exchange.exchanged().faults <= number as u64 {
                breathe().await;
            }
        })
        .await;
    }
    let mut stranger = Stranger::connect(&has).await;
    stranger.wants(&[&cid(b"block")]).await;
    stranger.gets(b"block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wants_keeps_nobody_waiting() {
    let has = Trader::start(&[b"block".to_vec()], &[]).await;
    let mut flood = Stranger::connect(&has).await;
    let names: Vec<_> = (0..4_000_u32).map(|one| cid(&one.to_be_bytes())).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    for _ in 0..10 {
        flood.wants(&names).await;
    }
    let wants = Trader::start(&[], &[&has]).await;
    let all = wants.fetch(vec![cid(b"block")], &[&has]).await;
    assert_eq!(all[0].block, Ok(b"block".to_vec()));
    flood.told_absent(names[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_awaits_is_taken_back() {
    let wants = Trader::start(&[], &[]).await;
    let mut stranger = Stranger::connect(&wants).await;
    let name = cid(b"block");
    let providers = [stranger.id.to_string()];
    let fetch = wants
        .exchange
        .fetch(vec![name.clone()], &providers, PATIENCE);
    stranger.hears(&name).await;
    drop(fetch);
    let cancel = [field(1, &name), vec![0x18, 1]].concat();
    stranger.hears(&cancel).await;
    // Too late, and no lie.
    stranger.gives(b"block").await;
    stranger.wants(&[&name]).await;
    stranger.told_absent(&name).await;
    assert_eq!(wants.exchange.exchanged().faults, 0);
}
