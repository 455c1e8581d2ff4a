//! The view: the last plan with what it was made from, for readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use beth_protocol::ItemHash;
use beth_protocol::placement::{Plan, Snapshot};
use beth_protocol::time::Timestamp;

use crate::history::History;
use crate::probe::Report;
use crate::work::Work;

/// Published whole after every plan.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// When the plan was made.
    pub planned_at: Timestamp,
    /// True once the core node has been read completely.
    pub listed: bool,
    /// What there is to place.
    pub workloads: BTreeMap<ItemHash, Work>,
    /// Where it goes.
    pub plan: Plan,
    /// The nodes.
    pub network: Snapshot,
    /// What the compute nodes said.
    pub reports: BTreeMap<ItemHash, Report>,
    /// What each node was given.
    pub by_node: BTreeMap<ItemHash, Vec<ItemHash>>,
    /// What happened so far.
    pub history: Arc<History>,
}
