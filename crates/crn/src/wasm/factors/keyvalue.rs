//! `wasi:keyvalue/store`: the owner's aggregates, for reading.
//!
//! The bucket `default` (or an empty name) has one pair for each aggregate of
//! the owner; a bucket with the name of an aggregate has one for each of its
//! members. Values are JSON texts. Every operation asks the core node: what it
//! reads is what the network has processed. Writing would take a message signed
//! by the owner, whose key no node has, so `set` and `delete` are denied.

use serde_json::{Map, Value};
use wasmtime::component::{Linker, Resource};

use super::{Denied, Host, TooMany, View, unreachable, view};
use crate::core_node::CoreFault;
use crate::limits;
use crate::wasm::guest::Guest;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "beth:host/keyvalue",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });
}

use bindings::wasi::keyvalue::store::{self, Error, KeyResponse};

/// What a guest opened.
pub enum Bucket {
    /// All aggregates of the owner.
    All,
    /// The members of one.
    One(String),
}

const INTERFACE: &str = "wasi:keyvalue";

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    store::add_to_linker::<Guest, Host>(linker, view)
}

impl View<'_> {
    /// An aggregate of the owner, or all of them.
    async fn aggregates(&mut self, key: Option<&str>) -> Result<Map<String, Value>, Error> {
        let network = self.factors.network(INTERFACE)?;
        let rights = self.factors.rights.clone();
        let asked = network.core.aggregates(&rights.owner, key);
        Ok(self.factors.query(asked).await??)
    }

    /// The value of a key in a bucket.
    async fn value(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
    ) -> wasmtime::Result<Result<Option<Value>, Error>> {
        let one = match self.table.get(bucket)? {
            Bucket::All => None,
            Bucket::One(name) => Some(name.clone()),
        };
        let found = match &one {
            None => self.aggregates(Some(key)).await,
            Some(name) => self.aggregates(Some(name)).await,
        };
        Ok(found.map(|mut aggregates| match &one {
            None => aggregates.remove(key),
            Some(name) => aggregates
                .get_mut(name)
                .and_then(Value::as_object_mut)
                .and_then(|members| members.remove(key)),
        }))
    }

    fn deny_writing(&self) -> Error {
        self.factors.log.line(
            "wasi:keyvalue refused: aggregates cannot be written by a program; publish an AGGREGATE message with the owner's key",
        );
        Error::AccessDenied
    }
}

impl store::Host for View<'_> {
    async fn open(
        &mut self,
        identifier: String,
    ) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        let bucket = match identifier.as_str() {
            "" | "default" => match self.factors.network(INTERFACE) {
                Ok(_) => Bucket::All,
                Err(denied) => return Ok(Err(denied.into())),
            },
            name => match self.aggregates(Some(name)).await {
                Ok(found) if found.contains_key(name) => Bucket::One(identifier),
                Ok(_) => return Ok(Err(Error::NoSuchStore)),
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(Ok(self.table.push(bucket)?))
    }
}

impl store::HostBucket for View<'_> {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let found = self.value(&bucket, &key).await?;
        Ok(found.map(|value| value.map(|value| value.to_string().into_bytes())))
    }

    async fn set(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
        _value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(self.deny_writing()))
    }

    async fn delete(
        &mut self,
        _bucket: Resource<Bucket>,
        _key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(self.deny_writing()))
    }

    async fn exists(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let found = self.value(&bucket, &key).await?;
        Ok(found.map(|value| value.is_some()))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let one = match self.table.get(&bucket)? {
            Bucket::All => None,
            Bucket::One(name) => Some(name.clone()),
        };
        let found = match self.aggregates(one.as_deref()).await {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let members = match &one {
            None => Some(&found),
            Some(name) => found.get(name).and_then(Value::as_object),
        };
        let mut keys: Vec<String> = members
            .into_iter()
            .flat_map(Map::keys)
            .filter(|key| cursor.as_ref().is_none_or(|cursor| *key > cursor))
            .cloned()
            .collect();
        keys.sort();
        let has_more = keys.len() > limits::WASM_KEYS_MAX;
        keys.truncate(limits::WASM_KEYS_MAX);
        let cursor = keys.last().filter(|_| has_more).cloned();
        Ok(Ok(KeyResponse { keys, cursor }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl From<Denied> for Error {
    fn from(_: Denied) -> Error {
        Error::AccessDenied
    }
}

impl From<TooMany> for Error {
    fn from(fault: TooMany) -> Error {
        Error::Other(fault.to_string())
    }
}

impl From<CoreFault> for Error {
    fn from(fault: CoreFault) -> Error {
        Error::Other(unreachable(&fault))
    }
}
