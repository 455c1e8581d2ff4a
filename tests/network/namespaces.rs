//! Nodes in network namespaces of their own, joined by a bridge, and what
//! networks do to them: cuts, losses, delays, one-way streets and liars.
//!
//! ```text
//!  hub (namespace): this test's thread, bridge 10.0.0.254
//!    ├─ veth ─ 10.0.0.1 (namespace): beth ccn ── nftables: what is dropped
//!    ├─ veth ─ 10.0.0.2 (namespace): beth ccn
//!    └─ veth ─ 10.0.0.3 (namespace): router, NAT ─ veth ─ 10.1.3.2 (namespace): beth ccn
//! ```
//!
//! Rules never touch what the hub says, so that the test always sees the nodes;
//! what they say among each other suffers. Every scenario ends the same way
//! ([`nodes::agree`]): the digests of all nodes are equal, every message that
//! any node accepted is processed by all, and no node used more memory than it
//! may. Everything is waited for by asking again, with a deadline.
//!
//! Needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN), iproute2 and nftables.
//! Latency is made by [`relay`], since kernels that tests run on may lack netem.

mod absence;
mod delay;
mod hostile;
mod http;
mod lan;
mod loss;
mod nodes;
mod partition;
mod posts;
mod reach;
mod relay;
