//! `GET …/stream_logs`: what a machine prints, as it prints it, over a
//! WebSocket (compute.md §7.1).
//!
//! ```text
//!  client ── {"auth": …} ─▶ {"status": "connected"} ─▶ past lines ─▶ new lines … ─▶ close
//!                      └──▶ {"status": "failed", "reason": …} ─▶ close 1000
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::{Api, json, now};
use super::parse;
use crate::limits;
use crate::workloads::{Known, LogLine, Workloads};

/// Close code of a conversation that ended as it should.
const NORMAL: u16 = 1000;

/// Largest first frame, in bytes.
const AUTH_BYTES_MAX: usize = 64 << 10;

/// What a client wants of the past (register 32); everything by default.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Past {
    /// Unix seconds.
    since: Option<f64>,
    /// Newest lines.
    limit: Option<usize>,
}

/// The client left, or does not read.
struct Gone;

/// The handler.
pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    Path(reference): Path<String>,
    Query(past): Query<Past>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let item_hash = parse(&reference)?;
    let none = || ApiError::new(StatusCode::NOT_FOUND, "No execution found for this VM");
    let (known, workloads) = api.machines.find(&item_hash).await.ok_or_else(none)?;
    let upgrade = upgrade
        .map_err(|rejection| ApiError::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let Ok(place) = api.log_streams.clone().try_acquire_owned() else {
        let text = "this node streams as many logs as it can; try again later";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let workloads = workloads.clone();
    let upgrade = upgrade.max_message_size(AUTH_BYTES_MAX);
    let tasks = api.tasks.clone();
    let upgraded = upgrade.on_upgrade(move |socket| {
        tasks.track_future(async move {
            let _place = place;
            let cancel = api.cancel.clone();
            let talk = converse(&api, socket, known, workloads, past);
            // A client that has left needs no word of it.
            let _ = cancel.run_until_cancelled(talk).await;
        })
    });
    Ok(upgraded.into_response())
}

async fn converse(
    api: &Api,
    mut socket: WebSocket,
    known: Known,
    workloads: Arc<dyn Workloads>,
    past: Past,
) -> Result<(), Gone> {
    if let Err(reason) = authenticate(api, &mut socket, &known).await? {
        say(&mut socket, &json!({"status": "failed", "reason": reason})).await?;
        return close(&mut socket).await;
    }
    // Who was told that it is connected misses nothing from then on.
    let mut sent = workloads.logs(&known.item_hash).await.unwrap_or_default();
    say(&mut socket, &json!({"status": "connected"})).await?;
    if known.is_starting && !known.is_running {
        say_system(&mut socket, "VM is starting, try again shortly").await?;
        return close(&mut socket).await;
    }
    let skip = past
        .limit
        .map_or(0, |limit| sent.len().saturating_sub(limit));
    let newer = |line: &&LogLine| {
        past.since
            .is_none_or(|since| line.time.seconds_f64() >= since)
    };
    for line in sent.iter().skip(skip).filter(newer) {
        say_line(&mut socket, line).await?;
    }
    if !known.is_running {
        say_system(&mut socket, "VM is not running, past logs sent").await?;
        return close(&mut socket).await;
    }
    loop {
        tokio::select! {
            frame = socket.recv() => match frame {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                Some(Ok(_)) => {}
            },
            () = tokio::time::sleep(limits::LOG_LOOK_PERIOD) => {
                let lives = workloads.find(&known.item_hash).await;
                let lines = workloads.logs(&known.item_hash).await.unwrap_or_default();
                for line in lines.iter().skip(overlap(&sent, &lines)) {
                    say_line(&mut socket, line).await?;
                }
                sent = lines;
                if !lives.is_some_and(|known| known.is_running) {
                    return close(&mut socket).await;
                }
            }
        }
    }
}

/// The first frame within its time; the inner error is told to the client.
async fn authenticate(
    api: &Api,
    socket: &mut WebSocket,
    known: &Known,
) -> Result<Result<(), String>, Gone> {
    let first = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Binary(bytes))) => {
                    return Ok(String::from_utf8_lossy(&bytes).into_owned());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                Some(Ok(_)) => {}
            }
        }
    };
    let frame = tokio::time::timeout(limits::REQUEST_BODY_DEADLINE, first).await;
    let frame = frame.map_err(|_| Gone)??;
    let operator = match api.door.admit_frame(&frame, now()) {
        Ok(operator) => operator,
        Err(reason) => return Ok(Err(reason)),
    };
    let is_allowed = api.door.may_act(&operator.address, &known.owner).await;
    Ok(is_allowed
        .then_some(())
        .ok_or("unauthorized sender".to_owned()))
}

/// How many of the lines now kept were kept before: both are windows of one
/// sequence, of which the oldest lines drop out.
fn overlap(before: &[LogLine], now: &[LogLine]) -> usize {
    (0..=before.len())
        .map(|skip| &before[skip..])
        .find(|rest| now.starts_with(rest))
        .map_or(0, <[LogLine]>::len)
}

async fn say_line(socket: &mut WebSocket, line: &LogLine) -> Result<(), Gone> {
    let kind = if line.is_error { "stderr" } else { "stdout" };
    say(socket, &json!({"type": kind, "message": line.text})).await
}

async fn say_system(socket: &mut WebSocket, text: &str) -> Result<(), Gone> {
    say(socket, &json!({"type": "system", "message": text})).await
}

async fn say(socket: &mut WebSocket, value: &Value) -> Result<(), Gone> {
    send(socket, Message::Text(json::text(value).into())).await
}

async fn close(socket: &mut WebSocket) -> Result<(), Gone> {
    let frame = CloseFrame {
        code: NORMAL,
        reason: "".into(),
    };
    send(socket, Message::Close(Some(frame))).await?;
    // The client's own goodbye, so that it sees ours.
    let goodbye = async { while let Some(Ok(_)) = socket.recv().await {} };
    drop(tokio::time::timeout(Duration::from_secs(1), goodbye).await);
    Ok(())
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Gone> {
    match tokio::time::timeout(limits::REQUEST_BODY_DEADLINE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beth_protocol::time::Timestamp;

    #[test]
    fn lines_are_sent_once() {
        let lines = |text: &str| -> Vec<LogLine> {
            let line = |c: char| LogLine {
                time: Timestamp::default(),
                is_error: false,
                text: c.into(),
            };
            text.chars().map(line).collect()
        };
        for (before, now, kept) in [
            ("", "abc", 0),
            ("abc", "abc", 3),
            ("abc", "abcd", 3),
            ("abc", "cde", 1),
            ("abc", "xyz", 0),
            ("aaa", "aaab", 3),
        ] {
            assert_eq!(overlap(&lines(before), &lines(now)), kept, "{before} {now}");
        }
    }
}
