//! What happens on the network, as far as this node is concerned
//! (compute.md §27).
//!
//! ```text
//!  core node ──ws──▶ message ─┬ STORE with ref   ─▶ who uses it gets a new machine
//!     ▲                       ├ FORGET           ─▶ erased
//!     └─ pause 0.1 … 8 s ◀─┐  ├ AGGREGATE        ─▶ ports, names, settings
//!        broken or silent ─┘  └ any              ─▶ programs that wait for it are called
//! ```
//!
//! The stream may break at any time and tell things twice: whatever is done
//! here may be done again. A machine is replaced only when the owner of a file
//! replaced it. Programs that wait for messages run where they are placed, not
//! on every node that hears of them: those that this node knows, that is, those
//! that a scheduler or a caller brought here.

mod stream;
mod subscription;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beth_protocol::{Content, ItemHash};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::contents::Contents;
use crate::limits;
use crate::network_settings::SettingsReader;
use crate::pool::Pool;
use crate::workloads::network::Network;
use crate::workloads::{Kind, Machines};

/// Follows the network. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    contents: Contents,
    machines: Machines,
    pool: Pool,
    settings: SettingsReader,
    network: Option<Arc<dyn Network>>,
    /// Messages that were told of, so that no program hears of one twice.
    told: Cache<(ItemHash, ItemHash), ()>,
    /// What each known program waits for.
    wanted: Mutex<HashMap<ItemHash, Vec<Value>>>,
    calls: Arc<Semaphore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Watch {
    /// A watch over those machines; what it begins ends with `cancel`.
    pub fn new(
        contents: Contents,
        machines: Machines,
        pool: Pool,
        settings: SettingsReader,
        network: Option<Arc<dyn Network>>,
        cancel: CancellationToken,
    ) -> Watch {
        Watch(Arc::new(Inner {
            contents,
            machines,
            pool,
            settings,
            network,
            told: Cache::new(limits::TOLD_AGE_MAX, limits::TOLD_MAX),
            wanted: Mutex::default(),
            calls: Arc::new(Semaphore::new(limits::TRIGGERED_CALLS_MAX)),
            tasks: TaskTracker::new(),
            cancel,
        }))
    }

    /// Follows the core node until cancelled, over as many connections as it
    /// takes, and then waits for the calls under way.
    pub async fn run(self) {
        let cancel = self.0.cancel.clone();
        let mut messages = stream::Messages::new(self.0.contents.core().url());
        while let Some(message) = cancel.run_until_cancelled(messages.next()).await {
            cancel.run_until_cancelled(self.hear(&message)).await;
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// One message of the stream.
    pub async fn hear(&self, message: &Value) {
        // Confirmations come without a type; they change nothing here.
        let Some(kind) = message.get("type").and_then(Value::as_str) else {
            return;
        };
        match kind {
            "FORGET" => self.forget(message).await,
            "STORE" => self.replace(message).await,
            "AGGREGATE" => self.aggregate(message).await,
            _ => {}
        }
        self.tell(message).await;
    }

    async fn forget(&self, message: &Value) {
        let hashes = message.pointer("/content/hashes").and_then(Value::as_array);
        let hashes = hashes.into_iter().flatten().filter_map(Value::as_str);
        for item_hash in hashes.filter_map(|text| ItemHash::parse(text).ok()) {
            let Some((known, workloads)) = self.0.machines.find(&item_hash).await else {
                continue;
            };
            // Only what its owner may forget; the core node checked it as well.
            let sender = message.pointer("/content/address").and_then(Value::as_str);
            if !sender.is_some_and(|sender| sender.eq_ignore_ascii_case(&known.owner)) {
                continue;
            }
            tracing::info!("{item_hash} is erased: its owner forgot it");
            if let Err(fault) = workloads.erase(&item_hash).await {
                tracing::warn!("{item_hash} is not erased: {fault}");
            }
        }
    }

    /// A new version of a file: who uses the newest one gets a new machine.
    async fn replace(&self, message: &Value) {
        let reference = message.pointer("/content/ref").and_then(Value::as_str);
        let Some(Ok(reference)) = reference.map(ItemHash::parse) else {
            return;
        };
        for known in self.0.machines.all().await {
            let Ok(described) = self.0.contents.describe(&known.item_hash).await else {
                continue;
            };
            let uses = subscription::newest_files(&described.content).contains(&reference);
            if !known.is_running || !uses || !self.is_by_owner(message, &reference).await {
                continue;
            }
            let item_hash = &known.item_hash;
            tracing::info!("{item_hash} gets a new machine: there is a new version of {reference}");
            if known.kind != Kind::Instance {
                self.0.pool.stop(item_hash).await;
                continue;
            }
            if let Some((_, workloads)) = self.0.machines.find(item_hash).await {
                let stopped = workloads.stop(item_hash).await.map(drop);
                let begun = match stopped {
                    Ok(()) => workloads.start(item_hash).await,
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = begun {
                    tracing::warn!("{item_hash} does not run with its new files: {fault}");
                }
            }
        }
    }

    /// True when the message is of whoever stored the file first.
    async fn is_by_owner(&self, message: &Value, reference: &ItemHash) -> bool {
        let address = message.pointer("/content/address").and_then(Value::as_str);
        let original = self.0.contents.describe(reference).await;
        matches!(
            (address, original),
            (Some(address), Ok(original)) if address.eq_ignore_ascii_case(original.owner())
        )
    }

    async fn aggregate(&self, message: &Value) {
        let member = |name: &str| message.pointer(name).and_then(Value::as_str);
        let (Some(owner), Some(key)) = (member("/content/address"), member("/content/key")) else {
            return;
        };
        if key == "settings" && owner.eq_ignore_ascii_case(self.0.settings.address()) {
            self.0.settings.forget();
        }
        if !matches!(key, "port-forwarding" | "domains") {
            return;
        }
        let mut theirs = self.0.machines.all().await;
        theirs.retain(|known| {
            known.kind == Kind::Instance && known.owner.eq_ignore_ascii_case(owner)
        });
        if key == "domains" {
            if let (false, Some(network)) = (theirs.is_empty(), &self.0.network)
                && let Err(reason) = network.refresh_domains().await
            {
                tracing::warn!("domain names stay as they are: {reason}");
            }
            return;
        }
        for known in theirs {
            let applied = self
                .0
                .machines
                .refresh_ports(self.0.contents.core(), &known);
            if let Err(fault) = applied.await {
                tracing::warn!("the ports of {} stay as they are: {fault}", known.item_hash);
            }
        }
    }

    /// Calls the programs that wait for such a message.
    async fn tell(&self, message: &Value) {
        let Some(name) = message.get("item_hash").and_then(Value::as_str) else {
            return;
        };
        let Ok(name) = ItemHash::parse(name) else {
            return;
        };
        for program in self.waiting_for(message).await {
            let pair = (program.clone(), name.clone());
            if self.0.told.find(&pair).is_some() {
                continue;
            }
            let kept = self.0.told.or_ask(&pair, async { Ok::<_, ()>(()) });
            // Remembering cannot fail.
            let _ = kept.await;
            self.call(program, message.clone());
        }
    }

    /// Programs that wait for such a message.
    async fn waiting_for(&self, message: &Value) -> Vec<ItemHash> {
        let names = self.0.pool.names();
        let unread: Vec<ItemHash> = {
            let mut wanted = self.wanted();
            wanted.retain(|name, _| names.contains(name));
            let unread = names.iter().filter(|name| !wanted.contains_key(*name));
            unread.cloned().collect()
        };
        for name in unread {
            if let Ok(described) = self.0.contents.describe(&name).await {
                let wants = match &described.content {
                    Content::Program(program) => subscription::of(program),
                    _ => Vec::new(),
                };
                self.wanted().insert(name, wants);
            }
        }
        let wanted = self.wanted();
        let matching = wanted.iter().filter(|(_, wants)| {
            wants
                .iter()
                .any(|wants| subscription::matches(wants, message))
        });
        matching.map(|(name, _)| name.clone()).collect()
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<ItemHash, Vec<Value>>> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, program: ItemHash, message: Value) {
        let Ok(place) = self.0.calls.clone().try_acquire_owned() else {
            tracing::warn!(
                "{program} misses a message: too many programs are told of messages now"
            );
            return;
        };
        let (pool, cancel) = (self.0.pool.clone(), self.0.cancel.clone());
        self.0.tasks.spawn(async move {
            let _place = place;
            let told = cancel
                .run_until_cancelled(pool.deliver_event(&program, &message))
                .await;
            if let Some(Err(fault)) = told {
                tracing::info!("{program} cannot be told of a message: {fault}");
            }
        });
    }
}
