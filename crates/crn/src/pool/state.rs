//! What the node says about a program.

use std::time::SystemTime;

use beth_protocol::ItemHash;
use serde::Serialize;

/// Where a program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Known by name only.
    #[default]
    NotPrepared,
    /// Its files are being fetched, compiled or made into images.
    Preparing,
    /// Everything is here; no machine runs.
    Prepared,
    /// A machine is being created.
    Starting,
    /// A machine answers calls.
    Running,
    /// A machine is here and stands still; a call makes it run.
    Paused,
    /// The last attempt failed; the next call tries again.
    Failed,
}

/// A snapshot of one program, as `GET /beth/v1/programs/{hash}` serves it.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramState {
    /// The PROGRAM message.
    pub item_hash: ItemHash,
    /// `wasm` or `microvm`; `null` until the message was read.
    pub executor: Option<&'static str>,
    /// Where it stands.
    pub state: State,
    /// The phases of the last preparation or creation, in order.
    pub phases: Vec<PhaseTime>,
    /// The phases of the last preparation that made something, e.g. the boot of
    /// the template that creations copy.
    pub preparation: Vec<PhaseTime>,
    /// The last fault, as a sentence; `null` after a success.
    pub fault: Option<String>,
    /// The program's own account of that fault, if it gave one.
    pub traceback: Option<String>,
    /// Calls under way, waiting ones included.
    pub calls: usize,
    /// When each step was last taken.
    #[serde(skip)]
    pub times: Times,
}

/// One phase of a creation.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseTime {
    /// `fetch`, `compile`, `kernel`, …
    pub name: &'static str,
    /// How long it took, or has taken so far.
    pub milliseconds: f64,
}

/// The times that compute.md §1.1 lists.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Times {
    pub defined_at: SystemTime,
    pub preparing_at: Option<SystemTime>,
    pub prepared_at: Option<SystemTime>,
    pub starting_at: Option<SystemTime>,
    pub started_at: Option<SystemTime>,
    pub stopped_at: Option<SystemTime>,
}

impl Times {
    /// Known from now on.
    pub(super) fn new() -> Times {
        Times {
            defined_at: SystemTime::now(),
            preparing_at: None,
            prepared_at: None,
            starting_at: None,
            started_at: None,
            stopped_at: None,
        }
    }
}
