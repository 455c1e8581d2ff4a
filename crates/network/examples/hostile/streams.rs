//! Attacks below gossip: streams of which every byte is chosen.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder, multiaddr::Protocol};
use libp2p_stream::Control;
use tokio::sync::watch;

use crate::Outcome;

const PROTOCOLS: [&str; 8] = [
    "/meshsub/1.1.0",
    "/meshsub/1.2.0",
    "/beth/sync/1.0.0",
    "/beth/content/1.0.0",
    "/ipfs/bitswap/1.2.0",
    "/ipfs/id/1.0.0",
    "/ipfs/kad/1.0.0",
    "/ipfs/ping/1.0.0",
];
const CHUNK_BYTES: usize = 64 << 10;
const GIGABYTE: usize = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(1);

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Forger,
    Garbage,
    Giant,
    Mute,
}

impl Way {
    pub fn named(name: &str) -> Option<Way> {
        Some(match name {
            "forger" => Way::Forger,
            "garbage" => Way::Garbage,
            "giant" => Way::Giant,
            "mute" => Way::Mute,
            _ => return None,
        })
    }
}

/// Attacks until the connection is closed for good or the time is over.
pub async fn attack(way: Way, victim: &str, time: Duration) -> Outcome {
    let address: Multiaddr = victim.parse().unwrap();
    let Some(Protocol::P2p(peer)) = address.iter().last() else {
        panic!("{victim} does not end in /p2p/<id>");
    };
    let keypair = Keypair::generate_ed25519();
    let id = keypair.public().to_peer_id();
    let (control, mut connected, driver) = connect(keypair.clone(), address);
    connected.wait_for(|is| *is).await.unwrap();
    let began = Instant::now();
    let (mut acts, mut cut_off) = (0, false);
    let protocols = match way {
        Way::Forger => &PROTOCOLS[..1],
        _ => &PROTOCOLS[..],
    };
    while began.elapsed() < time && !cut_off {
        let each = protocols.iter().zip(acts..).map(|(name, number)| {
            let mut control = control.clone();
            let keypair = &keypair;
            let act = async move {
                let name = StreamProtocol::new(name);
                if let Ok(stream) = control.open_stream(peer, name).await {
                    let _ = write(way, stream, (keypair, number)).await;
                }
            };
            tokio::time::timeout(PATIENCE, act)
        });
        acts += join_all(each).await.len() as u64;
        // Called again at once each time; refused is what it must be in the end.
        let back = connected.wait_for(|is| *is);
        cut_off = tokio::time::timeout(PATIENCE, back).await.is_err();
    }
    driver.abort();
    Outcome {
        id: id.to_string(),
        acts,
        cut_off,
    }
}

fn connect(
    keypair: Keypair,
    address: Multiaddr,
) -> (Control, watch::Receiver<bool>, tokio::task::JoinHandle<()>) {
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(
            libp2p::tcp::Config::default().nodelay(true),
            libp2p::noise::Config::new,
            libp2p::yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    let control = swarm.behaviour().new_control();
    // Whoever speaks none of them is not listened to.
    for name in PROTOCOLS {
        let mut incoming = control.clone().accept(StreamProtocol::new(name)).unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(stream) = incoming.next().await {
                held.push(stream);
            }
        });
    }
    let (tell, connected) = watch::channel(false);
    swarm.dial(address.clone()).unwrap();
    let driver = tokio::spawn(async move {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => {
                    tell.send_replace(true);
                }
                SwarmEvent::ConnectionClosed {
                    num_established: 0, ..
                }
                | SwarmEvent::OutgoingConnectionError { .. } => {
                    tell.send_replace(false);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = swarm.dial(address.clone());
                }
                _ => {}
            }
        }
    });
    (control, connected, driver)
}

async fn write(way: Way, mut stream: libp2p::Stream, by: (&Keypair, u64)) -> std::io::Result<()> {
    let (keypair, seed) = by;
    match way {
        Way::Garbage => {
            let mut noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for _ in 0..16 {
                let bytes: Vec<u8> = (0..CHUNK_BYTES).map(|_| next(&mut noise)).collect();
                stream.write_all(&bytes).await?;
            }
        }
        Way::Giant => {
            // As a varint, as bytes of a length of four, and what it announces.
            stream.write_all(&[0x80, 0x80, 0x80, 0x80, 0x04]).await?;
            let zeros = vec![0; CHUNK_BYTES];
            for _ in 0..GIGABYTE / CHUNK_BYTES {
                stream.write_all(&zeros).await?;
            }
        }
        Way::Mute => {
            stream.write_all(&[0x40]).await?;
            stream.flush().await?;
            let mut answer = [0; 64];
            let _ = stream.read(&mut answer).await?;
        }
        Way::Forger => {
            for number in 0..50 {
                let data = format!("forged {seed} {number}").into_bytes();
                stream.write_all(&forged(keypair, &data)).await?;
            }
        }
    }
    stream.flush().await?;
    // Whether it is answered does not matter; that it is read does.
    let mut answer = vec![0; CHUNK_BYTES];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

fn next(noise: &mut u64) -> u8 {
    *noise ^= *noise << 13;
    *noise ^= *noise >> 7;
    *noise ^= *noise << 17;
    (*noise >> 32) as u8
}

/// A publication whose signature is of other bytes (network.md §2.3).
fn forged(keypair: &Keypair, data: &[u8]) -> Vec<u8> {
    let from = PeerId::from_public_key(&keypair.public()).to_bytes();
    let mut message = Vec::new();
    for (number, bytes) in [
        (1, from.as_slice()),
        (2, data),
        (3, &[7; 8]),
        (4, b"ALEPH-TEST"),
        (5, &keypair.sign(b"something else").unwrap()),
    ] {
        put(&mut message, number, bytes);
    }
    let mut rpc = Vec::new();
    put(&mut rpc, 2, &message);
    let mut frame = Vec::new();
    length(&mut frame, rpc.len());
    frame.extend(rpc);
    frame
}

fn put(into: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    into.push(number << 3 | 2);
    length(into, bytes.len());
    into.extend_from_slice(bytes);
}

fn length(into: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
