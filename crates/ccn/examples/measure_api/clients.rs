//! The clients of the measurement over HTTP: few instructions around sockets.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::times::Times;

/// `ADDRESS CONNECTIONS SECONDS`, paths on standard input, one a line. Prints
/// one JSON object.
pub async fn run(words: &[String]) {
    let (connections, seconds) = (
        words[1].parse::<usize>().unwrap(),
        words[2].parse().unwrap(),
    );
    let mut paths = String::new();
    std::io::stdin().read_to_string(&mut paths).unwrap();
    let address = words[0].clone();
    let requests = paths
        .lines()
        .map(|path| format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes());
    let requests: Arc<Vec<Vec<u8>>> = Arc::new(requests.collect());
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let mut lanes = Vec::new();
    for number in 0..connections {
        let first = number * requests.len() / connections;
        lanes.push(tokio::spawn(lane(
            address.clone(),
            requests.clone(),
            first,
            end,
        )));
    }
    let (mut times, mut bytes, mut count) = (Times::default(), 0, 0);
    for lane in lanes {
        let (some, read) = lane.await.unwrap();
        bytes += read;
        count += some.count();
        times.join(&some);
    }
    println!(
        "{}",
        json!({
            "requests": count, "seconds": begun.elapsed().as_secs_f64(), "bytes": bytes,
            "p50": times.at(0.5), "p99": times.at(0.99),
        })
    );
}

/// One connection, kept: one request after the other.
async fn lane(
    address: String,
    requests: Arc<Vec<Vec<u8>>>,
    first: usize,
    end: Instant,
) -> (Times, u64) {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut times, mut bytes) = (Times::default(), 0);
    let mut buffer = Vec::with_capacity(1 << 18);
    for request in requests.iter().cycle().skip(first) {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        stream.write_all(request).await.unwrap();
        bytes += answer(&mut stream, &mut buffer).await as u64;
        times.add(begun.elapsed());
    }
    (times, bytes)
}

/// Reads one answer to its end; bytes of its body.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> usize {
    buffer.clear();
    let head = loop {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0, "closed early");
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = std::str::from_utf8(&buffer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.unwrap().1.trim().parse().unwrap();
    while buffer.len() < head + length {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0, "closed early");
    }
    length
}
