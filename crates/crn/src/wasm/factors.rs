//! What a component may ask of its host beyond plain WASI, a small module each.
//!
//! | factor | interface | granted by the message | bounds |
//! |---|---|---|---|
//! | [`config`] | `wasi:config/store@0.2.0-rc.1` | always: its `variables` | – |
//! | [`logging`] | `wasi:logging/logging@0.1.0-draft` | always | the program's log |
//! | [`keyvalue`] | `wasi:keyvalue/store@0.2.0-draft2` | `environment.aleph_api` | reading; queries |
//! | [`blobstore`] | `wasi:blobstore/*@0.2.0-draft` | `environment.aleph_api` | reading; queries, bytes |
//! | [`outgoing`] | `wasi:http/outgoing-handler@0.2` | `environment.internet` | requests; public addresses |
//!
//! Clocks, random numbers, standard output and environment variables come with
//! WASI 0.2 itself. Everything is linked into every component; whether it does
//! anything is decided when it is called, from the [`Rights`] of the message.
//! What is denied gives the guest the error its interface has for that, and its
//! author a line in the log. Nothing is written to the network: a program has
//! no key of its own to sign with.

pub(super) mod blobstore;
mod config;
mod keyvalue;
mod logging;
pub(super) mod outgoing;

use std::sync::Arc;

use beth_protocol::content::ProgramContent;
use tokio::sync::Semaphore;
use wasmtime::component::{HasData, Linker, ResourceTable};

use super::guest::Guest;
use super::log::Log;
use super::memory::Budget;
use crate::core_node::{CoreFault, CoreNode};
use crate::download::Files;
use crate::limits;

/// What the message of a program lets it do.
#[derive(Debug)]
pub(super) struct Rights {
    /// Whose aggregates it reads.
    owner: String,
    /// It may ask the network for data.
    aleph_api: bool,
    /// It may send requests to public addresses.
    internet: bool,
    /// Name and value, in the order of the message.
    pub(super) variables: Vec<(String, String)>,
}

impl Rights {
    /// What a message grants. Variables that are no text are given as JSON.
    pub(super) fn of(content: &ProgramContent) -> Rights {
        let variables = content.variables.iter().flatten().map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), text)
        });
        Rights {
            owner: content.address.clone(),
            aleph_api: content.environment.aleph_api,
            internet: content.environment.internet,
            variables: variables.collect(),
        }
    }
}

/// What all programs share.
#[derive(Debug)]
pub(super) struct Services {
    /// The core node and a folder for files; `None` where there is none.
    network: Option<Network>,
    /// Queries to the core node at the same time.
    queries: Semaphore,
    /// Memory of all calls.
    pub(super) memory: Arc<Budget>,
    pub(super) outgoing: outgoing::Outgoing,
}

/// Where data of the network comes from.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) core: CoreNode,
    pub(super) files: Files,
}

impl Services {
    pub(super) fn new(
        network: Option<Network>,
        outgoing: outgoing::Outgoing,
        memory: Budget,
    ) -> Services {
        Services {
            memory: Arc::new(memory),
            network,
            queries: Semaphore::new(limits::WASM_QUERIES_MAX),
            outgoing,
        }
    }
}

/// What one call has of the host.
pub(super) struct Factors {
    pub(super) services: Arc<Services>,
    pub(super) rights: Arc<Rights>,
    pub(super) log: Log,
    queries: u32,
}

impl Factors {
    pub(super) fn new(services: Arc<Services>, rights: Arc<Rights>, log: Log) -> Factors {
        Factors {
            services,
            rights,
            log,
            queries: 0,
        }
    }

    /// The network, if the message grants it.
    fn network(&self, interface: &str) -> Result<Network, Denied> {
        if !self.rights.aleph_api {
            let why = format!("{interface} refused: set environment.aleph_api in the message");
            self.log.line(&why);
            return Err(Denied(why));
        }
        self.services.network.clone().ok_or_else(|| {
            let why = format!("{interface} refused: this node has no core node");
            self.log.line(&why);
            Denied(why)
        })
    }

    /// Counts a query of this call and waits for its turn on the node.
    async fn query<T>(&mut self, work: impl Future<Output = T>) -> Result<T, TooMany> {
        if self.queries >= limits::WASM_CALL_QUERIES_MAX {
            self.log.line(&TooMany.to_string());
            return Err(TooMany);
        }
        self.queries += 1;
        // It is never closed.
        let _turn = self.services.queries.acquire().await.map_err(|_| TooMany)?;
        Ok(work.await)
    }
}

/// The message does not grant it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Denied(String);

/// A call asked the network too often.
#[derive(Debug, thiserror::Error)]
#[error(
    "the call asked the network more than {} times; read less in one call",
    limits::WASM_CALL_QUERIES_MAX
)]
struct TooMany;

/// What to tell a guest about a core node that fails: not where it is.
fn unreachable(fault: &CoreFault) -> String {
    match fault {
        CoreFault::Unreachable { reason, .. } => {
            format!("the network does not answer ({reason}); try again")
        }
        CoreFault::Nonsense { .. } => "the network answered something unexpected".into(),
    }
}

/// The host as the interfaces see it during a call.
pub(super) struct View<'a> {
    table: &'a mut ResourceTable,
    factors: &'a mut Factors,
}

/// Names [`View`] for the linker.
struct Host;

impl HasData for Host {
    type Data<'a> = View<'a>;
}

fn view(guest: &mut Guest) -> View<'_> {
    let (table, factors) = guest.parts();
    View { table, factors }
}

/// Defines every factor for every component.
pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    config::define(linker)?;
    logging::define(linker)?;
    keyvalue::define(linker)?;
    blobstore::define(linker)
}
