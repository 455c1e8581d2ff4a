//! PROGRAM: a function, run when somebody calls it (messages.md §8.7).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Payment;
use super::machine::{
    Encoding, FunctionEnvironment, HostRequirements, Interface, MachineResources, Volume,
};
use crate::ItemHash;

/// Content of a PROGRAM message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramContent {
    /// Owner.
    pub address: String,
    /// Unix seconds.
    pub time: f64,
    /// May be replaced by a later message.
    pub allow_amend: bool,
    /// Free, within limits.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// SSH keys.
    #[serde(default)]
    pub authorized_keys: Option<Vec<String>>,
    /// Environment variables.
    #[serde(default)]
    pub variables: Option<Map<String, Value>>,
    /// What it may do. (The instance form is tolerated and read as this one.)
    pub environment: FunctionEnvironment,
    /// How large it is.
    pub resources: MachineResources,
    /// `None` = hold.
    #[serde(default)]
    pub payment: Option<Payment>,
    /// Where it wants to run.
    #[serde(default)]
    pub requirements: Option<HostRequirements>,
    /// Further disks.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Message being replaced.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Always `vm-function`.
    #[serde(rename = "type")]
    pub machine_type: String,
    /// The code.
    pub code: CodeContent,
    /// The root filesystem it runs in.
    pub runtime: Runtime,
    /// An archive given to it.
    #[serde(default)]
    pub data: Option<DataContent>,
    /// An archive taken from it.
    #[serde(default)]
    pub export: Option<Export>,
    /// What starts it.
    pub on: Triggers,
}

/// `code`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeContent {
    /// How it is packed.
    pub encoding: Encoding,
    /// `module:attribute`, or a file name.
    pub entrypoint: String,
    /// STORE message.
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    /// How it is called; inferred when absent.
    #[serde(default)]
    pub interface: Option<Interface>,
    /// Arguments (ignored upstream).
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Follow updates of the file.
    #[serde(default)]
    pub use_latest: bool,
}

impl CodeContent {
    /// The interface, inferred from the entrypoint when absent.
    pub fn interface(&self) -> Interface {
        self.interface.unwrap_or(if self.entrypoint.contains(':') {
            Interface::Asgi
        } else {
            Interface::Binary
        })
    }

    /// True when the entrypoint names a Wasm component (`*.wasm`): such a
    /// program runs without a virtual machine.
    pub fn is_wasm(&self) -> bool {
        self.interface() == Interface::Binary && self.entrypoint.ends_with(".wasm")
    }
}

/// `runtime`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    /// STORE message.
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    /// Follow updates of the file.
    #[serde(default = "yes")]
    pub use_latest: bool,
    /// Free text.
    pub comment: String,
}

fn yes() -> bool {
    true
}

/// `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataContent {
    /// How it is packed.
    pub encoding: Encoding,
    /// Where it appears.
    pub mount: String,
    /// STORE message.
    #[serde(rename = "ref")]
    pub reference: ItemHash,
    /// Follow updates of the file.
    #[serde(default)]
    pub use_latest: Option<bool>,
}

/// `export`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// How it is packed.
    pub encoding: Encoding,
    /// Where it is taken from.
    pub mount: String,
}

/// `on`: what starts the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Triggers {
    /// HTTP requests.
    pub http: bool,
    /// Messages that match one of these patterns.
    #[serde(default)]
    pub message: Option<Vec<Map<String, Value>>>,
    /// Runs all the time.
    #[serde(default)]
    pub persistent: Option<bool>,
}
