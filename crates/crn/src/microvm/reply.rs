//! From a call to the frames of its request, and from frames to its answer.
//!
//! ```text
//! Call ─▶ scope, small body ─▶ run      reply ─▶ head ─▶ Answer
//!         large body ─▶ chunk … end     chunk … end ─▶ its body
//! ```
//!
//! The clock of a call runs while the guest could answer: not while the client
//! sends its body and the guest waits for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use beth_guest::frame::{self, MAX_CHUNK_BYTES, member};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use rmpv::Value;

use super::caller::{Event, Exchange, Pen};
use super::channel::{Channel, Ended};
use crate::body::{Body, BodyFault};
use crate::executor::{Answer, Call, Fault, Headers, clip};
use crate::limits;

/// How a call ended without an answer.
pub(super) enum Failure {
    /// The machine has gone.
    Ended,
    /// It has not; the guest answered nonsense if the fault is `Died`.
    Fault(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Fault(fault)
    }
}

impl From<Ended> for Failure {
    fn from(_: Ended) -> Failure {
        Failure::Ended
    }
}

/// Makes a call and waits for the head of its answer.
pub(super) async fn call(
    channel: &Channel,
    mut call: Call,
    limit: Duration,
) -> Result<Answer, Failure> {
    let body = std::mem::take(&mut call.body);
    let whole = body
        .as_whole()
        .filter(|bytes| bytes.len() <= MAX_CHUNK_BYTES);
    let first = whole.cloned().unwrap_or_default();
    let more = (whole.is_none()).then_some(body);
    let mut exchange = channel.open_call(false)?;
    let clock = Clock::new(limit);
    let payload = scope(&call, &first, more.is_some());
    let reply = async {
        exchange.send(&payload).await?;
        if let Some(body) = more {
            channel.spawn(pass(body, exchange.pen(), clock.clone()));
        }
        match exchange.next().await {
            Some(Event::Head(reply)) => Ok(reply),
            Some(Event::Unasked(fault)) => {
                let traceback = format!("the request could not be read to its end: {fault}");
                Err(Failure::Fault(Fault::Raised { traceback }))
            }
            _ => Err(Failure::Ended),
        }
    };
    let reply = tokio::select! {
        reply = reply => reply?,
        () = clock.expired() => return Err(Failure::Fault(Fault::Timeout)),
    };
    Ok(whole_or_begun(&reply, exchange)?)
}

/// Tells of an event and waits until it was dealt with.
pub(super) async fn event(
    channel: &Channel,
    kind: &str,
    event: String,
    limit: Duration,
) -> Result<Bytes, Failure> {
    let mut exchange = channel.open_call(false)?;
    let scope = frame::map([("type", kind.into()), ("body", event.into())]);
    let payload = frame::map([("scope", scope)]);
    let reply = async {
        exchange.send(&payload).await?;
        match exchange.next().await {
            Some(Event::Head(reply)) => Ok(reply),
            _ => Err(Failure::Ended),
        }
    };
    let reply = tokio::time::timeout(limit, reply).await;
    let reply = reply.map_err(|_| Failure::Fault(Fault::Timeout))??;
    let said = answer(&reply)?.body;
    Ok(said.as_whole().cloned().unwrap_or_default())
}

/// The answer in a reply, whose body goes on if the reply says so.
pub(super) fn whole_or_begun(reply: &Value, exchange: Exchange) -> Result<Answer, Fault> {
    let mut answer = answer(reply)?;
    if member(member(reply, "body"), "more_body").as_bool() == Some(true) {
        let first = answer.body.as_whole().filter(|first| !first.is_empty());
        let first = futures::stream::iter(first.cloned().map(Ok));
        answer.body = Body::stream(first.chain(Pieces(exchange)), None);
    }
    Ok(answer)
}

/// Passes a request's body on, piece by piece.
async fn pass(mut body: Body, pen: Pen, clock: Clock) {
    loop {
        clock.set(None);
        let piece = tokio::select! {
            () = pen.over() => return,
            piece = body.next() => piece,
        };
        clock.set(Some(Instant::now()));
        match piece {
            Some(Ok(piece)) => {
                for part in piece.chunks(MAX_CHUNK_BYTES) {
                    if pen.chunk(&Value::Binary(part.to_vec())).await.is_err() {
                        return;
                    }
                    clock.set(Some(Instant::now()));
                }
            }
            Some(Err(fault)) => return pen.give_up(fault),
            None => {
                let _ = pen.end(&Value::Nil).await;
                return;
            }
        }
    }
}

/// Since when the guest could answer; `None` while it waits for the client.
#[derive(Clone)]
struct Clock {
    since: Arc<Mutex<Option<Instant>>>,
    limit: Duration,
}

impl Clock {
    fn new(limit: Duration) -> Clock {
        let since = Arc::new(Mutex::new(Some(Instant::now())));
        Clock { since, limit }
    }

    fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    async fn expired(&self) {
        loop {
            let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
            let left = since.map_or(self.limit, |since| {
                self.limit.saturating_sub(since.elapsed())
            });
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// The chunks of an answer.
struct Pieces(Exchange);

impl Stream for Pieces {
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let broken = |why: String| Poll::Ready(Some(Err(BodyFault::Broken(why))));
        match std::task::ready!(self.0.poll_next(cx)) {
            Some(Event::Piece(Value::Binary(bytes))) => Poll::Ready(Some(Ok(bytes.into()))),
            Some(Event::End(end)) => match member(&end, "error").as_str() {
                None => Poll::Ready(None),
                Some(error) => broken(clip(error, limits::ERROR_BYTES_MAX)),
            },
            // It goes on until the answer has ended: the request's body was of no use.
            Some(Event::Unasked(fault)) => broken(format!("the request: {fault}")),
            Some(_) => broken("the machine answered nonsense".to_owned()),
            None => broken("the machine ended".to_owned()),
        }
    }
}

/// The payload of a run frame.
pub(super) fn scope(call: &Call, body: &[u8], more_body: bool) -> Value {
    let scope = frame::map([
        ("type", "http".into()),
        ("method", call.method.as_str().into()),
        ("path", call.path.as_str().into()),
        ("query_string", call.query.as_str().into()),
        ("headers", headers(&call.headers)),
        ("body", Value::Binary(body.to_vec())),
    ]);
    let Value::Map(mut scope) = scope else {
        return Value::Nil;
    };
    if more_body {
        scope.push(("more_body".into(), true.into()));
    }
    frame::map([("scope", Value::Map(scope))])
}

pub(super) fn headers(headers: &[(Vec<u8>, Vec<u8>)]) -> Value {
    let pairs = headers.iter().map(|(name, value)| {
        Value::Array(vec![
            Value::Binary(name.clone()),
            Value::Binary(value.clone()),
        ])
    });
    Value::Array(pairs.collect())
}

/// The answer in a reply, with as much of the body as came with it.
pub(super) fn answer(reply: &Value) -> Result<Answer, Fault> {
    if let Some(traceback) = member(reply, "traceback").as_str() {
        let traceback = if traceback.is_empty() {
            member(reply, "error").as_str().unwrap_or_default()
        } else {
            traceback
        };
        return Err(Fault::Raised {
            traceback: clip(traceback, limits::TRACEBACK_BYTES_MAX),
        });
    }
    let start = member(reply, "headers");
    let body = member(member(reply, "body"), "body")
        .as_slice()
        .ok_or_else(nonsense)?;
    if body.len() > limits::ANSWER_BYTES_MAX {
        let traceback = format!(
            "the answer is longer than {} bytes",
            limits::ANSWER_BYTES_MAX
        );
        return Err(Fault::Raised { traceback });
    }
    let status = member(start, "status")
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .ok_or_else(nonsense)?;
    Ok(Answer {
        status,
        headers: read_headers(member(start, "headers"))?,
        body: Bytes::copy_from_slice(body).into(),
    })
}

fn nonsense() -> Fault {
    Fault::Died("its answer was no answer".to_owned())
}

pub(super) fn read_headers(list: &Value) -> Result<Headers, Fault> {
    let mut headers = Vec::new();
    for header in list.as_array().ok_or_else(nonsense)? {
        match header.as_array().map(Vec::as_slice) {
            Some([name, value]) => {
                let (name, value) = (
                    name.as_slice().ok_or_else(nonsense)?,
                    value.as_slice().ok_or_else(nonsense)?,
                );
                headers.push((name.to_ascii_lowercase(), value.to_vec()));
            }
            _ => return Err(nonsense()),
        }
    }
    Ok(headers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_tracebacks_are_told_apart() {
        let headers = Value::Array(vec![Value::Array(vec![
            Value::Binary(b"X-A".to_vec()),
            Value::Binary(b"1".to_vec()),
        ])]);
        let good = frame::map([
            (
                "headers",
                frame::map([("status", 201.into()), ("headers", headers)]),
            ),
            (
                "body",
                frame::map([("body", Value::Binary(b"hi".to_vec()))]),
            ),
        ]);
        let answer_ = answer(&good).unwrap();
        assert_eq!(answer_.status, 201);
        assert_eq!(answer_.body.as_whole().unwrap(), "hi");
        assert_eq!(answer_.headers, [(b"x-a".to_vec(), b"1".to_vec())]);
        let raised = frame::map([
            ("error", "boom".into()),
            ("traceback", "Traceback: boom".into()),
        ]);
        assert!(
            matches!(answer(&raised), Err(Fault::Raised { traceback }) if traceback == "Traceback: boom")
        );
        for nonsense in [Value::Nil, frame::map([("headers", Value::Nil)]), 7.into()] {
            assert!(
                matches!(answer(&nonsense), Err(Fault::Died(_))),
                "{nonsense}"
            );
        }
    }
}
