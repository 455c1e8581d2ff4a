//! Ports that are free, or a sentence about the one that is not.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, bail};

use super::layout::Ports;

/// The ports of a network from `base`, all free at this moment; any free ones
/// when `base` is 0.
pub fn choose(base: u16, core: usize, compute: usize) -> anyhow::Result<Ports> {
    if base == 0 {
        return free(core, compute);
    }
    let Some(ports) = Ports::from_base(base, core, compute) else {
        bail!(
            "the ports of {core} core nodes and {compute} compute nodes from {base} end above 65535; choose a lower --port-base"
        );
    };
    for (port, who) in ports.each() {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            bail!(
                "port {port}, which {who} needs, is {}; stop what uses it, or choose other ports with --port-base \
                   (0 picks free ones)",
                taken(&error)
            );
        }
    }
    Ok(ports)
}

/// True when nobody listens there.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn taken(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "already taken by another program".to_owned(),
        std::io::ErrorKind::PermissionDenied => "reserved for root".to_owned(),
        _ => format!("not usable ({error})"),
    }
}

/// All of them are held until the last one is found, so that none comes twice.
fn free(core: usize, compute: usize) -> anyhow::Result<Ports> {
    let mut held = Vec::new();
    let mut next = || -> anyhow::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        Ok(port)
    };
    let mut ports = Ports::default();
    for _ in 0..core {
        ports.core.push((next()?, next()?));
    }
    for _ in 0..compute {
        ports.compute.push(next()?);
    }
    Ok(ports)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_who_needs_it() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let error = choose(port, 0, 1).unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "port {port}, which compute node 1 needs, is already taken"
            )),
            "{error}"
        );
        assert!(!is_free(port));
    }

    #[test]
    fn free_ports_are_different() {
        let ports = choose(0, 3, 3).unwrap();
        let mut all: Vec<u16> = ports.each().map(|(port, _)| port).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9);
    }
}
