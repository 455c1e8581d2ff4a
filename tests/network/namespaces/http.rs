//! A client of one node, on one connection that is kept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

pub struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(address: Ipv4Addr) -> Client {
        Client {
            address: (address, super::nodes::HTTP_PORT).into(),
            stream: None,
        }
    }

    /// Status and body; an error when nobody answers. A connection that the node
    /// closed meanwhile is made again once.
    pub fn ask(&mut self, request: &str, body: &str) -> io::Result<(u16, Value)> {
        if self.stream.is_some()
            && let Ok(answer) = self.try_ask(request, body)
        {
            return Ok(answer);
        }
        self.stream = None;
        self.try_ask(request, body)
    }

    pub fn get(&mut self, path: &str) -> io::Result<Value> {
        let (status, said) = self.ask(&format!("GET {path}"), "")?;
        match status {
            200 => Ok(said),
            _ => Err(io::Error::other(format!("{path}: {status} {said}"))),
        }
    }

    fn try_ask(&mut self, request: &str, body: &str) -> io::Result<(u16, Value)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect_timeout(&self.address, CONNECT)?;
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

/// Status and body, of a known length or in chunks.
fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<(u16, Value)> {
    let status = read_line(stream)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = read_line(stream)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(count) = header.strip_prefix("content-length:") {
            length = count.trim().parse().map_err(|_| broken())?;
        }
        is_chunked |= header.starts_with("transfer-encoding:") && header.ends_with("chunked");
    }
    let mut body = read_bytes(stream, length)?;
    while is_chunked {
        let count = usize::from_str_radix(&read_line(stream)?, 16).map_err(|_| broken())?;
        body.extend(read_bytes(stream, count)?);
        read_line(stream)?;
        is_chunked = count > 0;
    }
    let status = status.ok_or_else(broken)?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line)? {
        0 => Err(broken()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

fn read_bytes(stream: &mut BufReader<TcpStream>, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn broken() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
