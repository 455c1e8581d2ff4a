//! Core nodes as processes, each with its own folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beth_ccn::CcnConfig;
use serde::Serialize;
use serde_json::Value;

const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(120);

/// A core node; killed when dropped.
pub struct Node {
    pub url: String,
    binary: PathBuf,
    folder: tempfile::TempDir,
    child: Child,
}

#[derive(Serialize)]
struct ConfigFile<'a> {
    ccn: &'a CcnConfig,
}

impl Node {
    /// Starts one on free ports and waits until it serves.
    pub fn start(binary: &Path, bootstrap: Vec<String>) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let mut config = CcnConfig::in_folder(folder.path().join("node"));
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.p2p.listen = "/ip4/127.0.0.1/tcp/0".into();
        config.p2p.bootstrap = bootstrap;
        // All the messages come from here.
        config.http.rate.submissions_per_second = 0;
        config.http.rate.sender_messages_per_second = 0;
        let file = folder.path().join("beth.toml");
        std::fs::write(
            &file,
            toml::to_string(&ConfigFile { ccn: &config }).unwrap(),
        )
        .unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(binary)
            .args(["ccn", "--config"])
            .arg(&file)
            .env("BETH_PARENT", std::process::id().to_string())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        // The pipe stays open: nobody may get a broken one.
        std::mem::forget(output);
        let said: Value = serde_json::from_str(&line).expect("`beth ccn` did not start");
        Node {
            url: said["url"].as_str().unwrap().to_owned(),
            binary: binary.to_owned(),
            folder,
            child,
        }
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What `beth ccn peers` says.
    pub fn peers(&self) -> Value {
        let said = Command::new(&self.binary)
            .args(["ccn", "peers", "--json", "--config"])
            .arg(self.folder.path().join("beth.toml"))
            .output()
            .unwrap();
        serde_json::from_slice(&said.stdout).unwrap()
    }

    /// Where it is called over TCP.
    pub fn address(&self) -> String {
        let began = Instant::now();
        loop {
            let said = self.peers();
            let mut listening = said["listening"].as_array().unwrap().iter();
            let tcp = listening.find(|address| address.as_str().unwrap().contains("/tcp/"));
            if let Some(tcp) = tcp {
                return tcp.as_str().unwrap().to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "{said}");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it is connected with so many others.
    pub fn connected(&self, peers: usize) {
        let began = Instant::now();
        while self.peers()["connected"].as_array().unwrap().len() < peers {
            assert!(began.elapsed() < PATIENCE, "{}", self.peers());
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
