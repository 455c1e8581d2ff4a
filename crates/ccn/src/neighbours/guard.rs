//! Where this node goes on somebody else's word: anywhere on the Internet, and
//! into a private network or to its own computer only when other nodes reach it
//! there too.
//!
//! ```text
//!  address that a peer said ─▶ Guard::admits ─▶ kept, probed
//!  name in it ─▶ looked up ─▶ Guard again, at every connection
//!  redirection ─▶ Guard again
//! ```
//!
//! Hosts that the operator wrote into the configuration are never refused.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use beth_protocol::alive::{Host, Place, Reach};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};

use super::base;
use crate::config::CcnConfig;
use crate::limits::REDIRECTIONS_MAX;

/// What is admitted; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    trusted: Arc<HashSet<String>>,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    loopback: AtomicBool,
    private: AtomicBool,
}

/// Why no connection is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It leads where other nodes have no business.
    #[error(
        "{0} leads into a private network that this node is not part of; if that is wanted, add the node to `content_peers`"
    )]
    Inside(String),
    /// It was passed on too often.
    #[error("{0} redirects too often")]
    Redirections(String),
}

impl Guard {
    /// Trusts the hosts of a configuration.
    pub fn of(config: &CcnConfig) -> Guard {
        let asked = [
            config.reference_node_url.as_ref(),
            config.p2p.public_url.as_ref(),
        ];
        let asked = asked.into_iter().flatten();
        let urls = config.content_peers.iter().chain(asked);
        let urls = urls.chain([&config.p2p.public_address_url]);
        Guard {
            trusted: Arc::new(urls.filter_map(|url| host_of(url)).collect()),
            open: Arc::default(),
        }
    }

    /// Other nodes reach this one at such an address.
    pub fn open(&self, reach: Reach) {
        match reach {
            Reach::Loopback => self.open.loopback.store(true, Ordering::Relaxed),
            Reach::Private => self.open.private.store(true, Ordering::Relaxed),
            Reach::Global | Reach::Nowhere => {}
        }
    }

    /// True when this node may go to an address.
    pub fn admits_ip(&self, ip: IpAddr) -> bool {
        match Reach::of(ip) {
            Reach::Global => true,
            Reach::Private => self.open.private.load(Ordering::Relaxed),
            Reach::Loopback => self.open.loopback.load(Ordering::Relaxed),
            Reach::Nowhere => false,
        }
    }

    /// True when an address is admitted; a name is judged when it is looked up.
    pub fn admits(&self, place: &Place) -> bool {
        match &place.host {
            Host::Ip(ip) => self.admits_ip(*ip),
            Host::Name(_) => true,
        }
    }

    /// The redirections that a client follows.
    pub fn policy(&self) -> Policy {
        let guard = self.clone();
        Policy::custom(move |attempt: Attempt<'_>| {
            let url = attempt.url();
            let host = url.host_str().unwrap_or_default().to_owned();
            let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
            let is_inside = ip.is_some_and(|ip| !guard.admits_ip(ip));
            if attempt.previous().len() > REDIRECTIONS_MAX {
                attempt.error(Refused::Redirections(host))
            } else if is_inside && !guard.trusted.contains(&host) {
                attempt.error(Refused::Inside(host))
            } else {
                attempt.follow()
            }
        })
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        let name = name.as_str().to_ascii_lowercase();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let is_trusted = guard.trusted.contains(&name);
            let found: Vec<SocketAddr> = found
                .filter(|address| is_trusted || guard.admits_ip(address.ip()))
                .collect();
            if found.is_empty() {
                return Err(Refused::Inside(name).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The host of a URL that an operator wrote, whatever follows it.
fn host_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(base(url)).ok()?;
    Some(url.host_str()?.to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn guard(content_peers: &[&str]) -> Guard {
        let mut config = CcnConfig::in_folder("x");
        config.content_peers = content_peers.iter().map(|&url| url.to_owned()).collect();
        Guard::of(&config)
    }

    async fn looks_up(guard: &Guard, name: &str) -> bool {
        guard.resolve(name.parse().unwrap()).await.is_ok()
    }

    #[test]
    fn what_is_inside_is_refused_until_this_node_is_there_too() {
        let guard = guard(&[]);
        let admits = |ip: &str| guard.admits_ip(ip.parse().unwrap());
        assert!(admits("51.159.57.71"));
        for ip in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"] {
            assert!(!admits(ip), "{ip}");
        }
        guard.clone().open(Reach::Private);
        assert!(admits("10.0.0.1"));
        assert!(!admits("127.0.0.1"));
        guard.open(Reach::Loopback);
        assert!(admits("127.0.0.1"));
        assert!(!admits("169.254.169.254"), "never");
    }

    #[tokio::test]
    async fn names_are_judged_by_what_they_stand_for() {
        assert!(!looks_up(&guard(&[]), "localhost").await);
        assert!(looks_up(&guard(&["http://localhost:4024/"]), "localhost").await);
        let inside = guard(&[]);
        inside.open(Reach::Loopback);
        assert!(looks_up(&inside, "localhost").await);
    }
}
