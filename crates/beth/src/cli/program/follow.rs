//! The way of a published program: seen by other core nodes, placed, prepared,
//! started. Each step has a deadline.

use std::time::Duration;

use beth_protocol::ItemHash;
use beth_sdk::compute::{ProgramAnswer, ProgramCall, ProgramStage, ProgramState};
use beth_sdk::scheduler::{Allocation, Decision};
use beth_sdk::{Client, ComputeNode, Error, Scheduler};
use futures::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::python;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// Longest wait until another core node has processed the message.
const SEEN_DEADLINE: Duration = Duration::from_secs(10);
/// Longest wait for a decision of the scheduler.
const PLACED_DEADLINE: Duration = Duration::from_secs(20);
/// Longest wait for the first answer: download, boot, start of the program.
const STARTED_DEADLINE: Duration = Duration::from_secs(180);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Tells the steps, with the time since the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    output: Output,
    begun: Instant,
}

/// How a program came up.
#[derive(Debug)]
pub struct Started {
    /// The state as the node tells it; upstream's nodes tell none.
    pub state: Option<ProgramState>,
    /// The answer to `GET /`.
    pub answer: ProgramAnswer,
}

impl Progress {
    /// From now on.
    pub fn begin(output: Output) -> Progress {
        Progress {
            output,
            begun: Instant::now(),
        }
    }

    /// One step is done.
    pub fn done(&self, step: &str, detail: &str) {
        self.output.step(step, self.begun.elapsed(), detail);
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// Waits until the other core nodes have processed the message; returns the
/// URLs of those that have. The others are told as notes: the program runs
/// without them.
pub async fn seen(peers: &[Client], hash: &ItemHash, progress: &Progress) -> Vec<String> {
    let waits = peers
        .iter()
        .map(|peer| async move { (peer, peer.wait_until_processed(hash, SEEN_DEADLINE).await) });
    let mut seen = Vec::new();
    for (peer, outcome) in join_all(waits).await {
        let url = peer.base_url().to_owned();
        match outcome {
            Ok(_) => seen.push(url),
            Err(error) => progress.output.note(&format!(
                "core node {url} has not seen the program: {error}"
            )),
        }
    }
    if !seen.is_empty() {
        progress.done("seen", &format!("by {}", seen.join(", ")));
    }
    seen
}

/// Waits until one of the schedulers has placed the program.
pub async fn place(schedulers: &[Scheduler], hash: &ItemHash) -> Result<Allocation, Failure> {
    let until = Instant::now() + PLACED_DEADLINE;
    let mut unplaced = None;
    let mut fault = None;
    while Instant::now() < until {
        for scheduler in schedulers {
            match scheduler.allocation(hash).await {
                Ok(Decision::Placed(allocation)) => return Ok(*allocation),
                Ok(Decision::Unplaced(reason)) => unplaced = Some(reason),
                Ok(Decision::Unknown) => {}
                Err(error) => fault = Some(error),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let failure = match (unplaced, fault) {
        (Some(reason), _) => Failure::new(format!(
            "no compute node takes the program: {reason}; start one that fits, or ask for less memory (--memory) or fewer processors (--vcpus)"
        )),
        (None, Some(error)) => error.into(),
        (None, None) => Failure::new(format!(
            "the program was not placed within {} s: is a compute node running and linked? Name a scheduler with --scheduler, or a compute node with --compute-node",
            PLACED_DEADLINE.as_secs()
        )),
    };
    Err(failure)
}

/// Calls the program once and tells how it comes up.
pub async fn start(
    node: &ComputeNode,
    hash: &ItemHash,
    progress: &Progress,
) -> Result<Started, Failure> {
    let call = node.call(
        hash,
        ProgramCall {
            timeout: STARTED_DEADLINE,
            ..ProgramCall::default()
        },
    );
    tokio::pin!(call);
    let mut prepared = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut call => break outcome,
            () = tokio::time::sleep(PAUSE), if !prepared => {}
        }
        if let Ok(Some(state)) = node.program(hash).await {
            prepared = is_prepared(&state);
            if prepared {
                progress.done("prepared", &executor(&state));
            }
        }
    };
    let state = node.program(hash).await.ok().flatten();
    if let Some(state) = state
        .as_ref()
        .filter(|state| state.state == ProgramStage::Failed)
    {
        return Err(failed(state));
    }
    let answer = outcome.map_err(|error| not_started(error, state.as_ref()))?;
    let runs = state
        .as_ref()
        .is_some_and(|state| matches!(state.state, ProgramStage::Running | ProgramStage::Paused));
    if !runs && !answer.is_from_program() {
        return Err(Failure::new(format!(
            "the compute node did not start the program: {} ({}); see `beth doctor` on that machine, or use another node with --compute-node",
            said(&answer),
            answer.status
        )));
    }
    if !prepared && let Some(state) = &state {
        progress.done("prepared", &executor(state));
    }
    let phases = state.as_ref().map(phases).unwrap_or_default();
    progress.done("started", &phases);
    if answer.status >= 500 {
        progress.output.note(&format!(
            "GET / answered {}: {}",
            answer.status,
            said(&answer)
        ));
    }
    Ok(Started { state, answer })
}

fn is_prepared(state: &ProgramState) -> bool {
    matches!(
        state.state,
        ProgramStage::Prepared
            | ProgramStage::Starting
            | ProgramStage::Running
            | ProgramStage::Paused
    )
}

/// `for microvm`.
fn executor(state: &ProgramState) -> String {
    let name = state.executor.as_ref();
    name.map(|name| format!("for {name}")).unwrap_or_default()
}

/// `fetch 3 ms, kernel 812 ms`.
fn phases(state: &ProgramState) -> String {
    let parts: Vec<String> = state
        .phases
        .iter()
        .map(|phase| format!("{} {:.0} ms", phase.name, phase.milliseconds))
        .collect();
    parts.join(", ")
}

fn failed(state: &ProgramState) -> Failure {
    let fault = state
        .fault
        .clone()
        .unwrap_or_else(|| "the compute node gives no reason".to_owned());
    let traceback = state.traceback.clone().unwrap_or_default();
    let advice = match python::advice(&fault, &traceback) {
        Some(advice) => format!("; {advice}"),
        // The node's own sentences say what to do; the program's do not.
        None if traceback.trim().is_empty() => String::new(),
        None => "; correct the program and deploy again".to_owned(),
    };
    Failure::new(format!("{fault}{advice}"))
        .showing("traceback", &traceback)
        .with("fault", fault)
}

fn not_started(error: Error, state: Option<&ProgramState>) -> Failure {
    match (error, state) {
        (Error::TimedOut { .. }, Some(state)) => {
            let phase = state
                .phases
                .last()
                .map(|phase| format!(", phase {}", phase.name))
                .unwrap_or_default();
            let stage = serde_json::to_value(state.state).unwrap_or(Value::Null);
            Failure::new(format!(
                "the program gave no answer within {} s (it is {}{phase}): make its start lighter, or look at the compute node's log",
                STARTED_DEADLINE.as_secs(),
                stage.as_str().unwrap_or("unknown").replace('_', " ")
            ))
        }
        (error, _) => error.into(),
    }
}

/// What an answer says when it is an error: the member `error`, or the text.
pub fn said(answer: &ProgramAnswer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let error = serde_json::from_str::<Value>(&text).ok().and_then(|value| {
        value
            .get("error")
            .and_then(Value::as_str)
            .map(str::to_owned)
    });
    let words = error.unwrap_or_else(|| text.trim().to_owned());
    let last = words.lines().last().unwrap_or_default();
    let short = if words.lines().count() > 3 {
        last
    } else {
        &words
    };
    if short.is_empty() {
        "no reason given".to_owned()
    } else {
        short.chars().take(500).collect()
    }
}
