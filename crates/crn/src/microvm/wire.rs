//! Network cards of machines whose program may reach the internet
//! (compute.md §12.2, §22).
//!
//! ```text
//! turn of the program ─▶ attach (tap, addresses, rules) ─▶ QEMU runs ─▶ ended: forget
//! ```
//!
//! A program has one link, so one machine of it with a card runs at a time. What
//! tells that QEMU has ended is the end of a socket that only QEMU holds, however
//! it came to that; then addresses and number are free for others. What a guest
//! reaches is decided by the rules of the guest network, not here.

use std::os::fd::OwnedFd;

use beth_guest::frame::map;
use beth_protocol::ItemHash;
use rmpv::Value;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::birth::pair;
use super::boot::Output;
use super::{Inner, Plan};
use crate::executor::Fault;
use crate::flight::Turn;
use crate::instance::open_tap;
use crate::lan::{End, Lan, Link, Wishes};
use crate::limits;

/// A card that QEMU can have.
pub(super) struct Wire {
    pub(super) tap: OwnedFd,
    /// The link lasts until this is closed everywhere.
    pub(super) held: OwnedFd,
    /// Addresses, for the guest.
    pub(super) told: Value,
}

impl Inner {
    /// The card of a machine that is about to start; `None` for one without.
    pub(super) async fn wire(&self, plan: &Plan, output: &Output) -> Result<Option<Wire>, Fault> {
        let (Some(card), Some(lan)) = (&plan.card, self.lan.get()) else {
            return Ok(None);
        };
        let program = &plan.setup.item_hash;
        let turn = self.wires.take(program.as_str());
        let turn = tokio::time::timeout(limits::LINK_TURN_DEADLINE, turn).await;
        let turn = turn.map_err(|_| {
            let text = "another machine of the program has its network card; stop it, or try again when it has ended";
            Fault::NotHere(text.to_owned())
        })?;
        let broken = |error: std::io::Error| Fault::NotHere(format!("no network card: {error}"));
        let (ended, held) = pair().map_err(broken)?;
        let (of, lan_of) = (program.clone(), lan.clone());
        output.tasks.spawn(forget_after(ended, lan_of, of, turn));
        let wishes = Wishes {
            kind: card.kind,
            ..Wishes::default()
        };
        let link = lan.attach(program, wishes).await;
        let link = link.map_err(|error| Fault::NotHere(format!("no network card: {error}")))?;
        let Some(link) = link else {
            return Err(Fault::NotHere("the guest network has no cards".to_owned()));
        };
        let End::Tap(name) = &link.end else {
            return Err(Fault::NotHere("the guest network has no taps".to_owned()));
        };
        Ok(Some(Wire {
            tap: open_tap(name).map_err(broken)?,
            held,
            told: told(&link),
        }))
    }
}

/// Takes the link away when nobody holds the other end any more.
async fn forget_after(mut ended: UnixStream, lan: Lan, program: ItemHash, turn: Turn) {
    // Whoever holds it says nothing; what is said all the same changes nothing.
    let mut said = [0; 64];
    while ended.read(&mut said).await.is_ok_and(|length| length > 0) {}
    if let Err(error) = lan.forget(&program).await {
        tracing::warn!(%program, %error, "the link of a program stays");
    }
    drop(turn);
}

/// What the guest is told (compute.md §13.3).
fn told(link: &Link) -> Value {
    let ipv6 = link.ipv6.map_or(Value::Nil, |ipv6| {
        map([
            ("address", ipv6.address.to_string().into()),
            ("prefix", ipv6.network.prefix_bits().into()),
            ("gateway", ipv6.gateway.to_string().into()),
        ])
    });
    let servers = link.dns.iter().map(|server| server.to_string().into());
    map([
        ("address", link.ipv4.to_string().into()),
        ("prefix", link.ipv4_network.prefix_bits().into()),
        ("gateway", link.ipv4_gateway.to_string().into()),
        ("ipv6", ipv6),
        ("dns_servers", Value::Array(servers.collect())),
    ])
}
