//! QEMU's monitor: freezing, thawing, saving and loading a machine.
//!
//! ```text
//!            ┌──────── command {id} ────────▶┐
//!  Monitor ──┤◀── answer {id}, event … ──────┤ QEMU (QMP, one JSON object a line)
//!            └──── descriptor (SCM_RIGHTS) ─▶┘
//! ```
//!
//! The socket is a pair of which QEMU inherits the other end, so nobody else can
//! connect. QEMU may have been taken over by its guest: lines are bounded, what
//! is not understood is an error, and every wait has a deadline. Answers carry
//! the number of their command, so that a command which was given up leaves
//! nothing behind but an answer that is skipped.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use bytes::{Buf, BytesMut};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use crate::executor::clip;
use crate::limits;

const STATE: &str = "state";

/// Why the monitor did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum MonitorFault {
    /// The connection failed, mostly because QEMU ended.
    #[error("QEMU's monitor is gone: {0}")]
    Gone(#[from] io::Error),
    /// No answer in time.
    #[error("QEMU did not answer '{0}' in time")]
    Late(&'static str),
    /// It says no.
    #[error("QEMU refuses '{command}': {reason}")]
    Refused {
        /// What was asked for.
        command: &'static str,
        /// QEMU's words.
        reason: String,
    },
    /// What came is no answer.
    #[error("QEMU's monitor said something that is no answer")]
    Nonsense,
}

/// The connection to one QEMU, ready for commands.
#[derive(Debug)]
pub(super) struct Monitor {
    stream: UnixStream,
    unread: BytesMut,
    number: u64,
    /// The state that the last event about a migration told.
    migration: Option<String>,
}

/// What QEMU writes: an answer, or an event.
#[derive(Debug, Deserialize)]
struct Said {
    id: Option<u64>,
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    desc: String,
}

impl Monitor {
    /// Waits for QEMU to greet, and enters command mode. The caller bounds how
    /// long QEMU may take to come up.
    pub(super) async fn open(stream: UnixStream) -> Result<Monitor, MonitorFault> {
        let mut monitor = Monitor {
            stream,
            unread: BytesMut::new(),
            number: 0,
            migration: None,
        };
        while monitor.hear().await?.greeting.is_none() {}
        monitor.execute("qmp_capabilities", json!({})).await?;
        Ok(monitor)
    }

    /// Freezes the machine: its processors stand still.
    pub(super) async fn stop(&mut self) -> Result<(), MonitorFault> {
        self.execute("stop", json!({})).await.map(drop)
    }

    /// Lets the machine run.
    pub(super) async fn cont(&mut self) -> Result<(), MonitorFault> {
        self.execute("cont", json!({})).await.map(drop)
    }

    /// Ends QEMU.
    pub(super) async fn quit(&mut self) -> Result<(), MonitorFault> {
        self.execute("quit", json!({})).await.map(drop)
    }

    /// Writes the state of a stopped machine, all but its memory, to a file.
    pub(super) async fn save(&mut self, file: impl AsFd) -> Result<(), MonitorFault> {
        self.leave_memory_out().await?;
        self.execute_with("getfd", json!({"fdname": STATE}), Some(file.as_fd()))
            .await?;
        self.execute("migrate", json!({"uri": format!("fd:{STATE}")}))
            .await?;
        self.migrated("migrate").await
    }

    /// Reads such a state from a descriptor that QEMU inherited. The machine is
    /// stopped afterwards.
    pub(super) async fn load(&mut self, file: RawFd) -> Result<(), MonitorFault> {
        self.leave_memory_out().await?;
        self.execute("migrate-incoming", json!({"uri": format!("fd:{file}")}))
            .await?;
        self.migrated("migrate-incoming").await
    }

    /// Memory that lies in a file needs no copy; the end is told by an event.
    async fn leave_memory_out(&mut self) -> Result<(), MonitorFault> {
        let capabilities = ["x-ignore-shared", "events"]
            .map(|capability| json!({"capability": capability, "state": true}));
        let arguments = json!({"capabilities": capabilities});
        self.execute("migrate-set-capabilities", arguments)
            .await
            .map(drop)
    }

    async fn migrated(&mut self, command: &'static str) -> Result<(), MonitorFault> {
        let ending = async {
            loop {
                match self.migration.as_deref() {
                    Some("completed") => return Ok(()),
                    Some("failed" | "cancelled") => return Err(self.why_not(command).await),
                    _ => drop(self.hear().await?),
                }
            }
        };
        tokio::time::timeout(limits::MONITOR_DEADLINE, ending)
            .await
            .map_err(|_| MonitorFault::Late(command))?
    }

    async fn why_not(&mut self, command: &'static str) -> MonitorFault {
        match self.execute("query-migrate", json!({})).await {
            Ok(told) => MonitorFault::Refused {
                command,
                reason: clip(
                    told["error-desc"].as_str().unwrap_or("it gives no reason"),
                    limits::ERROR_BYTES_MAX,
                ),
            },
            Err(fault) => fault,
        }
    }

    async fn execute(
        &mut self,
        command: &'static str,
        arguments: Value,
    ) -> Result<Value, MonitorFault> {
        self.execute_with(command, arguments, None).await
    }

    async fn execute_with(
        &mut self,
        command: &'static str,
        arguments: Value,
        passed: Option<BorrowedFd<'_>>,
    ) -> Result<Value, MonitorFault> {
        self.number += 1;
        let number = self.number;
        let object = json!({"execute": command, "arguments": arguments, "id": number});
        let line = format!("{object}\n").into_bytes();
        let exchange = async {
            match passed {
                Some(file) => self.pass(&line, file).await?,
                None => self.stream.write_all(&line).await?,
            }
            loop {
                let said = self.hear().await?;
                if said.id != Some(number) {
                    continue;
                }
                return match (said.value, said.error) {
                    (Some(value), _) => Ok(value),
                    (None, Some(refusal)) => Err(MonitorFault::Refused {
                        command,
                        reason: clip(&refusal.desc, limits::ERROR_BYTES_MAX),
                    }),
                    (None, None) => Err(MonitorFault::Nonsense),
                };
            }
        };
        tokio::time::timeout(limits::MONITOR_DEADLINE, exchange)
            .await
            .map_err(|_| MonitorFault::Late(command))?
    }

    /// Sends a line and a descriptor with its first byte.
    async fn pass(&mut self, line: &[u8], file: BorrowedFd<'_>) -> io::Result<()> {
        let sent = self
            .stream
            .async_io(Interest::WRITABLE, || {
                let mut space =
                    [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                let descriptors = [file];
                if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                    return Err(io::Error::other(
                        "the descriptor does not fit in its message",
                    ));
                }
                let parts = [IoSlice::new(line)];
                Ok(sendmsg(
                    &self.stream,
                    &parts,
                    &mut control,
                    SendFlags::NOSIGNAL,
                )?)
            })
            .await?;
        self.stream
            .write_all(line.get(sent..).unwrap_or_default())
            .await
    }

    /// The next line. What it tells of a migration is remembered.
    async fn hear(&mut self) -> Result<Said, MonitorFault> {
        let line = loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end);
                self.unread.advance(1);
                break line;
            }
            if self.unread.len() > limits::MONITOR_LINE_BYTES_MAX {
                return Err(MonitorFault::Nonsense);
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        };
        let said: Said = serde_json::from_slice(&line).map_err(|_| MonitorFault::Nonsense)?;
        if said.event.as_deref() == Some("MIGRATION") {
            self.migration = said.data["status"].as_str().map(str::to_owned);
        }
        Ok(said)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, BufReader};

    const HELLO: &str = r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#;

    /// Greets, answers what it is asked in order, and returns the commands.
    async fn scripted(stream: UnixStream, answers: Vec<&str>) -> Vec<String> {
        let mut stream = BufReader::new(stream);
        stream.write_all(HELLO.as_bytes()).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
        let mut commands = Vec::new();
        for (number, answer) in (1..).zip(answers) {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let command: Value = serde_json::from_str(&line).unwrap();
            commands.push(command["execute"].as_str().unwrap().to_owned());
            let answer = answer.replace("ID", &number.to_string());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(b"\n").await.unwrap();
        }
        commands
    }

    #[tokio::test]
    async fn commands_find_their_answers_among_events() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answers = vec![
            r#"{"return": {}, "id": ID}"#,
            "{\"event\": \"STOP\"}\n{\"return\": 7, \"id\": 99}\n{\"return\": {}, \"id\": ID}",
            r#"{"return": {}, "id": ID}"#,
            r#"{"return": {}, "id": ID}"#,
            "{\"return\": {}, \"id\": ID}\n{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}}\n\
             {\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}}",
        ];
        let using = async {
            let mut monitor = Monitor::open(ours).await.unwrap();
            monitor.stop().await.unwrap();
            monitor.save(tempfile::tempfile().unwrap()).await.unwrap();
        };
        let ((), commands) = tokio::join!(using, scripted(theirs, answers));
        let expected = [
            "qmp_capabilities",
            "stop",
            "migrate-set-capabilities",
            "getfd",
            "migrate",
        ];
        assert_eq!(commands, expected);
    }

    #[tokio::test]
    async fn refusals_are_told_and_the_end_is_noticed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answers = vec![
            r#"{"return": {}, "id": ID}"#,
            r#"{"error": {"class": "GenericError", "desc": "not now"}, "id": ID}"#,
        ];
        let using = async {
            let mut monitor = Monitor::open(ours).await.unwrap();
            let refused = monitor.cont().await.unwrap_err().to_string();
            assert_eq!(refused, "QEMU refuses 'cont': not now");
            assert!(matches!(monitor.cont().await, Err(MonitorFault::Gone(_))));
        };
        tokio::join!(using, scripted(theirs, answers));
    }

    #[tokio::test]
    async fn nonsense_and_endless_lines_are_refused() {
        for nonsense in [
            b"hello\n".to_vec(),
            vec![b' '; limits::MONITOR_LINE_BYTES_MAX * 2],
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let writing = async move {
                let _ = theirs.write_all(&nonsense).await;
                theirs
            };
            let (opened, _theirs) = tokio::join!(Monitor::open(ours), writing);
            assert!(matches!(opened, Err(MonitorFault::Nonsense)), "{opened:?}");
        }
    }
}
