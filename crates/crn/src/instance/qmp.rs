//! The monitor of a QEMU, and the agent inside its guest: lines of JSON on a
//! Unix socket.
//!
//! ```text
//! execute ─▶ {"execute": …, "id": n} ─▶ QEMU
//!         ◀─ {"return": …, "id": n}  ◀─┤
//! events  ◀─ {"event": …}            ◀─┘
//! ```
//!
//! QEMU talks to one client at a time, which is the node. Answers come in order;
//! what comes late, after a command was given up, is told by its number.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::limits;

/// What came from QEMU unasked.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `SHUTDOWN`, `BLOCK_JOB_COMPLETED`, …
    pub name: String,
    /// Its particulars.
    pub data: Value,
}

/// A connection to the monitor. When it is dropped QEMU runs on.
#[derive(Debug)]
pub struct Qmp {
    writer: OwnedWriteHalf,
    answers: mpsc::Receiver<Value>,
    events: mpsc::Receiver<Event>,
    number: u64,
    /// Process at the other end.
    pub pid: i32,
    _reader: tokio_util::task::AbortOnDropHandle<()>,
}

impl Qmp {
    /// Connects and greets. The error is a sentence.
    pub async fn connect(path: &Path) -> Result<Qmp, String> {
        let greet = async {
            let stream = UnixStream::connect(path).await.map_err(text)?;
            let pid = stream.peer_cred().map_err(text)?.pid();
            let pid = pid.ok_or("the system does not say which process it is")?;
            let (reader, writer) = stream.into_split();
            let mut reader = BufReader::new(reader);
            let greeting = line(&mut reader).await.ok_or("no greeting came")?;
            if greeting.get("QMP").is_none() {
                return Err("it is no QEMU monitor".to_owned());
            }
            let (to_answers, answers) = mpsc::channel(limits::INSTANCE_MONITOR_LINES_MAX);
            let (to_events, events) = mpsc::channel(limits::INSTANCE_MONITOR_LINES_MAX);
            let reading = tokio::spawn(sort_lines(reader, to_answers, to_events));
            let mut qmp = Qmp {
                writer,
                answers,
                events,
                number: 0,
                pid,
                _reader: tokio_util::task::AbortOnDropHandle::new(reading),
            };
            qmp.execute("qmp_capabilities", Value::Null).await?;
            Ok(qmp)
        };
        timeout(limits::INSTANCE_MONITOR_DEADLINE, greet)
            .await
            .unwrap_or_else(|_| Err("the monitor does not answer".to_owned()))
    }

    /// Runs a command; the error is QEMU's sentence.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        self.exchange((command, arguments), None).await
    }

    /// Lets QEMU, which sees no files but its own, open this one: as
    /// `/dev/fdset/<the number that is returned>`.
    pub async fn lend(&mut self, file: BorrowedFd<'_>) -> Result<u64, String> {
        let added = self.exchange(("add-fd", Value::Null), Some(file)).await?;
        let set = added["fdset-id"].as_u64();
        set.ok_or_else(|| "add-fd: QEMU does not say which set it is".to_owned())
    }

    async fn exchange(
        &mut self,
        (command, arguments): (&str, Value),
        file: Option<BorrowedFd<'_>>,
    ) -> Result<Value, String> {
        self.number += 1;
        let mut request = json!({"execute": command, "id": self.number});
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let exchange = async {
            let line = format!("{request}\n");
            let mut unsent = line.as_bytes();
            if let Some(file) = file {
                let sent = pass(self.writer.as_ref(), unsent, file).await;
                unsent = unsent.get(sent.map_err(text)?..).unwrap_or_default();
            }
            self.writer.write_all(unsent).await.map_err(text)?;
            loop {
                let answer = self.answers.recv().await;
                let mut answer = answer.ok_or("the monitor has closed")?;
                if answer["id"] != json!(self.number) {
                    continue;
                }
                if let Some(error) = answer.get("error") {
                    let sentence = error["desc"].as_str().unwrap_or("it refused");
                    return Err(format!("{command}: {sentence}"));
                }
                return Ok(answer["return"].take());
            }
        };
        timeout(limits::INSTANCE_MONITOR_DEADLINE, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("{command}: no answer")))
    }

    /// The next event; `None` when QEMU has closed the connection.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// Sends the beginning of a line, and a descriptor with its first byte.
async fn pass(stream: &UnixStream, line: &[u8], file: BorrowedFd<'_>) -> io::Result<usize> {
    let send = || {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [file];
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("the descriptor does not fit"));
        }
        let parts = [IoSlice::new(line)];
        Ok(sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL)?)
    };
    stream.async_io(Interest::WRITABLE, send).await
}

/// Until the connection ends. When nobody reads events, the newest are dropped.
async fn sort_lines(
    mut reader: BufReader<OwnedReadHalf>,
    answers: mpsc::Sender<Value>,
    events: mpsc::Sender<Event>,
) {
    while let Some(mut line) = line(&mut reader).await {
        if let Some(name) = line["event"].as_str() {
            let event = Event {
                name: name.to_owned(),
                data: line["data"].take(),
            };
            drop(events.try_send(event));
        } else if answers.send(line).await.is_err() {
            return;
        }
    }
}

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> Option<Value> {
    let mut line = Vec::new();
    let mut bounded = reader.take(limits::INSTANCE_MONITOR_LINE_BYTES_MAX);
    match bounded.read_until(b'\n', &mut line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => serde_json::from_slice(&line).ok(),
    }
}

/// Asks the agent inside a guest, which may be absent, old or hostile: one
/// question, one bounded answer, a deadline.
pub async fn ask_agent(path: &Path, command: &str) -> Result<Value, String> {
    let ask = async {
        let stream = UnixStream::connect(path).await.map_err(text)?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let number = u64::from(std::process::id()) << 20 | u64::from(rand_20());
        let sync = json!({"execute": "guest-sync", "arguments": {"id": number}});
        writer
            .write_all(format!("{sync}\n").as_bytes())
            .await
            .map_err(text)?;
        loop {
            let answer = line(&mut reader).await.ok_or("the agent has closed")?;
            if answer["return"] == json!(number) {
                break;
            }
        }
        let request = json!({"execute": command});
        writer
            .write_all(format!("{request}\n").as_bytes())
            .await
            .map_err(text)?;
        let mut answer = line(&mut reader).await.ok_or("the agent has closed")?;
        match answer.get("error") {
            Some(error) => Err(format!("{command}: {}", error["desc"])),
            None => Ok(answer["return"].take()),
        }
    };
    timeout(limits::GUEST_AGENT_DEADLINE, ask)
        .await
        .unwrap_or_else(|_| Err("no agent answers in the guest".to_owned()))
}

fn rand_20() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    COUNTER.fetch_add(1, Ordering::Relaxed) & 0xf_ffff
}

fn text(error: io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    async fn scripted(listener: UnixListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        writer.write_all(b"{\"QMP\": {}}\n").await.unwrap();
        while let Some(request) = line(&mut reader).await {
            let id = request["id"].clone();
            let answer = match request["execute"].as_str().unwrap() {
                "bad" => json!({"error": {"desc": "no such thing"}, "id": id}),
                _ => json!({"return": {"ok": true}, "id": id}),
            };
            let noise = json!({"return": {}, "id": 999});
            let event = json!({"event": "STOP", "data": {"a": 1}});
            let lines = format!("{noise}\n{event}\n{answer}\n");
            writer.write_all(lines.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn answers_and_events_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp");
        let served = tokio::spawn(scripted(UnixListener::bind(&path).unwrap()));
        let mut qmp = Qmp::connect(&path).await.unwrap();
        assert_eq!(qmp.pid, std::process::id() as i32);
        let answer = qmp.execute("query-status", Value::Null).await.unwrap();
        assert_eq!(answer, json!({"ok": true}));
        let error = qmp.execute("bad", Value::Null).await.unwrap_err();
        assert_eq!(error, "bad: no such thing");
        assert_eq!(qmp.event().await.unwrap().name, "STOP");
        drop(qmp);
        served.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_monitor_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp");
        assert!(Qmp::connect(&path).await.is_err());
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"{\"hello\": 1}\n").await.unwrap();
        });
        let error = Qmp::connect(&path).await.unwrap_err();
        assert_eq!(error, "it is no QEMU monitor");
    }
}
