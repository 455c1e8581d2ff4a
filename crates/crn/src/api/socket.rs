//! WebSockets of programs: the node speaks the protocol, the program sees
//! messages.
//!
//! ```text
//!  client ─ frames ─▶ up ───▶ messages, close ─▶ program
//!         ◀─ frames ─ down ◀─ messages, close ─
//!                      └ ping when the client is silent; silence for long ends it
//! ```
//!
//! Each direction waits for its taker and for nothing else. When either side
//! ends the other has a moment to end too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use beth_protocol::ItemHash;
use bytes::Bytes;
use futures::future::Either;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};

use super::{Api, answer, error};
use crate::executor::{Call, Connection, Message, Socket, clip};
use crate::limits;
use crate::pool::{Answered, Connected};

/// True for a request that asks for a WebSocket.
pub(super) fn is_asked(parts: &Parts) -> bool {
    let upgrade = parts.headers.get(header::UPGRADE);
    parts.method == Method::GET
        && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Connects a client with a program, or passes on why not.
pub(super) async fn connect(
    api: &Api,
    item_hash: &ItemHash,
    mut parts: Parts,
    call: Call,
) -> Response {
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused.into_response(),
    };
    let connected = api
        .pool
        .connect(item_hash, call, subprotocols(&parts.headers));
    let Connected {
        connection,
        code_ref,
    } = match connected.await {
        Ok(connected) => connected,
        Err(fault) => return error::of_call(&fault),
    };
    let socket = match connection {
        Connection::Open(socket) => socket,
        Connection::Refused(answer) => {
            let answered = Answered { answer, code_ref };
            return answer::response(item_hash, answered, false, api.config.program_body_limit());
        }
    };
    let headers = socket.headers.clone();
    let mut upgrade = upgrade
        .max_message_size(limits::MESSAGE_BYTES_MAX)
        .max_frame_size(limits::MESSAGE_BYTES_MAX);
    if let Some(subprotocol) = &socket.subprotocol {
        upgrade = upgrade.protocols([subprotocol.clone()]);
    }
    let mut response = upgrade.on_upgrade(move |client| relay(client, socket));
    add_headers(response.headers_mut(), &headers);
    answer::name(response.headers_mut(), item_hash, &code_ref);
    response
}

/// What a program adds to its handshake, but for what the handshake is made of.
fn add_headers(all: &mut HeaderMap, added: &[(Vec<u8>, Vec<u8>)]) {
    for (name, value) in added.iter().take(limits::ANSWER_HEADERS_MAX) {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            continue;
        };
        let ours = name.as_str().starts_with("sec-websocket-")
            || [
                header::CONNECTION,
                header::UPGRADE,
                header::TRANSFER_ENCODING,
            ]
            .contains(&name)
            || name == header::CONTENT_LENGTH;
        if !ours {
            // A map that is full takes no more.
            let _ = all.try_append(name, value);
        }
    }
}

fn subprotocols(headers: &HeaderMap) -> Vec<String> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    let names = lists.flat_map(|list| list.split(',').map(|name| name.trim().to_owned()));
    names
        .filter(|name| !name.is_empty())
        .take(limits::SUBPROTOCOLS_MAX)
        .collect()
}

async fn relay(client: WebSocket, socket: Socket) {
    let seen = Seen::new();
    let (sink, stream) = client.split();
    let Socket {
        incoming,
        outgoing,
        guards,
        ..
    } = socket;
    let down = std::pin::pin!(down(incoming, sink, seen.clone()));
    let up = std::pin::pin!(up(stream, outgoing, seen));
    let grace = limits::SOCKET_CLOSE_DEADLINE;
    let rest: Either<_, _> = match futures::future::select(down, up).await {
        Either::Left(((), up)) => Either::Left(up),
        Either::Right(((), down)) => Either::Right(down),
    };
    let _ = tokio::time::timeout(grace, rest).await;
    drop(guards);
}

/// When the client was last heard of.
#[derive(Clone)]
struct Seen(Arc<Mutex<Instant>>);

impl Seen {
    fn new() -> Seen {
        Seen(Arc::new(Mutex::new(Instant::now())))
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_long_ago(&self) -> bool {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.elapsed() >= limits::SOCKET_SILENCE_DEADLINE
    }
}

/// From the client to the program, to the client's close.
async fn up(
    mut client: SplitStream<WebSocket>,
    mut program: std::pin::Pin<Box<dyn futures::Sink<Message, Error = ()> + Send>>,
    seen: Seen,
) {
    let mut close = (1006, String::new());
    while let Some(Ok(frame)) = client.next().await {
        seen.now();
        let message = match frame {
            Frame::Text(text) => Message::Text(text.as_str().to_owned()),
            Frame::Binary(bytes) => Message::Binary(bytes),
            Frame::Ping(_) | Frame::Pong(_) => continue,
            Frame::Close(frame) => {
                close = frame.map_or((1005, String::new()), |frame| {
                    (frame.code, frame.reason.as_str().to_owned())
                });
                break;
            }
        };
        if program.send(message).await.is_err() {
            break;
        }
    }
    let (code, reason) = close;
    // A program that has gone needs no farewell.
    let _ = program.send(Message::Close { code, reason }).await;
    // Our answer to the client's close leaves while it is read to its end.
    while let Some(Ok(_)) = client.next().await {}
}

/// From the program to the client, to the program's close.
async fn down(
    mut program: futures::stream::BoxStream<'static, Message>,
    mut client: SplitSink<WebSocket, Frame>,
    seen: Seen,
) {
    let mut clock = tokio::time::interval(limits::SOCKET_PING_PERIOD);
    clock.tick().await;
    loop {
        let message = tokio::select! {
            message = program.next() => message,
            _ = clock.tick() => {
                if seen.is_long_ago() || client.send(Frame::Ping(Bytes::new())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let frame = match message {
            Some(Message::Text(text)) => Frame::Text(text.into()),
            Some(Message::Binary(bytes)) => Frame::Binary(bytes),
            Some(Message::Close { code, reason }) => {
                let _ = client.send(farewell(code, &reason)).await;
                return;
            }
            None => return,
        };
        let sent = tokio::time::timeout(limits::SOCKET_SILENCE_DEADLINE, client.send(frame));
        if !matches!(sent.await, Ok(Ok(()))) {
            return;
        }
    }
}

/// A close that may be sent.
fn farewell(code: u16, reason: &str) -> Frame {
    let code = match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => code,
        _ => 1011,
    };
    let reason = clip(reason, 123).into();
    Frame::Close(Some(CloseFrame { code, reason }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_those_that_may_be_sent() {
        for (code, sent) in [
            (1000, 1000),
            (4001, 4001),
            (1006, 1011),
            (7, 1011),
            (9999, 1011),
        ] {
            let Frame::Close(Some(frame)) = farewell(code, &"é".repeat(100)) else {
                panic!("no close")
            };
            assert_eq!((frame.code, frame.reason.len()), (sent, 122));
        }
    }

    #[test]
    fn subprotocols_are_listed_in_order() {
        let mut headers = HeaderMap::new();
        for list in ["chat, superchat", " ,x"] {
            headers.append(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(list),
            );
        }
        assert_eq!(subprotocols(&headers), ["chat", "superchat", "x"]);
    }
}
