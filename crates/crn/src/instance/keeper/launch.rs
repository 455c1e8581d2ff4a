//! From a record to a running guest.
//!
//! ```text
//! room? ─▶ disks ─▶ cards ─▶ network ─▶ seed ─▶ QEMU ─▶ record: started
//! ```

use beth_protocol::content::InstanceContent;
use tokio::time::Instant;

use super::Keeper;
use crate::api::label_of;
use crate::instance::confine;
use crate::instance::disks;
use crate::instance::fault::InstanceFault;
use crate::instance::guest::Guest;
use crate::instance::link::{Link, LinkRequest, wished_ports};
use crate::instance::make_private;
use crate::instance::qemu::Machine;
use crate::instance::record::{Record, now, write_whole};
use crate::instance::seed::{self, Seed};
use crate::instance::state::Phase;
use crate::limits;

/// What QEMU says when it cannot open a port that leads to its guest.
const PORT_TAKEN: &str = "Could not set up host forwarding rule";

impl Keeper {
    /// Makes what is missing and starts QEMU.
    pub(super) async fn launch(&mut self) -> Result<(), InstanceFault> {
        self.prepare().await?;
        self.start().await
    }

    /// Makes what is missing.
    pub(super) async fn prepare(&mut self) -> Result<(), InstanceFault> {
        let times = &mut self.record.times;
        times.preparing_at = Some(now().micros());
        (times.stopping_at, times.stopped_at) = (None, None);
        (times.prepared_at, times.starting_at, times.started_at) = (None, None, None);
        self.publish(Phase::Preparing, None);
        self.save().await?;
        self.shop.admit(&self.record)?;
        self.finish_restoration().await?;
        disks::prepare(&mut self.record, &self.shop.source, &self.folders).await?;
        self.record.times.prepared_at = Some(now().micros());
        let (item_hash, content) = (&self.record.item_hash, &self.record.content);
        self.record.cards = self.shop.cabinet.take(item_hash, content)?;
        Ok(())
    }

    /// Starts QEMU.
    pub(super) async fn start(&mut self) -> Result<(), InstanceFault> {
        self.record.times.starting_at = Some(now().micros());
        self.publish(Phase::Starting, None);
        self.attach_link(false).await?;
        self.save().await?;
        self.write_seed().await?;
        disks::renew_ephemeral(&self.record, &self.folders).await?;
        let guest = self.launch_qemu_on_free_ports().await?;
        self.record.process = Some(guest.process.identity);
        self.guest = Some(guest);
        self.record.times.started_at = Some(now().micros());
        self.running_since = Some(Instant::now());
        self.save().await?;
        self.publish(Phase::Running, None);
        Ok(())
    }

    /// A port that was free when it was chosen may be somebody else's when QEMU
    /// opens it; then it gets another one.
    async fn launch_qemu_on_free_ports(&mut self) -> Result<Guest, InstanceFault> {
        let mut launched = self.launch_qemu().await;
        for _ in 0..limits::INSTANCE_PORT_TRIES {
            let is_taken = |fault: &InstanceFault| fault.to_string().contains(PORT_TAKEN);
            match &launched {
                Err(fault) if is_taken(fault) => {
                    self.attach_link(false).await?;
                    self.save().await?;
                    launched = self.launch_qemu().await;
                }
                _ => break,
            }
        }
        launched
    }

    async fn launch_qemu(&self) -> Result<Guest, InstanceFault> {
        let wrong = |reason: String| InstanceFault::Tool {
            tool: "QEMU",
            reason,
        };
        let way = self.shop.way().await.map_err(wrong)?;
        let link = self.record.link.clone().unwrap_or(Link::None);
        make_private(&self.folders.sockets)
            .map_err(InstanceFault::disk("make a folder for sockets"))?;
        let tap = confine::tap(&link);
        let hidden = self.hidden_launch().await?;
        let machine = Machine {
            sockets: &self.folders.sockets,
            log: &self.folders.own.join("qemu.log"),
            kvm: way.kvm,
            vcpus: self.record.content.resources.vcpus.max(1),
            memory_mib: self.record.content.resources.memory,
            drives: &disks::drives(&self.record, &self.folders),
            link: &link,
            tap: tap.as_deref(),
            name: &format!("beth-{}", self.record.vm_id),
            uuid: &uuid(&self.record),
            cards: &self.record.cards,
            hidden: hidden.as_ref(),
        };
        let name = self.record.item_hash.as_str();
        let jail = confine::jail(&self.shop.jails, &machine, name, tap.clone());
        let life = self.shop.life;
        Guest::launch((&way.program, life), &machine, &self.console, jail)
            .await
            .map_err(wrong)
    }

    pub(super) async fn attach_link(&mut self, is_running: bool) -> Result<(), InstanceFault> {
        let (owner, item_hash) = (&self.record.content.address, &self.record.item_hash);
        let ports = wished_ports(&self.shop.source.core, owner, item_hash).await;
        let request = LinkRequest {
            ports,
            item_hash: self.record.item_hash.clone(),
            vm_id: self.record.vm_id,
            owner: self.record.content.address.clone(),
            before: self.record.link.clone(),
            is_running,
        };
        self.record.link = Some(self.shop.links.attach(request).await?);
        Ok(())
    }

    async fn write_seed(&self) -> Result<(), InstanceFault> {
        let label = label_of(&self.record.item_hash).unwrap_or_else(|| "instance".into());
        let keys = self.record.content.authorized_keys.as_deref();
        let addresses = self.record.link.as_ref().and_then(Link::addresses);
        let image = Seed {
            vm_id: self.record.vm_id,
            label: &label,
            authorized_keys: keys.unwrap_or_default(),
            guest_agent: true,
            boot_commands: boot_commands(&self.record.content),
            addresses: addresses.as_ref(),
        }
        .image();
        let path = self.folders.seed();
        disks::blocking(move || write_whole(&path, &image))
            .await
            .map_err(InstanceFault::disk("write the seed"))
    }
}

fn boot_commands(content: &InstanceContent) -> &'static [&'static [&'static str]] {
    let requirements = content.requirements.as_ref();
    let has_gpu = requirements.is_some_and(|wishes| wishes.gpu.is_some());
    match content.environment.trusted_execution {
        Some(_) => seed::CONFIDENTIAL_COMMANDS,
        None if has_gpu => seed::GPU_COMMANDS,
        None => &[],
    }
}

/// A UUID of the item hash: the guest of a record can be told from any other.
pub(super) fn uuid(record: &Record) -> String {
    let hex: String = record
        .item_hash
        .digest()
        .map(const_hex::encode)
        .unwrap_or_default();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("0").to_owned();
    format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 15),
        part(15, 18),
        part(18, 30)
    )
}
