//! Answers to pings.
//!
//! ```text
//!   peer ──stream──▶ 32 bytes ─▶ the same 32 bytes ─▶ the next …
//! ```
//!
//! Beside the library's ping, which measures round trips: that one stops to
//! answer as soon as the other side turns out not to answer pings itself, and
//! goes on to accept them. Peers that only ask, as many of libp2p in JavaScript
//! do every ten seconds, then take the connection for dead. So this stands
//! before it in [`crate::behaviour`], where the first who knows a protocol gets
//! its streams.
//!
//! Bounded: a few streams a connection, 32 bytes each; a peer that does not
//! read waits for itself.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::{Endpoint, transport::PortUse, upgrade::DeniedUpgrade, upgrade::ReadyUpgrade};
use libp2p::swarm::handler::{ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, Stream, SubstreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol, ping};

use crate::limits::PINGS_OF_CONNECTION;

const PING_BYTES: usize = 32;

/// Answers on every connection.
pub(crate) struct Pong;

/// Answers on one.
#[derive(Default)]
pub(crate) struct Answers(FuturesUnordered<BoxFuture<'static, io::Error>>);

impl NetworkBehaviour for Pong {
    type ConnectionHandler = Answers;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Answers::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Answers::default())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

impl ConnectionHandler for Answers {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(ping::PROTOCOL_NAME), ())
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        while let Poll::Ready(Some(ended)) = self.0.poll_next_unpin(context) {
            tracing::trace!(%ended, "a peer ended its pings");
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        if let ConnectionEvent::FullyNegotiatedInbound(opened) = event
            && self.0.len() < PINGS_OF_CONNECTION
        {
            let mut stream = opened.protocol;
            stream.ignore_for_keep_alive();
            self.0.push(Box::pin(answer(stream)));
        }
    }
}

/// Answers until the stream ends.
async fn answer(mut stream: Stream) -> io::Error {
    let mut payload = [0; PING_BYTES];
    loop {
        let answered = async {
            stream.read_exact(&mut payload).await?;
            stream.write_all(&payload).await?;
            stream.flush().await
        };
        if let Err(error) = answered.await {
            return error;
        }
    }
}
