//! The clients of the HTTP measurement: few instructions around sockets, so
//! that the two processors are left to the node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::feed::{Chunk, Lines};
use crate::meter::process_cpu;

/// One message of this many is looked for in the list.
const ONE_IN_LISTED: usize = 10;

/// `ADDRESS FILE FIRST COUNT CONNECTIONS RATE`; a rate of 0 is as fast as it
/// goes. Prints one JSON object.
pub async fn run(words: &[String]) {
    let number = |index: usize| words[index].parse::<usize>().unwrap();
    let (first, count, connections, rate) = (number(2), number(3), number(4), number(5));
    let mut lines = Lines::open(words[1].as_ref());
    drop(lines.take(first));
    let requests = Arc::new(Requests {
        lines: lines.take(count),
        address: words[0].clone(),
        begun: Instant::now() + Duration::from_millis(100),
        connections,
        rate,
    });
    assert_eq!(requests.lines.len(), count);
    let cpu = process_cpu();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for lane in 0..connections {
        tasks.push(tokio::spawn(requests.clone().lane(lane)));
    }
    let (mut processed, mut listed) = (Vec::new(), Vec::new());
    for task in tasks {
        let (some, others) = task.await.unwrap();
        processed.extend(some);
        listed.extend(others);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_micros = (process_cpu() - cpu).as_secs_f64() * 1e6 / count as f64;
    println!(
        "{}",
        json!({
            "seconds": seconds, "cpu_micros": cpu_micros,
            "processed": shares(processed), "listed": shares(listed),
        })
    );
}

struct Requests {
    lines: Chunk,
    address: String,
    begun: Instant,
    connections: usize,
    rate: usize,
}

impl Requests {
    /// One connection: times until processed, and until listed.
    async fn lane(self: Arc<Self>, lane: usize) -> (Vec<Duration>, Vec<Duration>) {
        let mut connection = Connection::open(&self.address).await;
        let (mut processed, mut listed) = (Vec::new(), Vec::new());
        for index in (lane..self.lines.len()).step_by(self.connections) {
            let mut due = Instant::now();
            if self.rate > 0 {
                due = self.begun + Duration::from_secs(1) * index as u32 / self.rate as u32;
                tokio::time::sleep_until(due.into()).await;
            }
            let message = self.lines[index].trim_ascii();
            let body = [b"{\"sync\":true,\"message\":", message, b"}"].concat();
            let (status, answer) = connection.post("/api/v0/messages", &body).await;
            let said = String::from_utf8_lossy(&answer);
            assert!(
                status == 200 && said.contains("processed"),
                "{status} {said}"
            );
            processed.push(due.elapsed());
            // Numbers of lanes and of the sample have no common pattern.
            if self.rate > 0 && index / self.connections % ONE_IN_LISTED == lane % ONE_IN_LISTED {
                connection.wait_for(message).await;
                listed.push(due.elapsed());
            }
        }
        (processed, listed)
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    async fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream: BufReader::new(stream),
            host: address.to_owned(),
        }
    }

    async fn post(&mut self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.ask(&request).await
    }

    /// Asks for the list until the message is in it.
    async fn wait_for(&mut self, message: &[u8]) {
        let message: serde_json::Value = serde_json::from_slice(message).unwrap();
        let hash = message["item_hash"].as_str().unwrap();
        let request = format!(
            "GET /api/v0/messages.json?hashes={hash} HTTP/1.1\r\nhost: {}\r\n\r\n",
            self.host
        );
        loop {
            let (status, answer) = self.ask(request.as_bytes()).await;
            assert_eq!(status, 200);
            if answer
                .windows(hash.len())
                .any(|some| some == hash.as_bytes())
            {
                return;
            }
        }
    }

    async fn ask(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.stream.get_mut().write_all(request).await.unwrap();
        let (mut status, mut length) = (0, 0);
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.unwrap();
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if status == 0 {
                status = header.split(' ').nth(1).unwrap().parse().unwrap();
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        (status, body)
    }
}

fn shares(mut times: Vec<Duration>) -> serde_json::Value {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len().saturating_sub(1) as f64 * share) as usize;
        times.get(index).map(|time| time.as_secs_f64() * 1e3)
    };
    json!({
        "count": times.len(), "p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": at(1.0),
    })
}
