//! Sends each message when it is due, over a few connections that stay open.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use crate::messages::Messages;

const CONNECTIONS: usize = 16;

pub async fn submit(address: &str, messages: &Arc<Messages>) {
    let mut lanes = Vec::new();
    for lane in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        lanes.push(tokio::spawn(send(stream, lane, messages.clone())));
    }
    for lane in lanes {
        lane.await.unwrap();
    }
}

async fn send(mut stream: TcpStream, lane: usize, messages: Arc<Messages>) {
    let mut answer = vec![0; 4_096];
    for (number, said) in messages.all().enumerate().skip(lane).step_by(CONNECTIONS) {
        let due = messages.begun() + messages.pause() * number as u32;
        sleep_until(due.into()).await;
        let mut request = format!(
            "POST /api/v0/messages HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            said.body.len()
        )
        .into_bytes();
        request.extend_from_slice(&said.body);
        stream.write_all(&request).await.unwrap();
        // One short answer, which loopback does not split.
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
}
