//! Calls through HTTP, as many as there go.
//!
//! The clients write what they are told to and count answers by their length,
//! so that they take as little of the machine as possible.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ground::{Core, Node};
use crate::{account, again, processor_time, report};

const CONNECTIONS: u32 = 32;
const SECONDS: u32 = 4;
/// Of what a node can answer, the share at which latency is told.
const STEADY_RATE: u32 = 1000;

/// Starts a node on processor 0 and clients on processor 1.
pub fn measure(component: &str) {
    let mut node = again(Some(0), &["node", component])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(node.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let flood = |kind: &str| {
        let mut clients = again(Some(1), &["clients", url.trim(), kind]);
        let clients = clients.stderr(Stdio::inherit()).output().unwrap();
        assert!(clients.status.success());
        let said = String::from_utf8(clients.stdout).unwrap();
        let (number, report) = said.split_once('\n').unwrap();
        print!("{report}");
        number.parse::<f64>().unwrap()
    };
    let before = processor_time(node.id());
    let requests = flood("flood");
    let took = processor_time(node.id()) - before;
    println!(
        "of the node's processor time {:.1} µs each: {:.0} requests/s of one processor that it has for itself",
        took.as_secs_f64() * 1e6 / requests,
        requests / took.as_secs_f64()
    );
    if requests > f64::from(2 * STEADY_RATE * SECONDS) {
        flood("steady");
    }
    drop(node.stdin.take());
    assert!(node.wait().unwrap().success());
}

/// A node with one program, until its input ends.
pub async fn serve(component: Bytes) {
    let core = Core::start(&account()).await;
    let node = Node::start(&core, &account(), None).await;
    let program = core.program(&component, "loaded");
    node.timed_call(&program).await;
    println!("{}/vm/{program}/", node.url);
    let ended =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    ended.await.unwrap().unwrap();
    node.stop().await;
}

/// As fast as it goes, or at a steady rate. Prints the number first.
pub async fn clients(url: &str, is_flood: bool) {
    let (address, path) = url
        .trim_start_matches("http://")
        .split_once('/')
        .expect("an address and a path");
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    if !is_flood {
        return steady(address, &request).await;
    }
    let begun = Instant::now();
    let lanes = (0..CONNECTIONS).map(|_| {
        let (address, request) = (address.to_owned(), request.clone());
        tokio::spawn(async move {
            let mut lane = Lane::open(&address, request).await;
            let mut times = Vec::new();
            while begun.elapsed() < Duration::from_secs(SECONDS.into()) {
                times.push(lane.call().await);
            }
            times
        })
    });
    let mut times = Vec::new();
    for lane in lanes.collect::<Vec<_>>() {
        times.extend(lane.await.unwrap());
    }
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    println!("{}", times.len());
    println!("HTTP, node on one processor, {CONNECTIONS} connections: {rate:.0} requests/s");
    report("of which each", times);
}

/// Requests at a fixed rate, whether or not the earlier ones were answered.
async fn steady(address: &str, request: &str) {
    let begun = Instant::now() + Duration::from_millis(100);
    let lanes = (0..CONNECTIONS).map(|first| {
        let (address, request) = (address.to_owned(), request.to_owned());
        tokio::spawn(async move {
            let mut lane = Lane::open(&address, request).await;
            let mut times = Vec::new();
            let mut number = first;
            while number < STEADY_RATE * SECONDS {
                let due = begun + Duration::from_secs(1) / STEADY_RATE * number;
                tokio::time::sleep_until(due.into()).await;
                times.push(lane.call().await);
                number += CONNECTIONS;
            }
            times
        })
    });
    let mut times = Vec::new();
    for lane in lanes.collect::<Vec<_>>() {
        times.extend(lane.await.unwrap());
    }
    println!("{}", times.len());
    report(&format!("at {STEADY_RATE} requests/s"), times);
}

/// One connection.
struct Lane {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Lane {
    async fn open(address: &str, request: String) -> Lane {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Lane {
            stream,
            request,
            buffer: vec![0; 64 << 10],
        }
    }

    /// One request to the last byte of its answer.
    async fn call(&mut self) -> Duration {
        let begun = Instant::now();
        self.stream
            .write_all(self.request.as_bytes())
            .await
            .unwrap();
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[length..]).await.unwrap();
            assert!(read > 0, "the node ended the connection");
            length += read;
            if whole(&self.buffer[..length]) {
                return begun.elapsed();
            }
        }
    }
}

/// True when head and body are here.
fn whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let body = &answer[head + 4..];
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().unwrap())
    });
    match length {
        Some(length) => body.len() == length,
        None => body.ends_with(b"0\r\n\r\n"),
    }
}
