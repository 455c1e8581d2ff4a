//! How the guests of a node reach the network, chosen once.

use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use beth_protocol::ItemHash;

use super::config::{LanConfig, Mode};
use super::error::LanError;
use super::host::Host;
use super::state::{Guest, State};
use super::taps::{Plug, Taps};

/// Held by the process that has the network of this host (or namespace).
const LOCK: &[u8] = b"beth-lan";

/// How guests reach the network.
#[derive(Debug)]
pub(super) enum Way {
    /// On taps; the socket is the lock.
    Tap(
        Taps,
        #[expect(dead_code, reason = "held, never used")] UnixDatagram,
    ),
    User,
    None,
}

impl Way {
    /// The way of a configuration on this host.
    pub(super) async fn of(config: &LanConfig, folder: &Path) -> Result<Way, LanError> {
        match config.mode {
            Mode::None => return Ok(Way::None),
            Mode::User => return Ok(Way::User),
            Mode::Auto | Mode::Tap => {}
        }
        let host = match (Host::find(folder), config.mode) {
            (Ok(host), _) => host,
            (Err(reason), Mode::Auto) => {
                tracing::info!(reason, "guests get no taps but QEMU's own network");
                return Ok(Way::User);
            }
            (Err(reason), _) => return Err(LanError::Unable(reason)),
        };
        let lock = SocketAddr::from_abstract_name(LOCK)
            .and_then(|address| UnixDatagram::bind_addr(&address))
            .map_err(|_| LanError::Busy)?;
        Ok(Way::Tap(Taps::find(host, config).await?, lock))
    }

    /// Makes the rules of what is remembered the only ones.
    pub(super) async fn apply(
        &self,
        config: &LanConfig,
        resolvers: &[IpAddr],
        state: &State,
    ) -> Result<(), LanError> {
        match self {
            Way::Tap(taps, _) => taps.apply(config, resolvers, state).await,
            Way::User | Way::None => Ok(()),
        }
    }

    /// Makes the link of a guest.
    pub(super) async fn plug(
        &self,
        config: &LanConfig,
        guest: (&ItemHash, &Guest),
        plug: Plug,
    ) -> Result<(), LanError> {
        match self {
            Way::Tap(taps, _) => taps.plug(config, guest, plug).await,
            Way::User | Way::None => Ok(()),
        }
    }

    /// Removes the link of a guest.
    pub(super) async fn unplug(
        &self,
        config: &LanConfig,
        guest: (&ItemHash, &Guest),
    ) -> Result<(), LanError> {
        match self {
            Way::Tap(taps, _) => taps.unplug(config, guest).await,
            Way::User | Way::None => Ok(()),
        }
    }
}

/// What a configuration would do on this host, as a sentence; in the second
/// place what is missing for taps. Changes nothing.
pub async fn report(config: &LanConfig) -> Result<String, String> {
    let host = Host::find(Path::new(""))?;
    let taps = Taps::find(host, config).await;
    let taps = taps.map_err(|error| error.to_string())?;
    match taps
        .foreign_drops()
        .await
        .map_err(|error| error.to_string())?
    {
        none if none.is_empty() => Ok(format!("guests can have taps behind {}", taps.uplink())),
        chains => Err(format!(
            "packets of guests are dropped by {}; let interfaces vmtap* pass there",
            chains.join(", ")
        )),
    }
}
