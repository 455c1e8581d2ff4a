//! The children: one process a node.
//!
//! ```text
//!  start ─▶ (one line on its standard output) ready ─▶ … ─▶ stop: SIGTERM, wait, SIGKILL to its group
//!                     └─ ended, or late: its last words as the error
//! ```
//!
//! Each child leads its own process group, so that Ctrl-C reaches the parent
//! alone, which then ends them in order: compute nodes before core nodes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures::FutureExt;
use futures::future::select_all;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use super::layout::Place;
use crate::node::{PARENT, Ready};

/// Longest time a child may take to end by itself: a compute node lets calls
/// end (10 s) and then its machines, some of them twice in a row (6 s each).
const STOP_TIMEOUT: Duration = Duration::from_secs(25);
/// Log files above this size begin anew at the next start, in bytes.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// How much of a log is shown when its node fails, in bytes and lines.
const LAST_WORDS: (u64, usize) = (8 * 1024, 12);

/// A running node.
#[derive(Debug)]
pub struct Child {
    place: Place,
    process: tokio::process::Child,
    output: Lines<BufReader<ChildStdout>>,
}

/// All of them, in the order of their start.
#[derive(Debug, Default)]
pub struct Children(Vec<Child>);

impl Child {
    /// Starts a node. Its parent must be the main thread: the kernel ends the
    /// child with the thread that made it.
    pub fn start(place: &Place) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let log = open_log(&place.log)
            .with_context(|| format!("cannot write {}", place.log.display()))?;
        let mut process = Command::new(program)
            .arg(place.verb)
            .arg("--config")
            .arg(&place.config)
            .env(PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", place.title))?;
        let output = process
            .stdout
            .take()
            .context("a child without standard output")?;
        Ok(Child {
            place: place.clone(),
            process,
            output: BufReader::new(output).lines(),
        })
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let line = self.output.next_line().await;
        match line
            .ok()
            .flatten()
            .as_deref()
            .map(serde_json::from_str::<Ready>)
        {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => bail!(
                "{} said something unexpected when it was ready: {error}",
                self.place.title
            ),
            // Its standard output ends just before it does.
            None => {
                let status = self
                    .process
                    .wait()
                    .await
                    .with_context(|| format!("cannot wait for {}", self.place.title))?;
                Err(self.last_words(&format!("could not start ({})", explain(status))))
            }
        }
    }

    async fn died(&mut self) -> anyhow::Error {
        match self.process.wait().await {
            Ok(status) => self.last_words(&format!("ended by itself ({})", explain(status))),
            Err(error) => anyhow!("cannot wait for {}: {error}", self.place.title),
        }
    }

    fn last_words(&self, what: &str) -> anyhow::Error {
        let words = tail(&self.place.log).unwrap_or_default();
        anyhow!(
            "{} {what}. The end of {}:\n{words}",
            self.place.title,
            self.place.log.display()
        )
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.process.id()?).ok()?)
    }

    fn terminate(&self) {
        if let Some(pid) = self.pid() {
            // It may have ended at this moment.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends it and everything it started.
    fn kill(&self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Children {
    /// Adds a child.
    pub fn push(&mut self, child: Child) {
        self.0.push(child);
    }

    /// Waits until every child is ready; fails with the first that is not.
    pub async fn ready(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let waited = futures::future::try_join_all(self.0.iter_mut().map(Child::ready));
        if let Ok(outcome) = tokio::time::timeout(timeout, waited).await {
            return outcome.map(drop);
        }
        let logs: Vec<String> = self
            .0
            .iter()
            .map(|child| child.place.log.display().to_string())
            .collect();
        bail!(
            "not every node was ready within {} s; look into {}",
            timeout.as_secs(),
            logs.join(", ")
        )
    }

    /// Waits until a child ends: which, how, and its last words.
    pub async fn died(&mut self) -> anyhow::Error {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter_mut().map(|child| Box::pin(child.died())))
            .await
            .0
    }

    /// Ends compute nodes, then core nodes; `hurry` (a second Ctrl-C) ends the
    /// patience.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        // Once it has come, it has come for every group.
        let hurry = Box::pin(hurry).shared();
        let (compute, core): (Vec<Child>, Vec<Child>) = self
            .0
            .into_iter()
            .partition(|child| child.place.verb == "crn");
        for mut group in [compute, core] {
            group.iter().for_each(Child::terminate);
            let ended =
                futures::future::join_all(group.iter_mut().map(|child| child.process.wait()));
            let late = tokio::select! {
                _ = ended => false,
                () = tokio::time::sleep(STOP_TIMEOUT) => true,
                () = hurry.clone() => true,
            };
            if late {
                group.iter().for_each(Child::kill);
                for child in &mut group {
                    if let Err(error) = child.process.wait().await {
                        tracing::warn!(%error, "cannot wait for {}", child.place.title);
                    }
                }
            }
        }
    }
}

fn explain(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(9)) => "killed, perhaps because memory ran out".to_owned(),
        (None, Some(number)) => format!("signal {number}"),
        (None, None) => "no exit code".to_owned(),
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    let large = path
        .metadata()
        .is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX);
    if large {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// The last lines of a log.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let (bytes, lines) = LAST_WORDS;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let last: Vec<String> = all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| format!("  {line}"))
        .collect();
    Ok(last.join("\n"))
}
