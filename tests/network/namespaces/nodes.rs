//! Core nodes as processes in namespaces, and how they come to agree.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use beth_ccn::CcnConfig;
use beth_network::Identity;
use beth_protocol::Message;
use serde::Serialize;
use serde_json::{Value, json};

use super::http::Client;
use super::lan::{Host, Lan};
use crate::local::beth;

pub const HTTP_PORT: u16 = 4024;
pub const P2P_PORT: u16 = 4025;

/// Longest start on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// Longest way to agreement.
const AGREED: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// What no node of these tests may exceed at any time.
const MEMORY_MIB: u64 = 256;

/// A core node.
pub struct Node {
    pub host: Host,
    pub id: String,
    folder: tempfile::TempDir,
    child: Option<Child>,
    client: Mutex<Client>,
}

/// Digest and number of messages, as a node tells them, or why it does not.
type State = (Result<String, String>, Result<u64, String>);

#[derive(Serialize)]
struct ConfigFile<'a> {
    ccn: &'a CcnConfig,
}

impl Node {
    /// A node that has a name and an address and does not run yet.
    pub fn new(host: Host) -> Node {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(&folder.path().join("key")).unwrap();
        Node {
            id: identity.peer_id(),
            client: Mutex::new(Client::new(host.address)),
            folder,
            host,
            child: None,
        }
    }

    /// So many nodes that all know each other's addresses, running.
    pub fn mesh(lan: &Lan, count: u8) -> Vec<Node> {
        let mut nodes: Vec<Node> = (1..=count)
            .map(|number| Node::new(lan.host(number)))
            .collect();
        let addresses: Vec<String> = nodes.iter().map(Node::p2p_address).collect();
        for node in &mut nodes {
            node.start(&addresses);
        }
        nodes
    }

    /// Where other nodes find it.
    pub fn p2p_address(&self) -> String {
        format!("/ip4/{}/tcp/{P2P_PORT}/p2p/{}", self.host.address, self.id)
    }

    /// Starts it and waits until it serves.
    pub fn start(&mut self, bootstrap: &[String]) {
        self.start_with(bootstrap, |_| {});
    }

    pub fn start_with(&mut self, bootstrap: &[String], change: impl FnOnce(&mut CcnConfig)) {
        let mut config = CcnConfig::in_folder(self.folder.path().join("node"));
        config.listen = (self.host.address, HTTP_PORT).into();
        config.p2p.listen = format!("/ip4/0.0.0.0/tcp/{P2P_PORT}");
        config.p2p.identity = Some(self.folder.path().join("key"));
        config.p2p.bootstrap = bootstrap.to_vec();
        // The test asks more than a client may.
        let rate = &mut config.http.rate;
        rate.reads_per_second = 0;
        rate.submissions_per_second = 0;
        rate.sender_messages_per_second = 0;
        change(&mut config);
        let text = toml::to_string(&ConfigFile { ccn: &config }).unwrap();
        std::fs::write(self.folder.path().join("beth.toml"), text).unwrap();
        self.restart();
    }

    /// Starts it as it was configured.
    pub fn restart(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let mut command = beth();
        command
            .args(["ccn", "--config"])
            .arg(self.folder.path().join("beth.toml"))
            .env("BETH_PARENT", std::process::id().to_string())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = self.host.within(|| command.spawn().unwrap());
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (send, ready) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|count| count > 0) {
                let _ = send.send(std::mem::take(&mut line));
            }
        });
        self.child = Some(child);
        assert!(
            ready.recv_timeout(READY).is_ok(),
            "{} did not become ready:\n{}",
            self.host.address,
            self.last_words()
        );
    }

    /// At once, as if the power failed for this process.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Publishes messages one after the other; each must be processed.
    pub fn accept(&self, messages: &[Message]) {
        let mut client = Client::new(self.host.address);
        for message in messages {
            let body = json!({"sync": true, "message": message}).to_string();
            let (status, said) = client.ask("POST /api/v0/messages", &body).unwrap();
            assert_eq!(
                (status, said["message_status"].as_str()),
                (200, Some("processed")),
                "{said}"
            );
        }
    }

    pub fn get(&self, path: &str) -> Result<Value, String> {
        let mut client = self.client.lock().unwrap();
        client.get(path).map_err(|error| error.to_string())
    }

    /// The digest of its state.
    pub fn digest(&self) -> Result<String, String> {
        let said = self.get("/api/v0/state/digest")?;
        Ok(said["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// How many messages it has.
    pub fn total(&self) -> Result<u64, String> {
        let said = self.get("/api/v0/messages.json?pagination=1")?;
        said["pagination_total"]
            .as_u64()
            .ok_or_else(|| said.to_string())
    }

    /// The hashes of all messages it has processed, as text.
    pub fn hashes(&self) -> String {
        let path = "/api/v0/messages/hashes?status=processed&pagination=0";
        self.get(path).unwrap()["hashes"].to_string()
    }

    /// What `beth ccn peers` says.
    pub fn peers(&self) -> Value {
        self.try_peers().unwrap()
    }

    fn try_peers(&self) -> Result<Value, String> {
        let said = beth()
            .args(["ccn", "peers", "--json", "--config"])
            .arg(self.folder.path().join("beth.toml"))
            .output()
            .map_err(|error| error.to_string())?;
        serde_json::from_slice(&said.stdout)
            .map_err(|_| String::from_utf8_lossy(&said.stderr).into_owned())
    }

    pub fn has(&self, message: &Message) -> bool {
        let path = format!("/api/v0/messages/{}/status", message.item_hash);
        self.get(&path)
            .is_ok_and(|said| said["status"] == "processed")
    }

    /// The most memory it has had, in MiB.
    pub fn peak_mib(&self) -> u64 {
        let child = self.child.as_ref().unwrap();
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024
    }

    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How every scenario ends: within the deadline all nodes have the same state
/// and every one of these messages, and none used more memory than it may.
pub fn agree<'a>(nodes: impl IntoIterator<Item = &'a Node> + Clone, messages: &[&[Message]]) {
    let began = Instant::now();
    let expected: usize = messages.iter().map(|some| some.len()).sum();
    let look = || -> Vec<_> {
        let each = nodes.clone().into_iter();
        each.map(|node| (node.digest(), node.total())).collect()
    };
    let is_same = |seen: &[State]| {
        let (digest, total) = &seen[0];
        digest.is_ok() && *total == Ok(expected as u64) && seen.iter().all(|one| *one == seen[0])
    };
    wait(AGREED, look, |seen| is_same(seen), || words(nodes.clone()));
    let took = began.elapsed();
    for node in nodes {
        let hashes = node.hashes();
        for message in messages.iter().copied().flatten() {
            let hash = message.item_hash.as_str();
            assert!(hashes.contains(hash), "{} lost {hash}", node.host.address);
        }
        let peak = node.peak_mib();
        assert!(
            peak < MEMORY_MIB,
            "{} took {peak} MiB of memory; {MEMORY_MIB} are allowed",
            node.host.address
        );
        eprintln!(
            "{}: agrees after {took:?}, peak {peak} MiB",
            node.host.address
        );
    }
}

/// Waits until every node is connected with so many others at least.
pub fn connected(nodes: &[Node], peers: u64) {
    let look = || -> Vec<_> { nodes.iter().map(peers_of).collect() };
    let accept = |seen: &Vec<Result<u64, String>>| {
        seen.iter()
            .all(|count| count.as_ref().is_ok_and(|count| *count >= peers))
    };
    wait(AGREED, look, accept, || words(nodes));
}

/// Asks until the answer is accepted.
pub fn wait<T: std::fmt::Debug>(
    longest: Duration,
    ask: impl Fn() -> T,
    accept: impl Fn(&T) -> bool,
    words: impl Fn() -> String,
) -> T {
    let began = Instant::now();
    loop {
        let answer = ask();
        if accept(&answer) {
            return answer;
        }
        assert!(
            began.elapsed() < longest,
            "still {answer:?} after {longest:?}\n{}",
            words()
        );
        std::thread::sleep(LOOK);
    }
}

/// How many the node says it is connected with.
fn peers_of(node: &Node) -> Result<u64, String> {
    let said = node.try_peers()?;
    let connected = said["connected"].as_array().map(|peers| peers.len() as u64);
    connected.ok_or_else(|| said.to_string())
}

fn words<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> String {
    let each = nodes.into_iter();
    each.map(|node| format!("{}:\n{}\n", node.host.address, node.last_words()))
        .collect()
}
