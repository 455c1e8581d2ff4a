//! WebSockets on the stream of frames: every chunk is a message.
//!
//! ```text
//! run {type: websocket} ─▶ guest ─▶ {accept} ─▶ chunk = message, end = close, both ways
//!                              └──▶ {headers, body} ─▶ a refusal, as of HTTP
//! ```

use std::time::Duration;

use beth_guest::frame::{self, member};
use futures::StreamExt;
use rmpv::Value;

use super::caller::{Event, Exchange, Pen};
use super::channel::Channel;
use super::reply::{Failure, headers, read_headers, whole_or_begun};
use crate::executor::{Call, Connection, Fault, Message, Socket, clip};
use crate::limits;

/// The program failed: RFC 6455, 7.4.1.
const INTERNAL_ERROR: u16 = 1011;

/// Asks a program for a WebSocket.
pub(super) async fn connect(
    channel: &Channel,
    call: Call,
    subprotocols: &[String],
    limit: Duration,
) -> Result<Connection, Failure> {
    let mut exchange = channel.open_call(true)?;
    let payload = scope(&call, subprotocols);
    let reply = async {
        exchange.send(&payload).await?;
        match exchange.next().await {
            Some(Event::Head(reply)) => Ok(reply),
            _ => Err(Failure::Ended),
        }
    };
    let Ok(reply) = tokio::time::timeout(limit, reply).await else {
        return Err(Failure::Fault(Fault::Timeout));
    };
    let reply = reply?;
    let accepted = member(&reply, "accept");
    if !accepted.is_map() {
        return Ok(Connection::Refused(whole_or_begun(&reply, exchange)?));
    }
    let subprotocol = member(accepted, "subprotocol").as_str();
    Ok(Connection::Open(Socket {
        subprotocol: subprotocol.map(str::to_owned),
        headers: read_headers(member(accepted, "headers"))?,
        outgoing: Box::pin(futures::sink::unfold(exchange.pen(), tell)),
        incoming: futures::stream::unfold(Some(exchange), hear).boxed(),
        guards: Vec::new(),
    }))
}

fn scope(call: &Call, subprotocols: &[String]) -> Value {
    let subprotocols = subprotocols.iter().map(|name| name.as_str().into());
    let scope = frame::map([
        ("type", "websocket".into()),
        ("path", call.path.as_str().into()),
        ("query_string", call.query.as_str().into()),
        ("headers", headers(&call.headers)),
        ("subprotocols", Value::Array(subprotocols.collect())),
    ]);
    frame::map([("scope", scope)])
}

async fn tell(pen: Pen, message: Message) -> Result<Pen, ()> {
    let told = match message {
        Message::Text(text) => pen.chunk(&text.into()).await,
        Message::Binary(bytes) => pen.chunk(&Value::Binary(bytes.into())).await,
        Message::Close { code, reason } => {
            let close = frame::map([("code", code.into()), ("reason", reason.into())]);
            pen.end(&close).await
        }
    };
    told.map(|()| pen).map_err(|_| ())
}

async fn hear(exchange: Option<Exchange>) -> Option<(Message, Option<Exchange>)> {
    let mut exchange = exchange?;
    let message = match exchange.next().await {
        Some(Event::Piece(Value::Binary(bytes))) => Message::Binary(bytes.into()),
        Some(Event::Piece(Value::String(text))) => match text.into_str() {
            Some(text) => Message::Text(text),
            None => broken("the program sent a text that is no UTF-8"),
        },
        Some(Event::End(end)) => closed(&end),
        Some(_) => broken("the machine answered nonsense"),
        None => broken("the machine ended"),
    };
    let rest = (!matches!(message, Message::Close { .. })).then_some(exchange);
    Some((message, rest))
}

fn closed(end: &Value) -> Message {
    let code = member(end, "code").as_u64();
    let Some(code) = code.and_then(|code| u16::try_from(code).ok()) else {
        return broken("the program failed");
    };
    let reason = member(end, "reason").as_str().unwrap_or_default();
    Message::Close {
        code,
        reason: clip(reason, limits::ERROR_BYTES_MAX),
    }
}

fn broken(why: &str) -> Message {
    Message::Close {
        code: INTERNAL_ERROR,
        reason: why.to_owned(),
    }
}
