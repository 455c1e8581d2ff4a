//! Processor time, memory, and the price of one recovery.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use beth_protocol::Message;
use beth_protocol::signature::evm;
use rustix::time::{ClockId, clock_gettime};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message as Digest, Secp256k1};

use crate::feed::Chunk;

/// Recoveries in one measurement.
const RECOVERIES: usize = 2_000;

/// What a round cost.
#[derive(Clone, Debug)]
pub struct Cost {
    pub cpu_micros: f64,
    pub per_second: f64,
    pub peak_mib: f64,
    /// Processor microseconds a message, by kind of thread.
    pub threads: BTreeMap<String, f64>,
}

/// Runs from its start to its stop.
pub struct Meter {
    cpu: Duration,
    threads: BTreeMap<String, f64>,
    begun: Instant,
}

impl Meter {
    pub fn start() -> Meter {
        // 5 resets the peak of resident memory (proc(5)).
        fs::write("/proc/self/clear_refs", "5").unwrap();
        Meter {
            threads: threads(),
            cpu: process_cpu(),
            begun: Instant::now(),
        }
    }

    /// The cost of each of so many messages.
    pub fn stop(self, count: u64) -> Cost {
        let wall = self.begun.elapsed();
        let cpu = process_cpu() - self.cpu;
        let mut threads = threads();
        for (name, micros) in &mut threads {
            *micros -= self.threads.get(name).copied().unwrap_or_default();
            *micros /= count as f64;
        }
        Cost {
            cpu_micros: cpu.as_secs_f64() * 1e6 / count as f64,
            per_second: count as f64 / wall.as_secs_f64(),
            peak_mib: status_kib("VmHWM:") / 1024.0,
            threads,
        }
    }
}

/// Processor microseconds of one bare recovery, on this thread alone.
pub fn recovery_micros(lines: &Chunk) -> f64 {
    let signed: Vec<_> = lines
        .iter()
        .take(RECOVERIES)
        .map(|line| parts(line))
        .collect();
    let curve = Secp256k1::verification_only();
    let begun = clock(ClockId::ThreadCPUTime);
    for (digest, signature) in &signed {
        let digest = Digest::from_digest(*digest);
        black_box(curve.recover_ecdsa(digest, signature).unwrap());
    }
    let spent = clock(ClockId::ThreadCPUTime) - begun;
    spent.as_secs_f64() * 1e6 / signed.len() as f64
}

fn parts(line: &[u8]) -> ([u8; 32], RecoverableSignature) {
    let message = Message::parse(&serde_json::from_slice(line).unwrap()).unwrap();
    let bytes = const_hex::decode(message.signature.as_deref().unwrap()).unwrap();
    let recovery = RecoveryId::try_from(i32::from(bytes[64]) - 27).unwrap();
    let signature = RecoverableSignature::from_compact(&bytes[..64], recovery).unwrap();
    let digest = evm::digest(message.verification_buffer().as_bytes());
    (digest, signature)
}

/// Processor time of this process so far.
pub fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn status_kib(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Microseconds on a processor of all threads of a name, numbers dropped.
fn threads() -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file));
        // A thread may end between the two reads.
        let (Ok(name), Ok(spent)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        let name = name
            .trim()
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let nanos: f64 = spent.split(' ').next().unwrap().parse().unwrap();
        *sums.entry(name.to_owned()).or_default() += nanos / 1e3;
    }
    sums
}
