//! The world: what the scheduler knows, and the plan it follows from.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use beth_protocol::ItemHash;
use beth_protocol::placement::{Plan, Snapshot, Workload, plan};
use beth_protocol::time::Timestamp;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::agent::Agents;
use crate::allocation::Allocation;
use crate::follow::Event;
use crate::history::History;
use crate::limits;
use crate::probe::Report;
use crate::view::View;
use crate::work::Work;

/// Owned by one task.
pub struct World {
    agents: Agents,
    view: watch::Sender<Arc<View>>,
    frames: broadcast::Sender<Value>,
    history: Arc<History>,
    workloads: BTreeMap<ItemHash, Work>,
    reports: BTreeMap<ItemHash, Report>,
    network: Snapshot,
    plan: Plan,
    listed: bool,
    settled: bool,
}

impl World {
    /// An empty world.
    pub fn new(
        agents: Agents,
        view: watch::Sender<Arc<View>>,
        frames: broadcast::Sender<Value>,
    ) -> World {
        World {
            agents,
            view,
            frames,
            history: Arc::default(),
            workloads: BTreeMap::new(),
            reports: BTreeMap::new(),
            network: Snapshot::default(),
            plan: Plan::new(),
            listed: false,
            settled: false,
        }
    }

    /// Takes events and plans until cancelled; then ends the agents.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Event>, cancel: CancellationToken) {
        let mut events = Vec::new();
        let mut settled = pin!(tokio::time::sleep(limits::SETTLE_TIMEOUT));
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                received = inbox.recv_many(&mut events, limits::EVENTS_PER_PLAN_MAX) => match received {
                    0 => break,
                    _ => events.drain(..).for_each(|event| self.take(event)),
                },
                () = &mut settled, if !self.settled => self.settled = true,
            }
            self.replan();
        }
        // Agents that wait for room in the inbox must not wait for ever.
        drop(inbox);
        self.agents.stop().await;
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Listed {
                workloads,
                registry,
            } => {
                self.workloads = workloads
                    .into_iter()
                    .map(|work| (work.workload.item_hash.clone(), work))
                    .collect();
                self.network.registry = registry;
                self.listed = true;
            }
            Event::Published(registry) => self.network.registry = registry,
            Event::Added(work) => {
                self.workloads.insert(work.workload.item_hash.clone(), work);
            }
            Event::Forgotten(hashes) => hashes.iter().for_each(|hash| {
                self.workloads.remove(hash);
            }),
            Event::Observed(node, report) => {
                self.network
                    .states
                    .insert(node.clone(), report.state.clone());
                self.observe(&node, &report);
                self.reports.insert(node, report);
            }
        }
    }

    /// Notes where workloads run. What a node lists beside them is nothing that
    /// we know.
    fn observe(&mut self, node: &ItemHash, report: &Report) {
        let running = report.running.iter();
        let known = running
            .filter(|item| self.workloads.contains_key(*item))
            .cloned()
            .collect();
        Arc::make_mut(&mut self.history).observe(node, &known, now());
    }

    fn replan(&mut self) {
        let registry = &self.network.registry;
        let nodes: BTreeMap<ItemHash, String> = registry
            .resource_nodes
            .iter()
            .filter(|node| {
                !node.address.is_empty()
                    && (node.is_linked() || self.reports.contains_key(&node.hash))
            })
            .map(|node| (node.hash.clone(), node.url().to_owned()))
            .collect();
        self.network
            .states
            .retain(|node, _| nodes.contains_key(node));
        self.reports.retain(|node, _| nodes.contains_key(node));
        self.network
            .current
            .retain(|item, _| self.workloads.contains_key(item));
        let is_gone = |item: &ItemHash| !self.workloads.contains_key(item);
        if self.history.seen.keys().any(is_gone) {
            let history = Arc::make_mut(&mut self.history);
            history
                .seen
                .retain(|item, _| self.workloads.contains_key(item));
        }
        self.agents.keep(&nodes);
        // At the start, the first node to answer must not draw everything.
        self.settled |= self.listed && nodes.keys().all(|node| self.reports.contains_key(node));

        let workloads: Vec<Workload> = self
            .workloads
            .values()
            .map(|work| work.workload.clone())
            .collect();
        let plan = plan(&workloads, &self.network);
        if self.listed && self.settled {
            self.log(&plan);
            self.tell(&plan);
            self.make_true(&nodes, &plan);
            self.plan = plan;
        }
        self.view.send_replace(Arc::new(View {
            planned_at: now(),
            listed: self.listed,
            workloads: self.workloads.clone(),
            plan: self.plan.clone(),
            network: self.network.clone(),
            reports: self.reports.clone(),
            by_node: by_node(&self.plan),
            history: self.history.clone(),
        }));
    }

    /// Notes what the plan changes, for those who look and listen.
    fn tell(&mut self, plan: &Plan) {
        if *plan == self.plan {
            return;
        }
        let frames = Arc::make_mut(&mut self.history).compare(&self.plan, plan, now());
        for frame in frames {
            // Nobody listening is fine.
            let _ = self.frames.send(frame);
        }
    }

    fn make_true(&mut self, nodes: &BTreeMap<ItemHash, String>, plan: &Plan) {
        for (item, placement) in plan {
            if let Some(target) = &placement.target {
                self.network
                    .current
                    .insert(item.clone(), target.compute_node.clone());
            }
        }
        self.assign(nodes, plan);
    }

    fn assign(&self, nodes: &BTreeMap<ItemHash, String>, plan: &Plan) {
        let mut allocations: BTreeMap<&ItemHash, Allocation> = nodes
            .keys()
            .map(|node| (node, Allocation::default()))
            .collect();
        for (item, placement) in plan {
            let Some(target) = &placement.target else {
                continue;
            };
            if let (Some(allocation), Some(work)) = (
                allocations.get_mut(&target.compute_node),
                self.workloads.get(item),
            ) {
                allocation.insert(item, work.workload.kind);
            }
        }
        for (node, allocation) in allocations {
            self.agents.assign(node, allocation);
        }
    }

    fn log(&self, plan: &Plan) {
        for (item, placement) in plan {
            let before = self.plan.get(item);
            if before.is_some_and(|before| before.target == placement.target) {
                continue;
            }
            let (core, compute) = (&placement.core_node_reason, &placement.compute_node_reason);
            match placement.target {
                Some(_) => tracing::info!(program = %item, "{core}; {compute}"),
                None => tracing::warn!(program = %item, "not placed: {core}; {compute}"),
            }
        }
    }
}

fn by_node(plan: &Plan) -> BTreeMap<ItemHash, Vec<ItemHash>> {
    let mut by_node: BTreeMap<ItemHash, Vec<ItemHash>> = BTreeMap::new();
    for (item, placement) in plan {
        if let Some(target) = &placement.target {
            let node = target.compute_node.clone();
            by_node.entry(node).or_default().push(item.clone());
        }
    }
    by_node
}

pub(crate) fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
