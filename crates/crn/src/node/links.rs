//! Instances on the guest network: their links, and what operators make again.
//!
//! ```text
//! instance ─▶ attach ─▶ ports its owner asks for (aggregate) ─▶ Lan ─▶ tap, addresses
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beth_protocol::ItemHash;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::core_node::CoreNode;
use crate::instance::{
    Addresses, Forward, InstanceFault, Instances, Link, LinkRequest, Links, Mapped, NETDEV, Tap,
    wished_ports,
};
use crate::lan::{self, Kind, Lan, LanError, Swept, WantedPorts, Wishes};
use crate::names::Names;
use crate::workloads::network::{Network, Remade};
use crate::workloads::{MappedPort, Networking};

/// Links on taps.
#[derive(Clone, Debug)]
pub(super) struct GuestLinks {
    lan: Lan,
    core: CoreNode,
    names: Option<Names>,
    /// Whose guests are attached.
    owners: Arc<Mutex<BTreeMap<ItemHash, String>>>,
}

/// No network cards.
#[derive(Debug)]
pub(super) struct NoLinks;

impl GuestLinks {
    /// On this network; ports are asked of this core node, names lead to guests.
    pub(super) fn new(lan: Lan, core: CoreNode, names: Option<Names>) -> GuestLinks {
        GuestLinks {
            lan,
            core,
            names,
            owners: Arc::default(),
        }
    }

    /// The network itself.
    pub(super) fn lan(&self) -> &Lan {
        &self.lan
    }

    /// Ends; guests that run keep what they have.
    pub(super) async fn stop(&self) -> Result<(), LanError> {
        self.lan.stop().await
    }

    fn owners(&self) -> MutexGuard<'_, BTreeMap<ItemHash, String>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, request: LinkRequest) -> Result<Link, InstanceFault> {
        let LinkRequest {
            item_hash,
            owner,
            before,
            ..
        } = request;
        let wishes = Wishes {
            vm_id: Some(before.and_then(number).unwrap_or(request.vm_id)),
            kind: Kind::Instance,
            owner_uid: None,
            ports: request.ports,
        };
        self.owners().insert(item_hash.clone(), owner);
        let link = match request.is_running {
            true => self.lan.adopt(&item_hash, wishes).await,
            false => self.lan.attach(&item_hash, wishes).await,
        };
        let link = link.map_err(no_room)?;
        self.guests_changed();
        Ok(self.shown(&item_hash, link))
    }

    fn is_here(&self, item_hash: &ItemHash) -> bool {
        self.lan.link_of(item_hash).is_some()
    }

    /// Has domain names follow the guests, until it is cancelled.
    pub(super) async fn follow_names(self, cancel: CancellationToken) {
        if let Some(names) = self.names.clone() {
            let is_here = |item_hash: &ItemHash| self.is_here(item_hash);
            names.run(is_here, cancel).await;
        }
    }

    fn guests_changed(&self) {
        if let Some(names) = &self.names {
            names.guests_changed();
        }
    }

    fn shown(&self, item_hash: &ItemHash, link: Option<lan::Link>) -> Link {
        match (link, self.lan.networking(item_hash)) {
            (Some(link), Some(shown)) => tap(link, &shown),
            _ => Link::None,
        }
    }

    async fn remap(
        &self,
        item_hash: &ItemHash,
        wanted: WantedPorts,
    ) -> Result<Mapped, InstanceFault> {
        let commands = self.lan.map_ports(item_hash, wanted, NETDEV).await;
        Ok(Mapped {
            commands: commands.map_err(no_room)?,
            link: self.shown(item_hash, self.lan.link_of(item_hash)),
        })
    }

    /// Takes away what guests of an earlier node left, once every instance that
    /// runs was found.
    pub(super) async fn sweep(&self, instances: &Instances) -> Result<(), LanError> {
        let keep = |item_hash: &ItemHash, kind| {
            let state = instances.state(item_hash);
            kind != Kind::Instance || state.is_some_and(|state| state.phase.has_link())
        };
        let swept = self.lan.sweep(keep).await?;
        if swept != Swept::default() {
            tracing::info!(guests = ?swept.guests, taps = ?swept.taps, "links that nobody uses are gone");
        }
        Ok(())
    }

    async fn map_again(&self) -> Result<(), LanError> {
        let owners = self.owners().clone();
        for (item_hash, owner) in owners {
            if let Some(wanted) = wished_ports(&self.core, &owner, &item_hash).await {
                self.lan.map_ports(&item_hash, wanted, NETDEV).await?;
            }
        }
        Ok(())
    }
}

impl Links for GuestLinks {
    fn attach(&self, request: LinkRequest) -> BoxFuture<'_, Result<Link, InstanceFault>> {
        Box::pin(self.connect(request))
    }

    fn map<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        _before: &'a Link,
        wanted: WantedPorts,
    ) -> BoxFuture<'a, Result<Mapped, InstanceFault>> {
        Box::pin(self.remap(item_hash, wanted))
    }

    fn detach(&self, item_hash: &ItemHash, _vm_id: u32) -> BoxFuture<'_, ()> {
        let item_hash = item_hash.clone();
        Box::pin(async move {
            self.owners().remove(&item_hash);
            if let Err(error) = self.lan.detach(&item_hash).await {
                tracing::warn!(%item_hash, %error, "the link of an instance stays");
            }
            self.guests_changed();
        })
    }

    fn forget(&self, item_hash: &ItemHash) -> BoxFuture<'_, ()> {
        let item_hash = item_hash.clone();
        Box::pin(async move {
            self.owners().remove(&item_hash);
            if let Err(error) = self.lan.forget(&item_hash).await {
                tracing::warn!(%item_hash, %error, "the addresses of an instance stay taken");
            }
        })
    }
}

impl Links for NoLinks {
    fn attach(&self, _request: LinkRequest) -> BoxFuture<'_, Result<Link, InstanceFault>> {
        Box::pin(async { Ok(Link::None) })
    }

    fn map<'a>(
        &'a self,
        _item_hash: &'a ItemHash,
        _before: &'a Link,
        _wanted: WantedPorts,
    ) -> BoxFuture<'a, Result<Mapped, InstanceFault>> {
        Box::pin(async {
            Ok(Mapped {
                link: Link::None,
                commands: Vec::new(),
            })
        })
    }

    fn detach(&self, _item_hash: &ItemHash, _vm_id: u32) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn forget(&self, _item_hash: &ItemHash) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

impl Network for GuestLinks {
    fn recreate(&self) -> BoxFuture<'_, Result<Remade, String>> {
        Box::pin(async {
            let done = self.lan.recreate().await;
            let done = done.map_err(|error| error.to_string())?;
            self.map_again().await.map_err(|error| error.to_string())?;
            Ok(Remade {
                removed_chains: done.removed_chains,
                recreated: done.guests,
                failed: done.failed,
            })
        })
    }

    fn refresh_domains(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            match &self.names {
                Some(names) => names.refresh(&|item_hash| self.is_here(item_hash)).await,
                None => Ok(()),
            }
        })
    }

    fn domains(&self) -> BoxFuture<'_, Option<Value>> {
        Box::pin(async { self.names.as_ref()?.mappings().await })
    }
}

/// The number that a running guest's tap names.
fn number(before: Link) -> Option<u32> {
    match before {
        Link::Tap(tap) => tap.name.strip_prefix("vmtap")?.parse().ok(),
        Link::None | Link::User { .. } => None,
    }
}

fn no_room(error: LanError) -> InstanceFault {
    InstanceFault::NoRoom(error.to_string())
}

fn tap(link: lan::Link, shown: &lan::Networking) -> Link {
    let mut addresses = vec![format!("{}/{}", link.ipv4, link.ipv4_network.prefix_bits())];
    let ipv6 = link.ipv6.as_ref();
    addresses.extend(ipv6.map(|ipv6| format!("{}/{}", ipv6.address, ipv6.network.prefix_bits())));
    let on_host = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let forwards = link.ports.iter().map(|(&guest_port, mapping)| Forward {
        host: on_host(mapping.host),
        guest_port,
        tcp: mapping.tcp,
        udp: mapping.udp,
    });
    Link::Tap(Box::new(Tap {
        name: match &link.end {
            lan::End::Tap(name) => name.clone(),
            lan::End::User(_) => return Link::None,
        },
        mac: link.mac.to_string(),
        forwards: forwards.collect(),
        addresses: Addresses {
            addresses,
            gateway4: Some(link.ipv4_gateway.to_string()),
            gateway6: ipv6.map(|ipv6| ipv6.gateway.to_string()),
            nameservers: link.dns.iter().map(ToString::to_string).collect(),
        },
        shown: Networking {
            ipv4_network: shown.ipv4_network.to_string(),
            host_ipv4: shown.host_ipv4.to_string(),
            ipv6_network: shown.ipv6_network.to_string(),
            ipv6_ip: shown.ipv6_ip.to_string(),
            ipv4_ip: shown.ipv4_ip.to_string(),
            mapped_ports: (link.ports.iter())
                .map(|(&port, &lan::Mapping { host, tcp, udp })| {
                    (port, MappedPort { host, tcp, udp })
                })
                .collect(),
        },
    }))
}
