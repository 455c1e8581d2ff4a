//! What happened to workloads since this scheduler runs: where they were put and
//! where they were seen (network.md §23.4, v1).
//!
//! In memory only: placement itself needs none of it. The changes are bounded,
//! sightings are of workloads that there are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use beth_protocol::ItemHash;
use beth_protocol::placement::Plan;
use beth_protocol::time::Timestamp;
use serde_json::{Value, json};

use crate::limits::CHANGES_MAX;

/// What happened to one workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was given to a node.
    Scheduled,
    /// It was taken from a node.
    Unscheduled,
    /// It left a node for another one.
    MigratedFrom,
    /// It came to a node from another one.
    MigratedTo,
}

/// One line of the history.
#[derive(Clone, Debug)]
pub struct Change {
    /// Counts from 1.
    pub id: u64,
    /// The workload.
    pub item: ItemHash,
    /// The node.
    pub node: ItemHash,
    /// What happened.
    pub action: Action,
    /// Why, as a sentence.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Where a workload was seen.
#[derive(Clone, Debug, Default)]
pub struct Sighting {
    /// The nodes that list it now.
    pub nodes: BTreeSet<ItemHash>,
    /// When one did last.
    pub last: Timestamp,
}

/// The history.
#[derive(Clone, Debug, Default)]
pub struct History {
    changes: VecDeque<Change>,
    count: u64,
    /// Since when a workload is where it is.
    pub allocated_at: BTreeMap<ItemHash, Timestamp>,
    /// Workloads that were seen running; the world drops those that are gone.
    pub seen: BTreeMap<ItemHash, Sighting>,
}

impl Action {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Scheduled => "scheduled",
            Action::Unscheduled => "unscheduled",
            Action::MigratedFrom => "migrated_from",
            Action::MigratedTo => "migrated_to",
        }
    }
}

impl History {
    /// The latest changes that match, newest first.
    pub fn of(&self, matches: impl Fn(&Change) -> bool) -> Vec<&Change> {
        self.changes.iter().rev().filter(|c| matches(c)).collect()
    }

    /// Notes what is different in a new plan; the frames that tell of it.
    pub fn compare(&mut self, before: &Plan, after: &Plan, at: Timestamp) -> Vec<Value> {
        let mut frames = Vec::new();
        for (item, placement) in after {
            let old = before.get(item).and_then(|p| p.target.as_ref());
            let new = placement.target.as_ref();
            let (old, new) = (
                old.map(|target| &target.compute_node),
                new.map(|target| &target.compute_node),
            );
            let reason = || Some(placement.compute_node_reason.clone());
            match (old, new) {
                (None, Some(node)) => {
                    self.note(item, node, Action::Scheduled, reason(), at);
                    frames.push(json!({"type": "VmScheduled", "vmHash": item, "nodeHash": node}));
                }
                (Some(old), Some(new)) if old != new => {
                    self.note(item, old, Action::MigratedFrom, reason(), at);
                    self.note(item, new, Action::MigratedTo, reason(), at);
                    frames.push(json!({"type": "VmMigrated", "vmHash": item, "sourceHash": old, "targetHash": new}));
                }
                (Some(old), None) => {
                    self.note(item, old, Action::Unscheduled, reason(), at);
                    frames.push(json!({"type": "VmUnschedulable", "vmHash": item}));
                }
                (None, None) if !before.contains_key(item) => {
                    frames.push(json!({"type": "VmUnschedulable", "vmHash": item}));
                }
                _ => {}
            }
        }
        for (item, placement) in before {
            if let Some(target) = placement
                .target
                .as_ref()
                .filter(|_| !after.contains_key(item))
            {
                let node = &target.compute_node;
                let reason = Some("its message is gone".to_owned());
                self.note(item, node, Action::Unscheduled, reason, at);
                frames.push(json!({"type": "VmUnscheduled", "vmHash": item, "nodeHash": node}));
            }
        }
        frames
    }

    /// Notes what a node lists as running.
    pub fn observe(&mut self, node: &ItemHash, running: &BTreeSet<ItemHash>, at: Timestamp) {
        for (item, sighting) in &mut self.seen {
            if !running.contains(item) {
                sighting.nodes.remove(node);
            }
        }
        for item in running {
            let sighting = self.seen.entry(item.clone()).or_default();
            sighting.nodes.insert(node.clone());
            sighting.last = at;
        }
    }

    fn note(
        &mut self,
        item: &ItemHash,
        node: &ItemHash,
        action: Action,
        reason: Option<String>,
        at: Timestamp,
    ) {
        self.count += 1;
        self.changes.push_back(Change {
            id: self.count,
            item: item.clone(),
            node: node.clone(),
            action,
            reason,
            at,
        });
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
        match action {
            Action::Scheduled | Action::MigratedTo => {
                self.allocated_at.insert(item.clone(), at);
            }
            Action::Unscheduled | Action::MigratedFrom => {
                self.allocated_at.remove(item);
            }
        }
    }
}
