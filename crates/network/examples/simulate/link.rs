//! What lies between two nodes: a connection over TCP.
//!
//! A frame waits for the uplink of its sender, which all its connections
//! share, then for the way. One that is larger than what TCP sends at once from
//! rest takes further round trips; a lost packet is sent again a round trip
//! later, or, if too little came behind it to tell, after a timeout; and
//! nothing overtakes what was sent before on the same connection.

use super::clock::Time;
use super::random::Random;
use super::wire::{PACKET_BYTES, packets};

/// What TCP sends from rest before the first acknowledgement: ten packets.
const WINDOW_BYTES: usize = 10 * PACKET_BYTES;
/// The shortest timeout of TCP.
const TIMEOUT: Time = 200_000_000;
/// Packets behind a lost one that tell of it.
const TELLING_PACKETS: usize = 3;

/// A connection that there is or was.
#[derive(Clone, Debug)]
pub struct Link {
    /// Who called, who was called.
    pub ends: [usize; 2],
    /// Their ports.
    pub ports: [usize; 2],
    /// One way.
    pub latency: Time,
    /// Stands.
    pub is_up: bool,
    /// Counts connections, so that frames of an earlier one are known.
    pub era: u32,
    /// Calls that failed in a row.
    pub failures: u32,
    /// When the last frame from each end arrives.
    last: [Time; 2],
}

impl Link {
    /// A link that does not stand yet.
    pub fn new(ends: [usize; 2], ports: [usize; 2], latency: Time) -> Link {
        Link {
            ends,
            ports,
            latency,
            is_up: false,
            era: 0,
            failures: 0,
            last: [0; 2],
        }
    }

    /// When a frame arrives whose last bit leaves an end at `left`.
    pub fn arrival(
        &mut self,
        from: usize,
        left: Time,
        frame: (usize, f64),
        random: &mut Random,
    ) -> Time {
        let (bytes, loss) = frame;
        let mut on_way = self.latency + 2 * self.latency * rounds(bytes);
        if loss > 0.0 {
            on_way += self.repetitions(packets(bytes), loss, random);
        }
        let arrival = (left + on_way).max(self.last[from]);
        self.last[from] = arrival;
        arrival
    }

    fn repetitions(&self, packets: usize, loss: f64, random: &mut Random) -> Time {
        let round = 2 * self.latency;
        let mut lost: Vec<usize> = (0..packets).filter(|_| random.happens(loss)).collect();
        let (mut waited, mut timeout) = (0, round + TIMEOUT);
        while let Some(first) = lost.first() {
            let is_told = packets - first > TELLING_PACKETS;
            waited += match is_told && waited == 0 {
                true => round,
                false => timeout,
            };
            if waited > round {
                timeout *= 2;
            }
            lost.retain(|_| random.happens(loss));
        }
        waited
    }
}

/// Round trips that a frame takes beyond the first way.
fn rounds(bytes: usize) -> Time {
    let (mut sent, mut window, mut rounds) = (WINDOW_BYTES, WINDOW_BYTES, 0);
    while sent < bytes {
        window *= 2;
        sent += window;
        rounds += 1;
    }
    rounds
}
