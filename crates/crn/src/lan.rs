//! The guest network: addresses, links, ports and rules of guests
//! (compute.md §22, §23).
//!
//! ```text
//!             state.json ──┬─▶ nft: one table, one transaction
//! attach ─▶ remember first │
//! detach ─▶ forget last    └─▶ ip: a tap for each guest
//! ```
//!
//! | mode | guests are | the host |
//! |---|---|---|
//! | `tap` | each alone on a routed link, filtered | gets taps, one table `inet beth`, forwarding |
//! | `user` | in QEMU's own network | is not changed |
//! | `none` | without a network card | is not changed |
//!
//! What is remembered is on disk before anything of it is in the kernel, so
//! that a node that was killed finds everything it made. A guest keeps number,
//! addresses and ports until it is forgotten. Guests outlive the node: links
//! stay when it ends, [`Lan::adopt`] takes them up, [`Lan::sweep`] removes what
//! nobody took up. One node has the network of a host.

mod address;
mod block;
mod config;
mod error;
mod host;
mod link;
mod ports;
mod rules;
mod state;
mod taps;
mod way;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use beth_protocol::ItemHash;

pub use self::address::{Ipv6Policy, Kind, Mac};
pub use self::block::{Block, NotABlock};
pub use self::config::{LanConfig, Mode};
pub use self::error::LanError;
pub use self::link::{End, Link, LinkV6, Networking, Wishes};
pub use self::ports::{Mapping, PortMap, Protocols, SSH, WantedPorts, wanted_ports, with_ssh};
pub use self::way::report;

use self::address::{nth4, nth6, tap_name};
use self::ports::Search;
use self::state::{Guest, State};
use self::taps::Plug;
use self::way::Way;

/// Name servers for guests of a host that names none.
const RESOLVERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)),
];

/// The guest network; all clones are one.
#[derive(Clone, Debug)]
pub struct Lan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: LanConfig,
    folder: PathBuf,
    way: Way,
    resolvers: Vec<IpAddr>,
    state: RwLock<State>,
    /// Changes happen one after the other.
    turn: tokio::sync::Mutex<()>,
}

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Guests whose links were removed; they are remembered still.
    pub guests: Vec<ItemHash>,
    /// Taps that belonged to no guest.
    pub taps: Vec<String>,
}

/// What [`Lan::recreate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recreated {
    /// Chains that were there before.
    pub removed_chains: Vec<String>,
    /// Guests whose link is made.
    pub guests: Vec<ItemHash>,
    /// Guests whose link could not be made, and why.
    pub failed: Vec<(ItemHash, String)>,
}

impl Lan {
    /// Starts with what is remembered in `folder`. With taps, the rules of
    /// guests that were attached are in force when this returns.
    pub async fn start(config: &LanConfig, folder: &Path) -> Result<Lan, LanError> {
        if let Some(fault) = config.fault() {
            return Err(LanError::Config(fault));
        }
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let state = State::load(&folder)?;
        let way = Way::of(config, &folder).await?;
        let resolvers = match &config.dns[..] {
            [] => Some(host::resolvers()).filter(|found| !found.is_empty()),
            some => Some(some.to_vec()),
        };
        let lan = Lan(Arc::new(Inner {
            config: config.clone(),
            folder,
            way,
            resolvers: resolvers.unwrap_or_else(|| RESOLVERS.to_vec()),
            state: RwLock::new(state.clone()),
            turn: tokio::sync::Mutex::new(()),
        }));
        lan.apply(&state).await?;
        if let Way::Tap(taps, _) = &lan.0.way {
            taps.open(config).await?;
        }
        Ok(lan)
    }

    /// How guests reach the network; never [`Mode::Auto`].
    pub fn mode(&self) -> Mode {
        match self.0.way {
            Way::Tap(..) => Mode::Tap,
            Way::User => Mode::User,
            Way::None => Mode::None,
        }
    }

    /// The number of a guest: the one it has, else the lowest free one, which
    /// is its own from now on.
    pub async fn free_vm_id(&self, item_hash: &ItemHash, kind: Kind) -> Result<u32, LanError> {
        let _turn = self.0.turn.lock().await;
        let mut next = self.state();
        let wishes = Wishes {
            kind,
            ..Wishes::default()
        };
        let vm_id = self.admit(&mut next, item_hash, &wishes).await?;
        self.remember(next).await?;
        Ok(vm_id)
    }

    /// Gives a guest that is about to start its link; `None` without network.
    /// A tap that is left of an earlier life is made anew.
    pub async fn attach(
        &self,
        item_hash: &ItemHash,
        wishes: Wishes,
    ) -> Result<Option<Link>, LanError> {
        self.connect(item_hash, wishes, Plug::Anew).await
    }

    /// Takes up the link of a guest that still runs. What is missing of it is
    /// made again; a tap that is there is kept.
    pub async fn adopt(
        &self,
        item_hash: &ItemHash,
        wishes: Wishes,
    ) -> Result<Option<Link>, LanError> {
        self.connect(item_hash, wishes, Plug::Keep).await
    }

    /// Removes the link of a guest that ended. It keeps number, addresses and
    /// ports.
    pub async fn detach(&self, item_hash: &ItemHash) -> Result<(), LanError> {
        let _turn = self.0.turn.lock().await;
        let mut next = self.state();
        let Some(guest) = next.guests.get_mut(item_hash) else {
            return Ok(());
        };
        guest.attached = false;
        let guest = guest.clone();
        self.unplug(item_hash, &guest).await?;
        self.commit(next).await
    }

    /// Removes the link of a guest and releases number, addresses and ports.
    pub async fn forget(&self, item_hash: &ItemHash) -> Result<(), LanError> {
        let _turn = self.0.turn.lock().await;
        let mut next = self.state();
        let Some(guest) = next.guests.remove(item_hash) else {
            return Ok(());
        };
        self.unplug(item_hash, &guest).await?;
        self.commit(next).await
    }

    /// Forgets all guests but instances: programs do not outlive a node.
    pub async fn forget_programs(&self) -> Result<(), LanError> {
        let guests = self.state().guests.into_iter();
        for (item_hash, _) in guests.filter(|(_, guest)| guest.kind != Kind::Instance) {
            self.forget(&item_hash).await?;
        }
        Ok(())
    }

    /// Changes the ports that lead to a guest; instances keep SSH. Tells the
    /// commands by which QEMU's monitor does the same where there is no tap
    /// ([`Link::monitor_commands`]).
    pub async fn map_ports(
        &self,
        item_hash: &ItemHash,
        wanted: WantedPorts,
        netdev: &str,
    ) -> Result<Vec<String>, LanError> {
        let _turn = self.0.turn.lock().await;
        let mut next = self.state();
        let before = self.link(&next, item_hash);
        self.remap(&mut next, item_hash, Some(wanted))?;
        let after = self.link(&next, item_hash);
        self.commit(next).await?;
        Ok(match (before, after) {
            (Some(before), Some(after)) => before.monitor_commands(&after, netdev),
            _ => Vec::new(),
        })
    }

    /// Removes the links of attached guests that are not to be kept, and taps of
    /// ours that belong to nobody. To be called after all guests that run were
    /// adopted; who begins meanwhile gets its link afterwards.
    pub async fn sweep(
        &self,
        keep: impl Fn(&ItemHash, Kind) -> bool + Send,
    ) -> Result<Swept, LanError> {
        let _turn = self.0.turn.lock().await;
        let mut next = self.state();
        let mut swept = Swept::default();
        let left = next.guests.iter_mut();
        for (item_hash, guest) in
            left.filter(|(hash, guest)| guest.attached && !keep(hash, guest.kind))
        {
            guest.attached = false;
            self.unplug(item_hash, guest).await?;
            swept.guests.push(item_hash.clone());
        }
        if let Way::Tap(taps, _) = &self.0.way {
            swept.taps = taps.sweep(&self.0.config, &next).await?;
        }
        self.commit(next).await?;
        Ok(swept)
    }

    /// Makes rules and links of all attached guests again.
    pub async fn recreate(&self) -> Result<Recreated, LanError> {
        let _turn = self.0.turn.lock().await;
        let state = self.state();
        let mut done = Recreated::default();
        if let Way::Tap(taps, _) = &self.0.way {
            done.removed_chains = taps.chains().await?;
        }
        self.apply(&state).await?;
        if let Way::Tap(taps, _) = &self.0.way {
            taps.open(&self.0.config).await?;
        }
        let attached = state.guests.iter().filter(|(_, guest)| guest.attached);
        for (item_hash, guest) in attached {
            match self.plug(item_hash, guest, Plug::Keep).await {
                Ok(()) => done.guests.push(item_hash.clone()),
                Err(error) => done.failed.push((item_hash.clone(), error.to_string())),
            }
        }
        Ok(done)
    }

    /// Ends: rules go when no guest is attached; else they stay with the guests.
    pub async fn stop(&self) -> Result<(), LanError> {
        let _turn = self.0.turn.lock().await;
        let has_guests = self.state().guests.values().any(|guest| guest.attached);
        match &self.0.way {
            Way::Tap(taps, _) if !has_guests => taps.clear().await,
            _ => Ok(()),
        }
    }

    /// The link of an attached guest.
    pub fn link_of(&self, item_hash: &ItemHash) -> Option<Link> {
        let state = self.state();
        let is_attached = state.guests.get(item_hash)?.attached;
        is_attached.then(|| self.link(&state, item_hash)).flatten()
    }

    /// What the API tells of a guest's network: as soon as its number is known,
    /// until it is forgotten.
    pub fn networking(&self, item_hash: &ItemHash) -> Option<Networking> {
        let state = self.state();
        let guest = state.guests.get(item_hash)?;
        let (ipv4_network, ipv6_network) = self.networks(item_hash, guest)?;
        let host_ipv4 = match &self.0.way {
            Way::Tap(taps, _) => taps.host_ipv4(),
            Way::User | Way::None => Some(self.0.config.user_address),
        };
        Some(Networking {
            ipv4_network,
            host_ipv4: host_ipv4.unwrap_or(Ipv4Addr::LOCALHOST),
            ipv6_network,
            ipv6_ip: nth6(ipv6_network, 1),
            ipv4_ip: nth4(ipv4_network, 2),
            mapped_ports: guest.ports.clone(),
        })
    }

    /// Where the ports of a guest are reached; empty for one that is unknown.
    pub fn mapped_ports(&self, item_hash: &ItemHash) -> PortMap {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        let guest = state.guests.get(item_hash);
        guest.map(|guest| guest.ports.clone()).unwrap_or_default()
    }

    /// The attached guests.
    pub fn attached(&self) -> BTreeMap<ItemHash, u32> {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        let attached = state.guests.iter().filter(|(_, guest)| guest.attached);
        attached
            .map(|(item_hash, guest)| (item_hash.clone(), guest.vm_id))
            .collect()
    }

    async fn connect(
        &self,
        item_hash: &ItemHash,
        wishes: Wishes,
        plug: Plug,
    ) -> Result<Option<Link>, LanError> {
        let _turn = self.0.turn.lock().await;
        let before = self.state();
        let mut next = before.clone();
        self.admit(&mut next, item_hash, &wishes).await?;
        self.remap(&mut next, item_hash, wishes.ports)?;
        let Some(guest) = next.guests.get_mut(item_hash) else {
            return Err(LanError::Unknown(item_hash.clone()));
        };
        guest.owner_uid = wishes.owner_uid;
        guest.attached = !matches!(self.0.way, Way::None);
        let guest = guest.clone();
        let link = self.link(&next, item_hash);
        self.commit(next).await?;
        if let Err(error) = self.plug(item_hash, &guest, plug).await {
            if plug == Plug::Anew {
                self.withdraw(before, item_hash, &guest).await;
            }
            return Err(error);
        }
        Ok(link)
    }

    /// After a link that could not be made: as it was, as far as possible.
    async fn withdraw(&self, before: State, item_hash: &ItemHash, guest: &Guest) {
        let undone = match self.unplug(item_hash, guest).await {
            Ok(()) => self.commit(before).await,
            Err(error) => Err(error),
        };
        if let Err(error) = undone {
            tracing::warn!(%item_hash, %error, "remains of a link stay until the next sweep");
        }
    }

    async fn admit(
        &self,
        state: &mut State,
        item_hash: &ItemHash,
        wishes: &Wishes,
    ) -> Result<u32, LanError> {
        if let Some(guest) = state.guests.get(item_hash) {
            return Ok(guest.vm_id);
        }
        let (ours, others) = match &self.0.way {
            Way::Tap(taps, _) => taps.taken().await?,
            Way::User | Way::None => Default::default(),
        };
        let used = |vm_id: &u32| state.guests.values().any(|guest| guest.vm_id == *vm_id);
        let wish = (wishes.vm_id).filter(|vm_id| !others.contains(vm_id) && !used(vm_id));
        let taken = &ours | &others;
        let free = || state.free_vm_id(&self.0.config, &taken);
        let vm_id = wish.or_else(free).ok_or(LanError::Full)?;
        state.admit(&self.0.config, item_hash, (vm_id, wishes.kind))?;
        Ok(vm_id)
    }

    fn remap(
        &self,
        state: &mut State,
        item_hash: &ItemHash,
        wanted: Option<WantedPorts>,
    ) -> Result<(), LanError> {
        let Some(guest) = state.guests.get(item_hash) else {
            return Err(LanError::Unknown(item_hash.clone()));
        };
        let current = guest.ports.clone();
        let wanted = wanted.unwrap_or_else(|| ports::wanted_of(&current));
        let wanted = match guest.kind {
            Kind::Instance => with_ssh(wanted),
            Kind::Microvm | Kind::PersistentProgram => wanted,
        };
        let mut search = Search {
            range: self.0.config.ports,
            used: state.host_ports(),
            next: &mut state.next_port,
        };
        let map = search.remap(&current, &wanted, ports::is_free)?;
        if let Some(guest) = state.guests.get_mut(item_hash) {
            guest.ports = map;
        }
        Ok(())
    }

    fn networks(&self, item_hash: &ItemHash, guest: &Guest) -> Option<(Block, Block)> {
        let config = &self.0.config;
        let ipv4 = guest.ipv4_network(config)?;
        Some((ipv4, guest.ipv6_network(config, item_hash)?))
    }

    fn link(&self, state: &State, item_hash: &ItemHash) -> Option<Link> {
        let guest = state.guests.get(item_hash)?;
        let (ipv4, ipv6) = self.networks(item_hash, guest)?;
        let (end, dns, ipv6) = match &self.0.way {
            Way::None => return None,
            Way::User => {
                let end = End::User(self.0.config.user_address);
                (end, vec![nth4(ipv4, 3).into()], None)
            }
            Way::Tap(..) => {
                let link = LinkV6 {
                    address: nth6(ipv6, 1),
                    network: ipv6,
                    gateway: nth6(ipv6, 0),
                };
                let end = End::Tap(tap_name(guest.vm_id));
                (end, self.0.resolvers.clone(), Some(link))
            }
        };
        Some(Link {
            vm_id: guest.vm_id,
            mac: Mac::of(item_hash),
            ipv4: nth4(ipv4, 2),
            ipv4_network: ipv4,
            ipv4_gateway: nth4(ipv4, 1),
            ipv6,
            dns,
            ports: guest.ports.clone(),
            end,
        })
    }

    fn state(&self) -> State {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// Remembers, then makes the rules follow; as before when they do not.
    async fn commit(&self, next: State) -> Result<(), LanError> {
        let before = self.state();
        self.remember(next.clone()).await?;
        let applied = self.apply(&next).await;
        if applied.is_err() {
            self.remember(before).await?;
        }
        applied
    }

    async fn remember(&self, next: State) -> Result<(), LanError> {
        next.save(self.0.folder.clone()).await?;
        *(self.0.state.write()).unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    async fn apply(&self, state: &State) -> Result<(), LanError> {
        let Inner { config, .. } = &*self.0;
        self.0.way.apply(config, &self.0.resolvers, state).await
    }

    async fn plug(&self, item_hash: &ItemHash, guest: &Guest, plug: Plug) -> Result<(), LanError> {
        let guest = (item_hash, guest);
        self.0.way.plug(&self.0.config, guest, plug).await
    }

    async fn unplug(&self, item_hash: &ItemHash, guest: &Guest) -> Result<(), LanError> {
        let guest = (item_hash, guest);
        self.0.way.unplug(&self.0.config, guest).await
    }
}
