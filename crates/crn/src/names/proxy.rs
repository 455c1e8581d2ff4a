//! HAProxy's admin socket: one command, one answer, one connection.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::limits;

/// The names of a map and where they lead, sorted. The error is a sentence.
pub(super) async fn shown(socket: &Path, map: &Path) -> Result<Vec<(String, String)>, String> {
    let answer = ask(socket, &format!("show map {}", map.display())).await?;
    if answer.contains("Unknown map") {
        return Err(answer.trim().to_owned());
    }
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    let mut shown: Vec<_> = answer.lines().filter_map(line).collect();
    shown.sort();
    Ok(shown)
}

/// Runs a command that answers nothing when it is done. The error is a sentence.
pub(super) async fn tell(socket: &Path, command: &str) -> Result<(), String> {
    let answer = ask(socket, command).await?;
    match answer.trim() {
        "" => Ok(()),
        refused => Err(format!("HAProxy: {refused}")),
    }
}

async fn ask(socket: &Path, command: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(command.as_bytes()).await?;
        stream.write_all(b"\n").await?;
        let mut answer = String::new();
        let bounded = u64::try_from(limits::NAMES_BYTES_MAX).unwrap_or(u64::MAX);
        stream.take(bounded).read_to_string(&mut answer).await?;
        Ok::<String, std::io::Error>(answer)
    };
    let wrong = |reason: String| format!("HAProxy at {}: {reason}", socket.display());
    timeout(limits::NAMES_DEADLINE, exchange)
        .await
        .map_err(|_| wrong("no answer".to_owned()))?
        .map_err(|error| wrong(error.to_string()))
}
