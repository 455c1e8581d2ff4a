//! Agents: one task per compute node. It asks how the node is and tells it what
//! must run there.
//!
//! ```text
//!            ┌── every 30 s, sooner while it does not answer ──┐
//!            ▼                                                 │
//!         probe ──▶ Observed                                   │
//!            │                                                 │
//!         push, when the allocation changed, failed, is ───────┘
//!         a minute old, or the node came back
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beth_protocol::{Account, ItemHash};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::allocation::{self, Allocation};
use crate::client::{answer, http_client, refused};
use crate::follow::Event;
use crate::probe::{Report, probe};
use crate::{Error, limits};

/// The agents of all compute nodes.
#[derive(Debug)]
pub struct Agents {
    account: Arc<Account>,
    poll: Duration,
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
    running: BTreeMap<ItemHash, Running>,
}

#[derive(Debug)]
struct Running {
    url: String,
    desired: watch::Sender<Option<Allocation>>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Agents {
    /// No agents yet.
    pub fn new(
        account: Arc<Account>,
        poll: Duration,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Agents {
        Agents {
            account,
            poll,
            events,
            cancel,
            running: BTreeMap::new(),
        }
    }

    /// Keeps exactly one agent for each of these nodes (hash → URL).
    pub fn keep(&mut self, nodes: &BTreeMap<ItemHash, String>) {
        self.running.retain(|node, running| {
            let stays = nodes.get(node) == Some(&running.url) && !running.task.is_finished();
            if !stays {
                running.cancel.cancel();
            }
            stays
        });
        for (node, url) in nodes {
            if !self.running.contains_key(node) {
                match self.start(node, url) {
                    Ok(running) => {
                        self.running.insert(node.clone(), running);
                    }
                    Err(error) => tracing::error!(%error, "cannot watch compute node {node}"),
                }
            }
        }
    }

    /// Tells the agent of a node what must run there.
    pub fn assign(&self, node: &ItemHash, allocation: Allocation) {
        let Some(running) = self.running.get(node) else {
            return;
        };
        running.desired.send_if_modified(|desired| {
            let changed = desired.as_ref() != Some(&allocation);
            *desired = Some(allocation);
            changed
        });
    }

    /// Ends all agents.
    pub async fn stop(self) {
        for (node, running) in self.running {
            running.cancel.cancel();
            if let Err(error) = running.task.await {
                tracing::error!(%error, "the agent of compute node {node} ended badly");
            }
        }
    }

    fn start(&self, node: &ItemHash, url: &str) -> Result<Running, Error> {
        let (desired, inbox) = watch::channel(None);
        let cancel = self.cancel.child_token();
        let mut agent = Agent {
            node: node.clone(),
            url: url.to_owned(),
            http: http_client()?,
            account: self.account.clone(),
            poll: self.poll,
            events: self.events.clone(),
            desired: inbox,
            last: None,
            failures: 0,
            pushed: None,
            push_failures: 0,
        };
        let token = cancel.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(agent.run()).await;
        });
        Ok(Running {
            url: url.to_owned(),
            desired,
            cancel,
            task,
        })
    }
}

struct Agent {
    node: ItemHash,
    url: String,
    http: reqwest::Client,
    account: Arc<Account>,
    poll: Duration,
    events: mpsc::Sender<Event>,
    desired: watch::Receiver<Option<Allocation>>,
    last: Option<Report>,
    failures: u32,
    pushed: Option<(Allocation, Instant)>,
    push_failures: u32,
}

impl Agent {
    async fn run(&mut self) {
        let mut next_look = Instant::now();
        loop {
            if Instant::now() >= next_look {
                next_look = Instant::now() + self.look().await;
            }
            let next_push = Instant::now() + self.push().await;
            tokio::select! {
                changed = self.desired.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next_look.min(next_push)) => {}
            }
        }
    }

    /// Asks how the node is. Returns the pause before the next question.
    async fn look(&mut self) -> Duration {
        match probe(&self.http, &self.url).await {
            Ok(report) => {
                if !self.is_healthy() {
                    // It may have lost what it was told.
                    self.pushed = None;
                }
                self.failures = 0;
                self.tell(report).await;
                self.poll
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if !self.is_healthy() || self.failures >= limits::FAILURES_MAX {
                    self.tell(Report::fault(format!("it does not answer: {error}")))
                        .await;
                }
                pause(self.failures).min(self.poll)
            }
        }
    }

    fn is_healthy(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|report| report.state.fault.is_none())
    }

    async fn tell(&mut self, report: Report) {
        let before = self.last.as_ref().map(|report| &report.state.fault);
        match &report.state.fault {
            fault if before == Some(fault) => {}
            Some(fault) => {
                tracing::info!(node = %self.node, url = self.url, fault, "compute node cannot be used")
            }
            None => tracing::info!(node = %self.node, url = self.url, "compute node is healthy"),
        }
        self.last = Some(report.clone());
        // Only a world that has ended takes no events.
        let _ = self
            .events
            .send(Event::Observed(self.node.clone(), report))
            .await;
    }

    /// Makes the node's allocation the desired one. Returns the pause before
    /// the next try.
    async fn push(&mut self) -> Duration {
        let desired = self.desired.borrow_and_update().clone();
        let Some(desired) = desired.filter(|_| self.is_healthy()) else {
            return limits::ALLOCATION_INTERVAL;
        };
        if let Some((pushed, at)) = &self.pushed
            && *pushed == desired
            && at.elapsed() < limits::ALLOCATION_INTERVAL
        {
            return limits::ALLOCATION_INTERVAL - at.elapsed();
        }
        match self.post(&desired).await {
            Ok(()) => {
                self.push_failures = 0;
                self.pushed = Some((desired, Instant::now()));
                limits::ALLOCATION_INTERVAL
            }
            Err(error) => {
                self.push_failures = self.push_failures.saturating_add(1);
                tracing::warn!(node = %self.node, %error, "compute node did not take its allocation; trying again");
                pause(self.push_failures)
            }
        }
    }

    async fn post(&self, allocation: &Allocation) -> Result<(), Error> {
        let url = format!("{}{}", self.url, allocation::PATH);
        let body = serde_json::to_vec(allocation).map_err(|error| Error::Malformed {
            url: url.clone(),
            reason: error.to_string(),
        })?;
        let request = self
            .http
            .post(&url)
            .timeout(limits::ALLOCATION_TIMEOUT)
            .header(
                "authorization",
                allocation::authorization(&body, unix_seconds(), &self.account),
            )
            .header("content-type", "application/json")
            .body(body);
        let (status, body) = answer(request, &url).await?;
        match status {
            200 => Ok(()),
            401 => Err(Error::Malformed {
                url,
                reason: format!(
                    "it does not accept our signature; add {} to its allocation signers",
                    self.account.address()
                ),
            }),
            // Some or all failed to start: what it says is worth more than the status.
            207 | 503 => Err(Error::Malformed {
                reason: failures(&body),
                url,
            }),
            _ => Err(refused(&url, status, &body)),
        }
    }
}

fn failures(body: &[u8]) -> String {
    let errors = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| value.get("errors").cloned());
    match errors {
        Some(errors) => format!("some workloads failed to start: {errors}"),
        None => "some workloads failed to start".to_owned(),
    }
}

/// 0.1 s doubled with every failure, up to 30 s.
fn pause(failures: u32) -> Duration {
    let (shortest, longest) = limits::RETRY_PAUSE;
    shortest
        .saturating_mul(1u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX))
        .min(longest)
}

fn unix_seconds() -> i64 {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}
