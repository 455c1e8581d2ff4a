//! The client of a compute node: the state of a program, and calling it
//! (compute.md §10.1).

use std::time::Duration;

use beth_protocol::ItemHash;
use bytes::{Bytes, BytesMut};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::limits;
use crate::transport::Transport;

/// One compute node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ComputeNode {
    node: Transport,
}

/// How far a program is on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramStage {
    /// Nothing was done for it.
    NotPrepared,
    /// Its files are being fetched or compiled.
    Preparing,
    /// Its files are there, checked.
    Prepared,
    /// A machine is being made.
    Starting,
    /// A machine answers.
    Running,
    /// A machine is there and stands still until the next call.
    Paused,
    /// See the fault.
    Failed,
}

/// What a node tells of a program.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ProgramState {
    /// The PROGRAM message.
    pub item_hash: ItemHash,
    /// `wasm` or `microvm`; `None` until the node has read the message.
    #[serde(default)]
    pub executor: Option<String>,
    /// How far it is.
    pub state: ProgramStage,
    /// How long each phase of the newest start took, in order.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// The same of the newest preparation, such as the boot that starts copy.
    #[serde(default)]
    pub preparation: Vec<Phase>,
    /// Why the last attempt failed, and what to do.
    #[serde(default)]
    pub fault: Option<String>,
    /// The program's own words about that.
    #[serde(default)]
    pub traceback: Option<String>,
}

/// One phase of a start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// E.g. `fetch`, `create`, `kernel`, `init`, `python`, `application`.
    pub name: String,
    /// Its length.
    pub milliseconds: f64,
}

/// What a node tells of everything on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machines {
    /// In order of the hashes.
    pub machines: Vec<Machine>,
    /// What the node has and promised.
    pub node: NodeRoom,
}

/// A program or an instance on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its message.
    pub item_hash: ItemHash,
    /// `microvm`, `persistent_program` or `instance`.
    pub kind: String,
    /// Whose it is.
    pub owner: String,
    /// `running`, `starting`, `stopped` or `awaits_secret`.
    pub state: String,
    /// What runs it, of programs.
    pub executor: Option<String>,
    /// Calls under way, of programs.
    pub calls: Option<u64>,
    /// Why it does not run, as a sentence.
    pub fault: Option<String>,
    /// Processors it asks for.
    pub vcpus: u64,
    /// Memory it asks for.
    pub memory_mib: u64,
    /// Disk it asks for.
    pub disk_mib: u64,
    /// Disk it has written.
    pub disk_used_mib: u64,
    /// Graphics cards it asks for.
    pub gpus: u64,
    /// Its memory is hidden from the node.
    pub is_confidential: bool,
    /// `hold`, `superfluid` or `credit`; `None` when the message does not say.
    pub payment: Option<String>,
    /// When it became known, in Unix seconds.
    pub defined_at: Option<u64>,
    /// When it last began, in Unix seconds.
    pub started_at: Option<u64>,
    /// When it last ended, in Unix seconds.
    pub stopped_at: Option<u64>,
    /// Its addresses, as `/v2/about/executions/list` has them.
    pub networking: Option<serde_json::Value>,
}

/// What a node has for others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRoom {
    /// Its registration, once known.
    pub node_hash: Option<ItemHash>,
    /// It ends and refuses new calls.
    pub is_draining: bool,
    /// As it tells clients.
    pub version: String,
    /// Processors that may be promised.
    pub vcpus: u64,
    /// Processors that are promised to what runs.
    pub vcpus_promised: u64,
    /// Memory for others.
    pub memory_mib: u64,
    /// Memory that is promised to what runs.
    pub memory_promised_mib: u64,
    /// Disk that is neither used nor promised.
    pub disk_free_mib: u64,
    /// Graphics cards.
    pub gpus: u64,
    /// Those that nobody has or waits for.
    pub gpus_free: u64,
}

/// A line that a program or an instance printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrintedLine {
    /// ISO 8601, UTC.
    pub time: String,
    /// From its error output.
    pub is_error: bool,
    /// Without a line end.
    pub text: String,
}

/// A request to a program.
#[derive(Clone, Debug)]
pub struct ProgramCall {
    /// `GET`, `POST`, …
    pub method: Method,
    /// Path and query as the program sees them, begins with `/`.
    pub path: String,
    /// In order.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
    /// Longest wait for the whole answer; the first call may boot a machine.
    pub timeout: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct ProgramAnswer {
    /// HTTP status.
    pub status: u16,
    /// In order; values that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl ComputeNode {
    /// A client of the node at a base URL such as `http://127.0.0.1:4020`.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for anything but an `http` or `https` URL.
    pub fn new(base_url: &str) -> Result<ComputeNode, Error> {
        Ok(ComputeNode {
            node: Transport::new("compute node", base_url)?,
        })
    }

    /// Its base URL, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.node.base()
    }

    /// Where a browser calls a program.
    pub fn program_url(&self, hash: &ItemHash) -> String {
        format!("{}/vm/{hash}/", self.node.base())
    }

    /// The state of a program; `None` when the node does not tell (upstream's
    /// nodes) or does not know it.
    pub async fn program(&self, hash: &ItemHash) -> Result<Option<ProgramState>, Error> {
        self.node
            .find(self.node.get(&["beth", "v1", "programs", hash.as_str()]))
            .await
    }

    /// Everything that runs on a node, and what the node has; `None` from nodes
    /// that do not tell (upstream's).
    pub async fn machines(&self) -> Result<Option<Machines>, Error> {
        self.node
            .find(self.node.get(&["beth", "v1", "machines"]))
            .await
    }

    /// One of them; `None` when the node does not know it.
    pub async fn machine(&self, hash: &ItemHash) -> Result<Option<Machine>, Error> {
        self.node
            .find(self.node.get(&["beth", "v1", "machines", hash.as_str()]))
            .await
    }

    /// What it printed, oldest line first; `None` when the node does not know it.
    ///
    /// # Errors
    /// Also when this computer is not the node's own and its operator does not
    /// show logs to everybody.
    pub async fn logs(&self, hash: &ItemHash) -> Result<Option<Vec<PrintedLine>>, Error> {
        #[derive(Deserialize)]
        struct Lines {
            lines: Vec<PrintedLine>,
        }
        let path = ["beth", "v1", "machines", hash.as_str(), "logs"];
        let lines: Option<Lines> = self.node.find(self.node.get(&path)).await?;
        Ok(lines.map(|lines| lines.lines))
    }

    /// Calls a program; its answer is an answer whatever its status.
    ///
    /// # Errors
    /// Connection errors, and [`Error::TooLong`].
    pub async fn call(&self, hash: &ItemHash, call: ProgramCall) -> Result<ProgramAnswer, Error> {
        let base = self.node.url(&["vm", hash.as_str()]);
        let text = format!("{base}{}", call.path);
        let url = reqwest::Url::parse(&text).map_err(|_| Error::BadUrl { text })?;
        let mut request = self.node.request(call.method, url).body(call.body);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let timeout = call.timeout;
        let whole = async {
            let response = request
                .send()
                .await
                .map_err(|error| self.node.fault(error, timeout))?;
            self.read(response, timeout).await
        };
        tokio::time::timeout(timeout, whole)
            .await
            .unwrap_or_else(|_| Err(self.node.timed_out(timeout)))
    }

    async fn read(
        &self,
        mut response: reqwest::Response,
        timeout: Duration,
    ) -> Result<ProgramAnswer, Error> {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            })
            .collect();
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.node.fault(error, timeout))?
        {
            if body.len() + chunk.len() > limits::PROGRAM_ANSWER_BYTES_MAX {
                let bytes_max = limits::PROGRAM_ANSWER_BYTES_MAX as u64;
                return Err(Error::TooLong {
                    url: response.url().to_string(),
                    bytes_max,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(ProgramAnswer {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

impl Default for ProgramCall {
    /// `GET /` with a deadline of two minutes.
    fn default() -> ProgramCall {
        ProgramCall {
            method: Method::GET,
            path: "/".into(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(120),
        }
    }
}

impl ProgramAnswer {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// True when the program itself answered, not the node for it.
    pub fn is_from_program(&self) -> bool {
        self.header("aleph-program-itemhash").is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn states_as_served() {
        let hash = ItemHash::of_bytes(b"x");
        let text = format!(
            r#"{{"item_hash": "{hash}", "executor": null, "state": "not_prepared", "phases": [{{"name": "fetch", "milliseconds": 1}}], "fault": "no", "traceback": "T", "calls": 0}}"#
        );
        let state: ProgramState = serde_json::from_str(&text).unwrap();
        assert_eq!(state.fault.as_deref(), Some("no"));
        assert_eq!(state.traceback.as_deref(), Some("T"));
        assert!(
            state.state < ProgramStage::Prepared && ProgramStage::Prepared < ProgramStage::Running
        );
    }
}
