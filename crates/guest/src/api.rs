//! The guest API (compute.md §15): HTTP on a local socket, answered by the node.
//!
//! ```text
//! program ─ HTTP ─▶ /tmp/socat-socket ─▶ one thread a connection ─ ask ─▶ node
//!         ◀────────────────────────────────────────────────────── answer ─┘
//! ```
//!
//! One question is under way at a time: the port is theirs in turn. A question
//! that was frozen with its machine gets no answer in the clone, so every wait
//! has an end, and answers to older questions are passed over.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use beth_guest::frame::{self, HEADER_BYTES, Header, Kind, map, member};
use rmpv::Value;

use crate::sys;

const SOCKET: &str = "/tmp/socat-socket";
const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
/// What is read of a request that was refused.
const REST_BYTES_MAX: u64 = 8 << 20;
const CONNECTIONS_MAX: usize = 16;
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);
/// A little more than the node takes.
const NODE_PATIENCE: Duration = Duration::from_secs(20);

/// The port and the number of the last question.
struct Line {
    port: File,
    last: u32,
}

/// Begins to serve; every connection has a thread.
pub fn serve(port: File) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the guest API: {error}");
    fs::create_dir_all("/tmp").map_err(failed)?;
    // One that the runtime's image brought.
    let _ = fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET).map_err(failed)?;
    fs::set_permissions(SOCKET, Permissions::from_mode(0o666)).map_err(failed)?;
    let line = Arc::new(Mutex::new(Line { port, last: 0 }));
    let open = Arc::new(AtomicUsize::new(0));
    let accepting = move || {
        for stream in listener.incoming().flatten() {
            if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let (line, held) = (Arc::clone(&line), Arc::clone(&open));
            let serving = move || {
                // A client that has gone needs nothing more.
                let _ = converse(stream, &line);
                held.fetch_sub(1, Ordering::SeqCst);
            };
            if thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(serving)
                .is_err()
            {
                open.fetch_sub(1, Ordering::SeqCst);
            }
        }
    };
    let spawned = thread::Builder::new().stack_size(64 << 10).spawn(accepting);
    spawned.map(|_| ()).map_err(failed)
}

/// One request, one answer.
fn converse(mut stream: UnixStream, line: &Mutex<Line>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
    let (answer, is_read) = match read_request(&mut stream) {
        Ok(question) => (ask(line, &question), true),
        Err(refusal) => (refusal, false),
    };
    let status = member(&answer, "status").as_u64().unwrap_or(502);
    let kind = member(&answer, "type").as_str().unwrap_or("text/plain");
    let body = member(&answer, "body").as_slice().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    if member(&answer, "head").as_bool() != Some(true) {
        stream.write_all(body)?;
    }
    if is_read {
        return Ok(());
    }
    // Closed with bytes unread, the socket would take the answer away again.
    stream.shutdown(Shutdown::Write)?;
    let rest = &mut stream.take(REST_BYTES_MAX);
    std::io::copy(rest, &mut std::io::sink()).map(drop)
}

fn refusal(status: u16, text: &str) -> Value {
    map([
        ("status", status.into()),
        ("body", Value::Binary(text.as_bytes().to_vec())),
    ])
}

/// The payload of an ask frame, or what to answer instead.
fn read_request(stream: &mut UnixStream) -> Result<Value, Value> {
    let gone = |_| refusal(400, "the request broke off");
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(refusal(431, "the head of the request is too long"));
        }
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).map_err(gone)?;
        if length == 0 {
            return Err(refusal(400, "the request broke off"));
        }
        bytes.extend_from_slice(&piece[..length]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(refusal(400, "the request line is no request line"));
    };
    let mut length = 0;
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "content-length" => {
                length = value
                    .parse()
                    .map_err(|_| refusal(400, "a bad content-length"))?;
            }
            "transfer-encoding" => return Err(refusal(411, "send a content-length")),
            "expect" => stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .map_err(gone)?,
            _ => {}
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(refusal(413, "the body is longer than 1 MiB"));
    }
    let mut body = bytes.split_off(end + 4);
    let begun = body.len();
    if begun < length {
        body.resize(length, 0);
        stream.read_exact(&mut body[begun..]).map_err(gone)?;
    }
    body.truncate(length);
    // A client may write the whole URL.
    let target = target
        .strip_prefix("http://")
        .map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    Ok(map([
        ("method", method.into()),
        ("target", target.into()),
        ("body", Value::Binary(body)),
    ]))
}

fn ask(line: &Mutex<Line>, question: &Value) -> Value {
    let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
    line.last = line.last.wrapping_add(1);
    let number = line.last;
    let asked = line
        .port
        .write_all(&frame::encode(Kind::Ask, number, question));
    let answered = asked.and_then(|()| {
        loop {
            let (header, payload) = receive(&mut line.port)?;
            if header.kind == Kind::Answer && header.call == number {
                break Ok(payload);
            }
        }
    });
    match answered {
        Ok(payload) => frame::decode(&payload)
            .unwrap_or_else(|_| refusal(502, "the node's answer makes no sense")),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            refusal(504, "the node did not answer in time")
        }
        Err(error) => refusal(502, &format!("the node cannot be asked: {error}")),
    }
}

fn receive(port: &mut File) -> std::io::Result<(Header, Vec<u8>)> {
    let mut head = [0; HEADER_BYTES];
    sys::wait_readable(port, NODE_PATIENCE)?;
    port.read_exact(&mut head)?;
    let header = Header::parse(head).map_err(std::io::Error::other)?;
    let mut payload = vec![0; header.length];
    port.read_exact(&mut payload)?;
    Ok((header, payload))
}
