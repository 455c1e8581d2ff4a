//! Which other core nodes there are, and where: alive messages (network.md
//! §3.2, §4).
//!
//! ```text
//!   ourselves ◀─ discovery            gossip
//!       │                               │ heard
//!       ▼ 2 s, then every 2 min         ▼
//!   publication ─▶ gossip           reception ◀─ allow_list ◀─ registry (aggregate)
//!                                       ▼
//!                                 table of peers (survives restarts)
//!                                       ▼ every minute, and at news
//!                                    meeting ─┬─▶ P2P: calls
//!                                             └─▶ HTTP: probe ─▶ Neighbours ─▶ fetch, catch_up
//! ```
//!
//! Nothing here trusts anybody: a node on the list may lie, and then gets its
//! own place wrong and nobody else's; an address is gone to only if it leads to
//! where nodes are ([`Guard`]).
//!
//! Deliberately absent: IPFS pubsub, where released nodes ignore what they hear.

mod allow_list;
mod discovery;
mod meeting;
mod ourselves;
mod probe;
mod publication;
mod reception;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use beth_network::{Network, Received};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::error::Error;
use crate::neighbours::Guard;
use allow_list::AllowList;
use discovery::Discovery;
use meeting::Meeting;
use ourselves::Ourselves;
use probe::Probe;
use reception::{News, Reception, Waiting, words};

/// What alive messages need of a node.
pub(crate) struct Alive {
    pub(crate) network: Arc<Network>,
    /// Where the API listens.
    pub(crate) http: SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) guard: Guard,
}

/// One of the tasks, not started yet.
pub(crate) type Work = BoxFuture<'static, ()>;

impl Alive {
    /// Everything that has to run, each until cancelled.
    pub(crate) fn tasks(
        self,
        context: &Context,
        heard: mpsc::Receiver<Received>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Work>, Error> {
        let config = &context.config;
        let p2p = config.p2p.clone();
        let topic = p2p.alive_topic.clone();
        let ourselves = Ourselves::new(
            config,
            (self.network.clone(), self.http),
            Discovery::new(config, self.client.clone()),
            self.guard.clone(),
        )?;
        let shown = context.network.clone();
        let publication = publication::run(ourselves, self.network.clone(), shown, topic);
        let news = News::default();
        let reception = Reception {
            list: AllowList::new(config, context.readers.clone()),
            own_id: self.network.peer_id().to_owned(),
            guard: self.guard.clone(),
            pipeline: context.pipeline.clone(),
            news: news.clone(),
            words: words(),
            waiting: Waiting::default(),
            kept: HashMap::new(),
        };
        let meeting = Meeting {
            network: self.network,
            readers: context.readers.clone(),
            neighbours: context.neighbours.clone(),
            guard: self.guard,
            probe: Probe {
                client: self.client,
            },
            period: Duration::from_secs(p2p.reconnect_delay_seconds.max(1)),
            age_max: Duration::from_secs(p2p.max_peer_age_seconds),
        };
        Ok(vec![
            until(cancel, publication),
            until(cancel, reception.run(heard)),
            until(cancel, meeting.clone().call(news.p2p)),
            until(cancel, meeting.probe(news.http)),
        ])
    }
}

fn until(cancel: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) -> Work {
    let cancel = cancel.child_token();
    async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = work => {}
        }
    }
    .boxed()
}
