//! How two nodes get a connection.
//!
//! ```text
//!              ┌ names ┬ TCP, no delay ─ Noise ─ Yamux, else Mplex   (network.md §2.1)
//!   connection ┤       └ QUIC                                        (Beth and others)
//!              └ relay ─ Noise ─ Yamux                               (until a hole is punched)
//! ```
//!
//! Upstream knows the first line alone, and prefers Yamux as we do.

use libp2p::{
    PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, OrTransport},
        upgrade::{SelectUpgrade, Version},
    },
    dns, noise, quic, relay, tcp, yamux,
};

use crate::{
    error::Error,
    identity::Identity,
    limits::{
        DIAL, MPLEX_FRAMES, QUIC_IDLE, QUIC_KEEP_ALIVE, STREAMS_PER_CONNECTION, YAMUX_STREAMS,
    },
};

/// A transport whose connections are proved and carry streams.
pub(crate) type Secured = Boxed<(PeerId, StreamMuxerBox)>;

/// All ways to connect, the relayed one included.
pub(crate) fn transport(
    identity: &Identity,
    relayed: relay::client::Transport,
) -> Result<Secured, Error> {
    let noise =
        noise::Config::new(identity.keypair()).map_err(|error| Error::Setup(error.to_string()))?;
    let relayed = relayed
        .upgrade(Version::V1)
        .authenticate(noise.clone())
        .multiplex(yamux())
        .timeout(DIAL)
        .boxed();
    Ok(either(relayed, resolving(|| direct(identity, &noise))))
}

fn direct(identity: &Identity, noise: &noise::Config) -> Secured {
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise.clone())
        .multiplex(SelectUpgrade::new(yamux(), mplex()))
        .timeout(DIAL)
        .boxed();
    let quic = quic::tokio::Transport::new(quic(identity))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed();
    either(quic, tcp)
}

fn either(first: Secured, second: Secured) -> Secured {
    OrTransport::new(first, second)
        .map(|connection, _| connection.into_inner())
        .boxed()
}

fn resolving(direct: impl Fn() -> Secured) -> Secured {
    let named = dns::tokio::Transport::system(direct()).unwrap_or_else(|error| {
        tracing::warn!(%error, "no system resolver: peers can be reached by IP address only");
        let (config, options) = (dns::ResolverConfig::default(), dns::ResolverOpts::default());
        dns::tokio::Transport::custom(direct(), config, options)
    });
    named.boxed()
}

fn yamux() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(YAMUX_STREAMS);
    config
}

fn mplex() -> libp2p_mplex::Config {
    let mut config = libp2p_mplex::Config::new();
    config
        .set_max_num_streams(STREAMS_PER_CONNECTION)
        .set_max_buffer_size(MPLEX_FRAMES)
        .set_max_buffer_behaviour(libp2p_mplex::MaxBufferBehaviour::Block);
    config
}

fn quic(identity: &Identity) -> quic::Config {
    let mut config = quic::Config::new(identity.keypair());
    config.handshake_timeout = DIAL;
    config.max_idle_timeout = u32::try_from(QUIC_IDLE.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = QUIC_KEEP_ALIVE;
    config
}
