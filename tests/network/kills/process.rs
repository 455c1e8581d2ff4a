//! One core node as a process that can be killed and started again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use beth_ccn::CcnConfig;
use beth_protocol::judge::Rules;
use beth_store::Blobs;
use serde::Serialize;

use crate::local::{beth, signal};

/// Longest start on a busy machine.
const READY: Duration = Duration::from_secs(30);
/// Pause between two looks at a process.
const LOOK: Duration = Duration::from_micros(200);

/// Where a node lives between its processes.
pub struct Place {
    pub config: CcnConfig,
    file: PathBuf,
    pub folder: tempfile::TempDir,
}

/// A process that may not be ready yet.
pub struct Starting {
    child: Child,
    ready: Receiver<String>,
    began: Instant,
}

/// A process that serves.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
    /// From its start to its readiness.
    pub start: Duration,
}

#[derive(Serialize)]
struct ConfigFile<'a> {
    ccn: &'a CcnConfig,
}

impl Place {
    /// A node without neighbours, that has these files.
    pub fn new(rules: Rules, files: &[(String, Vec<u8>)]) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut config = CcnConfig::in_folder(folder.path().join("node"));
        config.listen = ([127, 0, 0, 1], 0).into();
        config.p2p.listen = "/ip4/127.0.0.1/tcp/0".into();
        config.rules = rules;
        let blobs = Blobs::open(&config.blobs_path()).unwrap();
        for (hash, bytes) in files {
            assert_eq!(&blobs.put(bytes).unwrap().hash, hash);
        }
        let file = folder.path().join("beth.toml");
        let text = toml::to_string(&ConfigFile { ccn: &config }).unwrap();
        std::fs::write(&file, text).unwrap();
        Place {
            config,
            file,
            folder,
        }
    }

    pub fn database(&self) -> PathBuf {
        self.config.database_path()
    }

    /// The calling thread must outlive the process.
    pub fn spawn(&self) -> Starting {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let mut child = beth()
            .args(["ccn", "--config"])
            .arg(&self.file)
            .env("BETH_PARENT", std::process::id().to_string())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (send, ready) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|count| count > 0) {
                let _ = send.send(std::mem::take(&mut line));
            }
        });
        Starting {
            child,
            ready,
            began: Instant::now(),
        }
    }

    pub fn start(&self) -> Running {
        match self.spawn().ready(READY) {
            Ok(running) => running,
            Err(_) => panic!("the node did not become ready:\n{}", self.last_words()),
        }
    }

    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let skipped = text.len().saturating_sub(4_000);
        text.chars().skip(skipped).collect()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Starting {
    /// Waits until the node says that it is ready, or gives it back.
    pub fn ready(self, within: Duration) -> Result<Running, Starting> {
        match self.ready.recv_timeout(within) {
            Ok(line) => {
                let said: serde_json::Value = serde_json::from_str(&line).unwrap();
                let url = said["url"].as_str().unwrap();
                Ok(Running {
                    address: url.trim_start_matches("http://").parse().unwrap(),
                    child: self.child,
                    start: self.began.elapsed(),
                })
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(self),
        }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Running {
    /// At once, as if the power failed for this process.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and kills it as soon as `now` says so; false when it had
    /// stopped before.
    pub fn kill_stopping(mut self, mut now: impl FnMut() -> bool) -> bool {
        signal(self.child.id(), libc::SIGTERM);
        loop {
            if now() {
                self.kill();
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// As an operator stops it.
    pub fn stop(mut self) {
        signal(self.child.id(), libc::SIGTERM);
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "the node did not stop in order");
    }
}

/// Length of a file and when it was written last.
pub fn stamp(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
