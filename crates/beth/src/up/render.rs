//! The config files of a local network.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::Context;
use beth_ccn::CcnConfig;
use beth_crn::config::{AdmissionConfig, CrnConfig};
use beth_crn::instance::InstancesConfig;
use beth_network::Identity;
use beth_protocol::judge::Rules;
use beth_protocol::{Account, ItemHash};
use beth_sdk::development;
use sha2::{Digest, Sha256};

use super::folder::write_whole;
use super::layout::{Compute, Core, Layout};
use crate::config::{Config, LogConfig};

/// The runtime that every client names by default: a STORE message whose file
/// only the public network has.
pub const DEFAULT_RUNTIME: &str =
    "63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696";

/// The Debian 12 that every client offers for instances.
pub const DEFAULT_IMAGE: &str = "b6ff5c3a8205d1ca4c7c3369300eeafff498b558f71b851aa2114afd0a532717";

/// STORE messages of the public network, and the files of ours that stand for
/// theirs: those that have been built here.
pub type StandIns = BTreeMap<String, PathBuf>;

/// Our own Python runtime and Debian image, if they have been built.
pub fn stand_ins() -> StandIns {
    let folder = beth_crn::microvm::default_guest_folder();
    [
        (DEFAULT_RUNTIME, "python.squashfs"),
        (DEFAULT_IMAGE, "debian-12.qcow2"),
    ]
    .into_iter()
    .map(|(name, file)| (name.to_owned(), folder.join(file)))
    .filter(|(_, path)| path.is_file())
    .collect()
}

/// Writes folders, keys and config files; the peer ids of the core nodes.
pub fn write(layout: &Layout, stand_ins: &StandIns) -> anyhow::Result<Vec<String>> {
    let folders = layout
        .core
        .iter()
        .map(|core| &core.place)
        .chain(layout.compute.iter().map(|compute| &compute.place));
    for place in folders {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place.folder)
            .with_context(|| format!("cannot make {}", place.folder.display()))?;
    }
    write_whole(&layout.scheduler_key(), scheduler_key().as_bytes())?;
    let peer_ids = layout
        .core
        .iter()
        .map(|core| Ok(Identity::load_or_create(&identity_path(core))?.peer_id()))
        .collect::<anyhow::Result<Vec<String>>>()?;
    for index in 0..layout.core.len() {
        let config = core_config(layout, index, &peer_ids, stand_ins)?;
        write_whole(
            &layout.core[index].place.config,
            config.to_toml()?.as_bytes(),
        )?;
    }
    for compute in &layout.compute {
        let config = compute_config(layout, compute, stand_ins)?;
        write_whole(&compute.place.config, config.to_toml()?.as_bytes())?;
    }
    Ok(peer_ids)
}

/// Where a core node's gossip is reached.
pub fn multiaddress(core: &Core, peer_id: &str) -> String {
    format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer_id}", core.p2p_port)
}

/// Private key of local placement: as public as the development accounts.
fn scheduler_key() -> String {
    const_hex::encode(Sha256::digest(b"beth development scheduler"))
}

/// What compute nodes promise: disks are files of what was written to them, and
/// somebody who develops asks for 20 GiB to write one.
const DISK_MIB: u64 = 1 << 20;

fn identity_path(core: &Core) -> PathBuf {
    core.place.folder.join("node-secret.pkcs8.der")
}

fn foundation() -> anyhow::Result<String> {
    let account = development::foundation().context("the development foundation has no key")?;
    Ok(account.address().to_owned())
}

fn core_config(
    layout: &Layout,
    index: usize,
    peer_ids: &[String],
    stand_ins: &StandIns,
) -> anyhow::Result<Config> {
    let core = &layout.core[index];
    let foundation = foundation()?;
    let others = || {
        layout
            .core
            .iter()
            .zip(peer_ids)
            .filter(|(other, _)| other.hash != core.hash)
    };
    let mut ccn = CcnConfig::in_folder(&core.place.folder);
    ccn.listen = ([127, 0, 0, 1], core.place.port).into();
    ccn.content_peers = others().map(|(other, _)| other.place.url()).collect();
    ccn.p2p.listen = format!("/ip4/127.0.0.1/tcp/{}", core.p2p_port);
    ccn.p2p.identity = Some(identity_path(core));
    ccn.p2p.bootstrap = others()
        .map(|(other, peer_id)| multiaddress(other, peer_id))
        .collect();
    ccn.rules = Rules {
        balances_addresses: vec![foundation.clone()],
        credits_addresses: vec![foundation.clone()],
        corechannel_address: foundation.clone(),
        ..Rules::default()
    };
    ccn.well_known_files = stand_ins.clone().into_iter().collect();
    let scheduler = (index == 0).then(|| beth_scheduler::Config {
        core_node: None,
        corechannel_address: foundation,
        key_file: layout.scheduler_key(),
        poll_seconds: 30,
    });
    Ok(Config {
        log: LogConfig::default(),
        ccn: Some(ccn),
        scheduler,
        crn: None,
    })
}

fn compute_config(
    layout: &Layout,
    compute: &Compute,
    stand_ins: &StandIns,
) -> anyhow::Result<Config> {
    let scheduler = Account::ethereum(&scheduler_key())?;
    let well_known_files = stand_ins
        .iter()
        .map(|(name, path)| Ok((ItemHash::parse(name)?, path.clone())))
        .collect::<anyhow::Result<_>>()?;
    let crn = CrnConfig {
        listen: ([127, 0, 0, 1], compute.place.port).into(),
        core_node: layout.core[compute.parent].place.url(),
        folder: compute.place.folder.clone(),
        node_hash: Some(compute.hash.to_string()),
        owner: Some(foundation()?),
        allocation_signers: vec![scheduler.address().to_owned()],
        allocation_token_hash: String::new(),
        well_known_files,
        domain_name: "127.0.0.1".into(),
        admission: AdmissionConfig {
            disk_mib: Some(DISK_MIB),
            ..AdmissionConfig::default()
        },
        instances: InstancesConfig {
            forward_address: [127, 0, 0, 1].into(),
            outlive_node: false,
            ..InstancesConfig::default()
        },
        ..CrnConfig::default()
    };
    Ok(Config {
        log: LogConfig::default(),
        ccn: None,
        scheduler: None,
        crn: Some(crn),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::up::layout::Ports;

    fn read(path: &Path) -> Config {
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn config_files_say_what_the_layout_says() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), Ports::from_base(4020, 2, 1).unwrap());
        let image = dir.path().join("python.squashfs");
        let stand_ins = [(DEFAULT_RUNTIME.to_owned(), image.clone())].into();
        let peer_ids = write(&layout, &stand_ins).unwrap();
        let (first, second) = (
            read(&layout.core[0].place.config),
            read(&layout.core[1].place.config),
        );
        let ccn = first.ccn.unwrap();
        assert_eq!(
            (ccn.listen.port(), ccn.p2p.listen.as_str()),
            (4024, "/ip4/127.0.0.1/tcp/4025")
        );
        assert_eq!(
            ccn.p2p.bootstrap,
            [format!("/ip4/127.0.0.1/tcp/4035/p2p/{}", peer_ids[1])]
        );
        assert_eq!(ccn.content_peers, ["http://127.0.0.1:4034"]);
        assert_eq!(ccn.well_known_files[DEFAULT_RUNTIME], image);
        assert_eq!(
            ccn.rules.corechannel_address,
            development::foundation().unwrap().address()
        );
        assert!(first.scheduler.is_some() && second.scheduler.is_none());
        let crn = read(&layout.compute[0].place.config).crn.unwrap();
        assert_eq!(
            (crn.core_node.as_str(), crn.node_hash.as_deref()),
            (
                "http://127.0.0.1:4024",
                Some(layout.compute[0].hash.as_str())
            )
        );
        assert_eq!(crn.allocation_signers.len(), 1);
        // A second start keeps the identities.
        assert_eq!(write(&layout, &StandIns::new()).unwrap(), peer_ids);
        assert!(
            read(&layout.core[0].place.config)
                .ccn
                .unwrap()
                .well_known_files
                .is_empty()
        );
    }
}
