//! A client on one connection that is kept open, and that does not give up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::history::Step;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What a node answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Processed,
    Pending,
    Rejected,
}

/// Where the node is now; what all clients and the killer share.
#[derive(Default)]
pub struct Desk {
    state: Mutex<Shared>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Shared {
    address: Option<SocketAddr>,
    answered: u64,
    cut: u64,
    is_closing: bool,
}

impl Desk {
    pub fn set_address(&self, address: Option<SocketAddr>) {
        self.lock().address = address;
        self.changed.notify_all();
    }

    /// Clients end after the message they are at.
    pub fn close(&self) {
        self.lock().is_closing = true;
    }

    pub fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    pub fn answered(&self) -> u64 {
        self.lock().answered
    }

    /// Requests that a kill cut off.
    pub fn cut(&self) -> u64 {
        self.lock().cut
    }

    /// Waits for so many answers more, or until it takes too long.
    pub fn wait_for_answers(&self, more: u64) {
        let target = self.answered() + more;
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, ANSWER, |state| state.answered < target);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            state.answered >= target,
            "the node does not answer any more"
        );
    }

    fn address(&self) -> SocketAddr {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, ANSWER, |state| state.address.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.address.expect("the node did not come back")
    }

    fn count(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is made again whenever it breaks.
pub struct Client<'a> {
    desk: &'a Desk,
    stream: Option<BufReader<TcpStream>>,
}

impl<'a> Client<'a> {
    pub fn new(desk: &'a Desk) -> Client<'a> {
        Client { desk, stream: None }
    }

    /// Sends a message until it is answered.
    pub fn submit(&mut self, step: &Step) -> Answer {
        let body = json!({"sync": true, "message": step.raw()}).to_string();
        loop {
            let (status, said) = self.ask("POST /api/v0/messages", &body);
            let answer = match (status, said["message_status"].as_str()) {
                (200, Some("processed")) => Answer::Processed,
                (202, Some("pending")) => Answer::Pending,
                (422, Some("rejected")) => Answer::Rejected,
                (503, _) => continue,
                // The node stops: it keeps the message, but told it to nobody.
                (500, None) if said["publication_status"]["status"] == "error" => continue,
                _ => panic!("{status} {said} to {body}"),
            };
            self.desk.count(|shared| shared.answered += 1);
            return answer;
        }
    }

    /// The status of a hash, as the node tells it.
    pub fn status(&mut self, hash: &str) -> String {
        let (_, said) = self.ask(&format!("GET /api/v0/messages/{hash}/status"), "");
        said["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a message waits no longer.
    pub fn settled(&mut self, hash: &str) -> String {
        let began = std::time::Instant::now();
        loop {
            let status = self.status(hash);
            if status != "pending" {
                return status;
            }
            assert!(began.elapsed() < ANSWER, "{hash} still waits");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The digest of the state.
    pub fn digest(&mut self) -> Value {
        let (status, said) = self.ask("GET /api/v0/state/digest", "");
        assert_eq!(status, 200, "{said}");
        said["digest"].clone()
    }

    /// Asks until there is an answer: status and body.
    fn ask(&mut self, request: &str, body: &str) -> (u16, Value) {
        loop {
            match self.try_ask(request, body) {
                Ok(answer) => return answer,
                Err(_) => {
                    self.stream = None;
                    self.desk.count(|shared| shared.cut += 1);
                    std::thread::yield_now();
                }
            }
        }
    }

    fn try_ask(&mut self, request: &str, body: &str) -> io::Result<(u16, Value)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(self.desk.address())?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER))?;
                none.insert(BufReader::new(stream))
            }
        };
        let request = format!(
            "{request} HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes())?;
        read_answer(stream)
    }
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<(u16, Value)> {
    let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(broken)?;
    let mut length = 0;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken());
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(bytes) = header.strip_prefix("content-length:") {
            length = bytes.trim().parse().map_err(|_| broken())?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}
