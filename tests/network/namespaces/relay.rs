//! A relay of TCP connections that is slow, and not always equally slow.
//!
//! ```text
//!  node ──▶ reader: due = not before the one before, now + delay ──▶ queue ──▶ writer waits until due ──▶ node
//! ```
//!
//! A connection keeps the order of its bytes, as TCP promises; what travels over
//! several relays is overtaken by what came later over a quicker one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::history::Dice;

const CHUNK_BYTES: usize = 16 << 10;
/// Chunks on their way; then the reader waits.
const UNDER_WAY: usize = 256;

/// From the least to the longest time that bytes are under way.
#[derive(Clone, Copy)]
pub struct Delay {
    pub least: Duration,
    pub longest: Duration,
}

/// Relays connections to `target` until the process ends; where to connect.
pub fn relay(target: SocketAddr, delay: Delay, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind((super::lan::HUB, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut dice = Dice::new(seed);
        for caller in listener.incoming().flatten() {
            let Ok(callee) = TcpStream::connect(target) else {
                continue;
            };
            for (from, to) in [(&caller, &callee), (&callee, &caller)] {
                let _ = from.set_nodelay(true);
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let own = Dice::new(dice.below(usize::MAX) as u64);
                let (send, due) = sync_channel(UNDER_WAY);
                std::thread::spawn(move || read(from, &send, (delay, own)));
                std::thread::spawn(move || write(to, &due));
            }
        }
    });
    address
}

fn read(mut from: TcpStream, send: &SyncSender<(Instant, Vec<u8>)>, way: (Delay, Dice)) {
    let (delay, mut dice) = way;
    let spread = (delay.longest - delay.least).as_micros() as usize;
    let mut last = Instant::now();
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let extra = Duration::from_micros(dice.below(spread + 1) as u64);
        last = last.max(Instant::now() + delay.least + extra);
        if send.send((last, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Read);
}

fn write(mut to: TcpStream, due: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((when, bytes)) = due.recv() {
        std::thread::sleep(when.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
