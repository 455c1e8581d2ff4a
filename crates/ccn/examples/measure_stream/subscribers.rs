//! Those who listen: what each wants, and when it heard what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::messages::{Messages, Said};

/// Without a frame for so long, the rest does not come any more.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The filters of a subscriber.
#[derive(Default)]
pub struct Wanted {
    senders: Vec<String>,
    owners: Vec<String>,
    channels: Vec<String>,
    content_types: Vec<String>,
    tags: Vec<String>,
    references: Vec<String>,
}

/// What one heard.
#[derive(Default)]
pub struct Heard {
    /// Microseconds from the moment at which a message was due.
    pub times: Vec<u32>,
    /// Frames that are no message of ours.
    pub others: usize,
}

impl Wanted {
    /// No filter.
    pub fn everything() -> Wanted {
        Wanted::default()
    }

    /// Ten kinds of filters, no two subscribers of a kind alike if they can
    /// help it; one in a hundred wants everything.
    pub fn of(number: usize, messages: &Messages) -> Wanted {
        let turn = number / 10;
        let sender = |step: usize| messages.senders[(turn + step) % messages.senders.len()].clone();
        let one = |letter: &str, kinds: usize| vec![format!("{letter}{}", turn % kinds)];
        let mut wanted = Wanted::default();
        match number % 10 {
            0 => wanted.senders = vec![sender(0)],
            1 => wanted.channels = one("C", 50),
            2 => wanted.content_types = one("t", 40),
            3 => wanted.tags = one("g", 30),
            4 => wanted.references = one("r", 200),
            5 => wanted.senders = vec![sender(0), sender(50)],
            6 => wanted.owners = vec![sender(7)],
            7 => (wanted.channels, wanted.tags) = (one("C", 50), one("g", 30)),
            8 => (wanted.content_types, wanted.senders) = (one("t", 40), messages.senders.clone()),
            _ if turn.is_multiple_of(10) => {}
            _ => wanted.channels = (0..3).map(|n| format!("C{}", (turn + n) % 50)).collect(),
        }
        wanted
    }

    pub fn matches(&self, said: &Said) -> bool {
        let one_of =
            |wanted: &[String], value: &String| wanted.is_empty() || wanted.contains(value);
        one_of(&self.senders, &said.sender)
            && one_of(&self.owners, &said.sender)
            && one_of(&self.channels, &said.channel)
            && one_of(&self.content_types, &said.content_type)
            && one_of(&self.tags, &said.tag)
            && one_of(&self.references, &said.reference)
    }

    pub async fn open(&self, address: &str) -> WebSocketStream<TcpStream> {
        let mut query = "history=0".to_owned();
        for (name, values) in [
            ("addresses", &self.senders),
            ("owners", &self.owners),
            ("channels", &self.channels),
            ("contentTypes", &self.content_types),
            ("tags", &self.tags),
            ("refs", &self.references),
        ] {
            if !values.is_empty() {
                query += &format!("&{name}={}", values.join(","));
            }
        }
        let stream = TcpStream::connect(address).await.unwrap();
        open(stream, address, &query).await
    }
}

/// One who wants everything and never reads it.
pub async fn deaf(address: &str) -> WebSocketStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(address.parse().unwrap()).await.unwrap();
    open(stream, address, "history=0").await
}

async fn open(stream: TcpStream, address: &str, query: &str) -> WebSocketStream<TcpStream> {
    let url = format!("ws://{address}/api/ws0/messages?{query}");
    client_async(url, stream).await.unwrap().0
}

/// Listens until so many messages came.
pub async fn hear(
    mut socket: WebSocketStream<TcpStream>,
    count: usize,
    messages: Arc<Messages>,
) -> Heard {
    let mut heard = Heard::default();
    let mut at = Vec::with_capacity(count);
    while at.len() < count {
        match timeout(SILENCE_MAX, socket.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => match messages.number_in(&text) {
                Some(number) => at.push((number, Instant::now())),
                None => heard.others += 1,
            },
            Ok(Some(Ok(Message::Ping(_)))) => {}
            _ => break,
        }
    }
    let begun = messages.begun();
    let pause = messages.pause();
    let time = |(number, at): (usize, Instant)| {
        let due = begun + pause * number as u32;
        at.saturating_duration_since(due).as_micros() as u32
    };
    heard.times = at.into_iter().map(time).collect();
    heard
}
