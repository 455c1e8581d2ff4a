//! The layout of a local network: which node listens where, keeps its state
//! where, and is called what. Pure.
//!
//! ```text
//!  port base 4020:   compute 4020  4030  …      DIR/compute-1/
//!                    core    4024  4034  …      DIR/core-1/
//!                    p2p     4025  4035  …      DIR/logs/core-1.log
//! ```

use std::path::{Path, PathBuf};

use anyhow::bail;
use beth_protocol::{ItemHash, limits};

/// Where the ports begin unless told otherwise.
pub const PORT_BASE: u16 = 4020;
/// Distance between two nodes of one kind.
const PORT_STEP: u16 = 10;
/// Most nodes of one kind.
pub const NODES_MAX: usize = 20;

/// The ports of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// HTTP and p2p of each core node.
    pub core: Vec<(u16, u16)>,
    /// HTTP of each compute node.
    pub compute: Vec<u16>,
}

/// One network.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its folder, absolute.
    pub dir: PathBuf,
    /// Core nodes, in order.
    pub core: Vec<Core>,
    /// Compute nodes, in order.
    pub compute: Vec<Compute>,
}

/// What both kinds of nodes have.
#[derive(Clone, Debug)]
pub struct Place {
    /// `core-1`.
    pub name: String,
    /// `core node 1`, for people.
    pub title: String,
    /// The verb that runs it: `ccn` or `crn`.
    pub verb: &'static str,
    /// Port of its HTTP API.
    pub port: u16,
    /// Its state.
    pub folder: PathBuf,
    /// Its config file.
    pub config: PathBuf,
    /// What it says.
    pub log: PathBuf,
}

/// A core node.
#[derive(Clone, Debug)]
pub struct Core {
    /// Where it is.
    pub place: Place,
    /// Port of its gossip.
    pub p2p_port: u16,
    /// Its hash in the registry.
    pub hash: ItemHash,
}

/// A compute node.
#[derive(Clone, Debug)]
pub struct Compute {
    /// Where it is.
    pub place: Place,
    /// Its hash in the registry.
    pub hash: ItemHash,
    /// Index of its core node.
    pub parent: usize,
}

/// Refuses counts that make no network.
pub fn check_counts(core: usize, compute: usize) -> anyhow::Result<()> {
    if core == 0 || core > NODES_MAX || compute > NODES_MAX {
        bail!(
            "a local network has 1 to {NODES_MAX} core nodes and at most {NODES_MAX} compute nodes"
        );
    }
    let per_core = limits::RESOURCE_NODES_PER_CORE_NODE_MAX;
    if compute > core * per_core {
        bail!(
            "at most {per_core} compute nodes count for one core node: {compute} of them need --core-nodes {}",
            compute.div_ceil(per_core)
        );
    }
    Ok(())
}

impl Ports {
    /// Ports from a base; `None` when they do not fit below 65536.
    pub fn from_base(base: u16, core: usize, compute: usize) -> Option<Ports> {
        let port = |index: usize, offset: u16| {
            u16::try_from(index)
                .ok()?
                .checked_mul(PORT_STEP)?
                .checked_add(offset)?
                .checked_add(base)
        };
        Some(Ports {
            core: (0..core)
                .map(|index| Some((port(index, 4)?, port(index, 5)?)))
                .collect::<Option<_>>()?,
            compute: (0..compute)
                .map(|index| port(index, 0))
                .collect::<Option<_>>()?,
        })
    }

    /// Every port with who needs it.
    pub fn each(&self) -> impl Iterator<Item = (u16, String)> + '_ {
        let core = self
            .core
            .iter()
            .enumerate()
            .flat_map(|(index, (http, p2p))| {
                [
                    (*http, format!("core node {}", index + 1)),
                    (*p2p, format!("the gossip of core node {}", index + 1)),
                ]
            });
        let compute = self
            .compute
            .iter()
            .enumerate()
            .map(|(index, port)| (*port, format!("compute node {}", index + 1)));
        core.chain(compute)
    }
}

impl Layout {
    /// A network in a folder. `dir` is absolute.
    pub fn new(dir: &Path, ports: Ports) -> Layout {
        let core = ports
            .core
            .iter()
            .enumerate()
            .map(|(index, (port, p2p_port))| Core {
                place: Place::new(dir, "core", index, *port),
                p2p_port: *p2p_port,
                hash: node_hash("core", index),
            });
        let compute = ports
            .compute
            .iter()
            .enumerate()
            .map(|(index, port)| Compute {
                place: Place::new(dir, "compute", index, *port),
                hash: node_hash("compute", index),
                parent: index / limits::RESOURCE_NODES_PER_CORE_NODE_MAX,
            });
        Layout {
            core: core.collect(),
            compute: compute.collect(),
            dir: dir.to_owned(),
        }
    }

    /// Where the nodes write what they say.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The key that signs allocations.
    pub fn scheduler_key(&self) -> PathBuf {
        self.dir.join("scheduler.key")
    }
}

impl Place {
    fn new(dir: &Path, kind: &str, index: usize, port: u16) -> Place {
        let name = format!("{kind}-{}", index + 1);
        Place {
            title: format!("{kind} node {}", index + 1),
            verb: if kind == "core" { "ccn" } else { "crn" },
            port,
            folder: dir.join(&name),
            config: dir.join(&name).join("beth.toml"),
            log: dir.join("logs").join(format!("{name}.log")),
            name,
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Nobody published these nodes: their hashes are those of their names.
fn node_hash(kind: &str, index: usize) -> ItemHash {
    ItemHash::of_bytes(format!("beth local {kind} node {}", index + 1).as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn default_ports() {
        let ports = Ports::from_base(PORT_BASE, 2, 2).unwrap();
        assert_eq!(
            ports,
            Ports {
                core: vec![(4024, 4025), (4034, 4035)],
                compute: vec![4020, 4030]
            }
        );
        let all: Vec<u16> = ports.each().map(|(port, _)| port).collect();
        assert_eq!(all, [4024, 4025, 4034, 4035, 4020, 4030]);
        assert_eq!(Ports::from_base(65_530, 2, 1), None);
    }

    #[test]
    fn no_two_nodes_share_anything() {
        let layout = Layout::new(
            Path::new("/x"),
            Ports::from_base(PORT_BASE, NODES_MAX, NODES_MAX).unwrap(),
        );
        let mut seen = std::collections::BTreeSet::new();
        for (place, hash) in layout
            .core
            .iter()
            .map(|c| (&c.place, &c.hash))
            .chain(layout.compute.iter().map(|c| (&c.place, &c.hash)))
        {
            for text in [
                place.port.to_string(),
                place.name.clone(),
                hash.to_string(),
                place.log.display().to_string(),
            ] {
                assert!(seen.insert(text.clone()), "{text}");
            }
        }
        assert_eq!(
            layout.core[0].place.config,
            Path::new("/x/core-1/beth.toml")
        );
        assert_eq!(layout.compute[3].parent, 1);
    }

    #[test]
    fn counts() {
        for (core, compute, fits) in [
            (1, 0, true),
            (2, 1, true),
            (2, 6, true),
            (2, 7, false),
            (0, 1, false),
            (21, 1, false),
        ] {
            assert_eq!(
                check_counts(core, compute).is_ok(),
                fits,
                "{core} {compute}"
            );
        }
    }
}
