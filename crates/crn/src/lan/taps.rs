//! Guests on taps: each alone with the host on a routed link.
//!
//! ```text
//! guest ── vmtapN (172.16.N.1/24, <block>::0/124) ── rules ── external interface
//! ```
//!
//! Rules are there before a tap is and go after it. Making a tap that is there
//! keeps it: a guest that runs on it does not notice.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beth_protocol::ItemHash;

use super::address::{Mac, nth4, nth6, tap_name};
use super::config::LanConfig;
use super::error::LanError;
use super::host::{Force, Host, Owner, switch, switched};
use super::rules::{Rules, removal};
use super::state::{Guest, State};

/// Addresses of a guest's IPv6 block that are its own; the first is the host's.
const GUEST_ADDRESSES: std::ops::Range<u32> = 1..16;

/// The taps of this host.
#[derive(Debug)]
pub(super) struct Taps {
    host: Host,
    uplink: String,
    host_ipv4: Option<Ipv4Addr>,
}

/// What to do with a tap that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plug {
    /// Make it again.
    Anew,
    /// Keep it: a guest runs on it.
    Keep,
}

impl Taps {
    /// Looks at the host; changes nothing.
    pub(super) async fn find(host: Host, config: &LanConfig) -> Result<Taps, LanError> {
        let uplink = match &config.external_interface {
            Some(name) => name.clone(),
            None => host.default_interface().await?.ok_or(LanError::NoUplink)?,
        };
        let host_ipv4 = host.ipv4_of(&uplink).await?;
        let others: Vec<String> = (host.taps().await?)
            .into_iter()
            .filter(|(_, owner)| *owner == Owner::OtherNode)
            .map(|(vm_id, _)| tap_name(vm_id))
            .collect();
        match others.is_empty() {
            true => Ok(Taps {
                host,
                uplink,
                host_ipv4,
            }),
            false => Err(LanError::OtherNode(others.join(", "))),
        }
    }

    /// Lets the host route. An uplink that learned its address from router
    /// advertisements goes on doing so.
    pub(super) async fn open(&self, config: &LanConfig) -> Result<(), LanError> {
        switch("ipv4/ip_forward", "1")?;
        let uplink = &self.uplink;
        let advertised = format!("ipv6/conf/{uplink}/accept_ra");
        if switched(&advertised).as_deref() == Some("1") {
            switch(&advertised, "2")?;
        }
        // A kernel without IPv6 has no such switch.
        if switched("ipv6/conf/all/forwarding").is_some() {
            switch("ipv6/conf/all/forwarding", "1")?;
            if self.answers_for_guests(config) {
                switch(&format!("ipv6/conf/{uplink}/proxy_ndp"), "1")?;
            }
        }
        for chain in self.host.closed_chains().await? {
            tracing::warn!(
                chain,
                "packets of guests are dropped by rules that are not of this node; let interfaces vmtap* pass there"
            );
        }
        Ok(())
    }

    /// The address of the host where mapped ports are reached.
    pub(super) fn host_ipv4(&self) -> Option<Ipv4Addr> {
        self.host_ipv4
    }

    /// Numbers whose taps are there: ours, and others'.
    pub(super) async fn taken(&self) -> Result<(BTreeSet<u32>, BTreeSet<u32>), LanError> {
        let (mut ours, mut others) = (BTreeSet::new(), BTreeSet::new());
        for (vm_id, owner) in self.host.taps().await? {
            match owner {
                Owner::Us => ours.insert(vm_id),
                Owner::OtherNode | Owner::Stranger => others.insert(vm_id),
            };
        }
        Ok((ours, others))
    }

    /// Makes the rules of what is remembered the only ones.
    pub(super) async fn apply(
        &self,
        config: &LanConfig,
        resolvers: &[IpAddr],
        state: &State,
    ) -> Result<(), LanError> {
        let rules = Rules {
            config,
            uplink: &self.uplink,
            resolvers,
        };
        self.host.filter(&rules.script(state)).await
    }

    /// Removes all rules.
    pub(super) async fn clear(&self) -> Result<(), LanError> {
        self.host.filter(&removal()).await
    }

    /// The chains that are there.
    pub(super) async fn chains(&self) -> Result<Vec<String>, LanError> {
        self.host.chains().await
    }

    /// Makes the tap of a guest that is remembered as attached.
    pub(super) async fn plug(
        &self,
        config: &LanConfig,
        (item_hash, guest): (&ItemHash, &Guest),
        plug: Plug,
    ) -> Result<(), LanError> {
        let tap = tap_name(guest.vm_id);
        let is_there = self.host.taps().await?.contains_key(&guest.vm_id);
        let mut lines = String::new();
        if is_there && plug == Plug::Anew {
            line(&mut lines, format_args!("link delete dev {tap}"));
        }
        if !is_there || plug == Plug::Anew {
            let owner = guest.owner_uid.map(|uid| format!(" user {uid}"));
            let owner = owner.unwrap_or_default();
            line(
                &mut lines,
                format_args!("tuntap add dev {tap} mode tap{owner}"),
            );
        }
        let mark = self.host.mark();
        line(&mut lines, format_args!("link set dev {tap} alias {mark}"));
        self.host.batch(&lines, Force::No).await?;
        harden(&tap)?;
        let lines = self.addresses(config, (item_hash, guest), &tap)?;
        self.host.batch(&lines, Force::No).await
    }

    /// Removes the tap of a guest and what answers for it.
    pub(super) async fn unplug(
        &self,
        config: &LanConfig,
        (item_hash, guest): (&ItemHash, &Guest),
    ) -> Result<(), LanError> {
        let mut lines = String::new();
        if self.host.taps().await?.contains_key(&guest.vm_id) {
            let tap = tap_name(guest.vm_id);
            line(&mut lines, format_args!("link delete dev {tap}"));
        }
        self.host.batch(&lines, Force::No).await?;
        let own = self.own_addresses(config, (item_hash, guest));
        self.forget_proxied(|address| own.contains(&address)).await
    }

    /// Removes taps of ours that no attached guest has, and answers for
    /// addresses of the pool that none has.
    pub(super) async fn sweep(
        &self,
        config: &LanConfig,
        state: &State,
    ) -> Result<Vec<String>, LanError> {
        let attached = || state.guests.iter().filter(|(_, guest)| guest.attached);
        let used: BTreeSet<u32> = attached().map(|(_, guest)| guest.vm_id).collect();
        let left: Vec<String> = (self.host.taps().await?)
            .into_iter()
            .filter(|(vm_id, owner)| *owner == Owner::Us && !used.contains(vm_id))
            .map(|(vm_id, _)| tap_name(vm_id))
            .collect();
        let mut lines = String::new();
        for tap in &left {
            line(&mut lines, format_args!("link delete dev {tap}"));
        }
        self.host.batch(&lines, Force::Yes).await?;
        let own: BTreeSet<Ipv6Addr> = attached()
            .flat_map(|guest| self.own_addresses(config, guest))
            .collect();
        self.forget_proxied(|address| {
            config.ipv6_pool.contains(address.into()) && !own.contains(&address)
        })
        .await?;
        Ok(left)
    }

    /// The external interface.
    pub(super) fn uplink(&self) -> &str {
        &self.uplink
    }

    /// Chains of others that drop what guests send.
    pub(super) async fn foreign_drops(&self) -> Result<Vec<String>, LanError> {
        self.host.closed_chains().await
    }

    fn answers_for_guests(&self, config: &LanConfig) -> bool {
        config.ndp_proxy && !config.hides_ipv6()
    }

    fn own_addresses(
        &self,
        config: &LanConfig,
        (item_hash, guest): (&ItemHash, &Guest),
    ) -> Vec<Ipv6Addr> {
        match guest.ipv6_network(config, item_hash) {
            Some(block) if self.answers_for_guests(config) => {
                GUEST_ADDRESSES.map(|index| nth6(block, index)).collect()
            }
            _ => Vec::new(),
        }
    }

    async fn forget_proxied(&self, is_left: impl Fn(Ipv6Addr) -> bool) -> Result<(), LanError> {
        let uplink = &self.uplink;
        let mut lines = String::new();
        for address in self.host.proxied(uplink).await? {
            if matches!(address, IpAddr::V6(address) if is_left(address)) {
                line(
                    &mut lines,
                    format_args!("neighbour delete proxy {address} dev {uplink}"),
                );
            }
        }
        self.host.batch(&lines, Force::Yes).await
    }

    fn addresses(
        &self,
        config: &LanConfig,
        (item_hash, guest): (&ItemHash, &Guest),
        tap: &str,
    ) -> Result<String, LanError> {
        let network = guest.ipv4_network(config).ok_or(LanError::Full)?;
        let mac = Mac::of(item_hash);
        let mut lines = String::new();
        let (gateway, bits) = (nth4(network, 1), network.prefix_bits());
        line(
            &mut lines,
            format_args!("address replace {gateway}/{bits} dev {tap}"),
        );
        line(&mut lines, format_args!("link set dev {tap} up"));
        let guest_address = nth4(network, 2);
        line(
            &mut lines,
            format_args!("neighbour replace {guest_address} lladdr {mac} dev {tap} nud permanent"),
        );
        let block = guest.ipv6_network(config, item_hash);
        let Some(block) = block.filter(|_| switched("ipv6/conf/all/forwarding").is_some()) else {
            return Ok(lines);
        };
        let (gateway, bits) = (nth6(block, 0), block.prefix_bits());
        line(
            &mut lines,
            format_args!("address replace {gateway}/{bits} dev {tap} nodad"),
        );
        let guest_address = nth6(block, 1);
        line(
            &mut lines,
            format_args!("neighbour replace {guest_address} lladdr {mac} dev {tap} nud permanent"),
        );
        let uplink = &self.uplink;
        for address in self.own_addresses(config, (item_hash, guest)) {
            line(
                &mut lines,
                format_args!("neighbour replace proxy {address} dev {uplink}"),
            );
        }
        Ok(lines)
    }
}

/// The host believes nothing that a guest says of routes.
fn harden(tap: &str) -> Result<(), LanError> {
    for (name, value) in [
        ("rp_filter", "1"),
        ("accept_redirects", "0"),
        ("send_redirects", "0"),
        ("arp_ignore", "1"),
        ("proxy_arp", "0"),
    ] {
        switch(&format!("ipv4/conf/{tap}/{name}"), value)?;
    }
    for (name, value) in [
        ("accept_ra", "0"),
        ("accept_redirects", "0"),
        ("autoconf", "0"),
    ] {
        let name = format!("ipv6/conf/{tap}/{name}");
        if switched(&name).is_some() {
            switch(&name, value)?;
        }
    }
    Ok(())
}

fn line(lines: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(lines, "{line}");
}
