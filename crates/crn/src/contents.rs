//! Messages of workloads, read once: who sent them and what they say.
//!
//! A message never changes, so what was read stays good; it is kept in memory
//! within bounds and read again from the core node when it was dropped.

use std::sync::Arc;

use beth_protocol::content::instance::InstanceContent;
use beth_protocol::content::machine::{MachineResources, Volume};
use beth_protocol::content::payment::{Payment, PaymentType};
use beth_protocol::{Chain, Content, ItemHash, ItemType, Message};

use crate::cache::Cache;
use crate::core_node::{CoreFault, CoreNode};
use crate::download::Files;
use crate::limits;
use crate::workloads::Demand;

/// Why a message cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ContentFault {
    /// The core node does not know it.
    #[error("Aleph message not found: {0}")]
    Unknown(ItemHash),
    /// Its content cannot be read.
    #[error("the message {item_hash} cannot be read: {reason}")]
    Unusable {
        /// What was asked for.
        item_hash: ItemHash,
        /// What is wrong.
        reason: String,
    },
    /// The core node gave no answer.
    #[error(transparent)]
    Core(#[from] CoreFault),
}

/// A message whose name vouches for its content.
#[derive(Clone, Debug)]
pub struct Described {
    /// The message.
    pub item_hash: ItemHash,
    /// Who signed it.
    pub sender: String,
    /// Of the envelope.
    pub chain: Chain,
    /// What it says.
    pub content: Content,
}

impl Described {
    /// Whose it is.
    pub fn owner(&self) -> &str {
        self.content.address()
    }

    /// How it is paid; tokens held when it does not say.
    pub fn payment_type(&self) -> PaymentType {
        self.content
            .payment()
            .map_or(PaymentType::Hold, |payment| payment.payment_type)
    }

    /// Chain of the payment; of the message when it does not say.
    pub fn payment_chain(&self) -> Chain {
        self.content
            .payment()
            .and_then(|payment| payment.chain)
            .unwrap_or(self.chain)
    }

    /// What it says of payment.
    pub fn payment(&self) -> Option<&Payment> {
        self.content.payment()
    }

    /// What it asks for.
    pub fn demand(&self) -> Demand {
        match &self.content {
            Content::Program(program) => {
                demand(&program.resources, &program.volumes, 0, Vec::new())
            }
            Content::Instance(instance) => demand_of_instance(instance),
            _ => Demand::default(),
        }
    }

    /// True when its memory is to be hidden from this node.
    pub fn is_confidential(&self) -> bool {
        match &self.content {
            Content::Instance(instance) => instance.environment.trusted_execution.is_some(),
            _ => false,
        }
    }
}

/// What an instance asks for.
pub fn demand_of_instance(instance: &InstanceContent) -> Demand {
    let gpus = instance.requirements.as_ref();
    let gpus = gpus.and_then(|needs| needs.gpu.clone()).unwrap_or_default();
    let disk_mib = instance.rootfs.size_mib;
    demand(&instance.resources, &instance.volumes, disk_mib, gpus)
}

fn demand(
    resources: &MachineResources,
    volumes: &[Volume],
    disk_mib: u64,
    gpus: Vec<beth_protocol::content::machine::GpuRequirement>,
) -> Demand {
    let written = volumes.iter().map(|volume| match volume {
        Volume::Immutable(_) => 0,
        Volume::Persistent(volume) => volume.size_mib,
        Volume::Ephemeral(volume) => volume.size_mib,
    });
    Demand {
        vcpus: resources.vcpus,
        memory_mib: resources.memory,
        disk_mib: written.fold(disk_mib, u64::saturating_add),
        gpus,
    }
}

/// Reads messages. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Contents {
    core: CoreNode,
    files: Files,
    read: Arc<Cache<ItemHash, Arc<Described>>>,
}

impl Contents {
    /// Asks that core node, and `files` for what is not inline.
    pub fn new(core: CoreNode, files: Files) -> Contents {
        Contents {
            core,
            files,
            read: Arc::new(Cache::new(limits::CONTENT_AGE_MAX, limits::CONTENTS_MAX)),
        }
    }

    /// The core node that is asked.
    pub fn core(&self) -> &CoreNode {
        &self.core
    }

    /// One message.
    pub async fn describe(&self, item_hash: &ItemHash) -> Result<Arc<Described>, ContentFault> {
        self.read.or_ask(item_hash, self.ask(item_hash)).await
    }

    async fn ask(&self, item_hash: &ItemHash) -> Result<Arc<Described>, ContentFault> {
        let message = self.core.message(item_hash).await?;
        let message = message.ok_or_else(|| ContentFault::Unknown(item_hash.clone()))?;
        let unusable = |reason: String| ContentFault::Unusable {
            item_hash: item_hash.clone(),
            reason,
        };
        let content = self.content(&message).await.map_err(unusable)?;
        Ok(Arc::new(Described {
            item_hash: message.item_hash,
            sender: message.sender,
            chain: message.chain,
            content,
        }))
    }

    async fn content(&self, message: &Message) -> Result<Content, String> {
        let content = if message.item_type == ItemType::Inline {
            message.inline_content()
        } else {
            let fetched = self
                .files
                .fetch(&message.item_hash, limits::CONTENT_BYTES_MAX);
            let file = fetched.await.map_err(|fault| fault.to_string())?;
            let bytes = tokio::fs::read(&file.path).await;
            let bytes = bytes.map_err(|error| error.to_string())?;
            message.fetched_content(&bytes).map(Some)
        };
        let content = content.map_err(|rejection| rejection.to_string())?;
        Ok(content.ok_or("it has no content")?.typed)
    }
}
