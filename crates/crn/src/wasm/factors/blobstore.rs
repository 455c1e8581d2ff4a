//! `wasi:blobstore`: files of the network, for reading.
//!
//! There is one container, `files`; its objects are named by the hash of their
//! bytes, as in a STORE message's `item_hash`. A file is fetched whole, verified
//! and kept among the node's files for a while, so that the next call finds it.
//! Files are neither listed nor written: they are stored by STORE messages.

use std::path::PathBuf;

use beth_protocol::ItemHash;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::pipe::AsyncReadStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::{Host, View, unreachable, view};
use crate::download::FileFault;
use crate::executor::LocalFile;
use crate::limits;
use crate::wasm::guest::Guest;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "beth:host/blobstore",
        imports: { default: async | trappable },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:blobstore/container.container": super::Files,
            "wasi:blobstore/container.stream-object-names": super::Never,
            "wasi:blobstore/types.incoming-value": super::Part,
            "wasi:blobstore/types.outgoing-value": super::Never,
        },
    });
}

use bindings::wasi::blobstore::container::{self, ContainerMetadata, ObjectMetadata};
use bindings::wasi::blobstore::{blobstore, types};

/// The one container.
pub struct Files;

/// A part of a file.
pub struct Part {
    path: PathBuf,
    start: u64,
    length_bytes: u64,
}

/// A resource that no guest ever gets.
pub enum Never {}

/// What an operation says, in an interface whose errors are texts.
type Said<T> = wasmtime::Result<Result<T, String>>;

const INTERFACE: &str = "wasi:blobstore";
const CONTAINER: &str = "files";

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<Guest, Host>(linker, view)?;
    container::add_to_linker::<Guest, Host>(linker, view)?;
    blobstore::add_to_linker::<Guest, Host>(linker, view)
}

impl View<'_> {
    async fn file(&mut self, name: &str) -> Result<LocalFile, String> {
        let network = self
            .factors
            .network(INTERFACE)
            .map_err(|denied| denied.to_string())?;
        let hash = ItemHash::parse(name).map_err(|_| format!("{name:?} is no hash of a file"))?;
        let fetched = network.files.fetch(&hash, limits::WASM_BLOB_BYTES_MAX);
        let fetched = self
            .factors
            .query(fetched)
            .await
            .map_err(|many| many.to_string())?;
        fetched.map_err(|fault| match fault {
            FileFault::Core(fault) => unreachable(&fault),
            FileFault::Missing { hash, .. } => format!("the network has no file {hash}"),
            FileFault::Disk { .. } => "the node cannot keep the file; try again".into(),
            other => other.to_string(),
        })
    }

    fn refuse_writing<T>(&self) -> Said<T> {
        let why = "wasi:blobstore refused: a program cannot store files; publish a STORE message with the owner's key";
        self.factors.log.line(why);
        Ok(Err(why.into()))
    }

    async fn open(&mut self, part: Resource<Part>) -> Result<(tokio::fs::File, u64), String> {
        let part = self.table.delete(part).map_err(|error| error.to_string())?;
        let opened = async {
            let mut file = tokio::fs::File::open(&part.path).await?;
            file.seek(std::io::SeekFrom::Start(part.start)).await?;
            Ok::<_, std::io::Error>(file)
        };
        let file = opened
            .await
            .map_err(|_| "the file is not here any more; read it again".to_owned())?;
        Ok((file, part.length_bytes))
    }
}

impl blobstore::Host for View<'_> {
    async fn create_container(&mut self, _name: String) -> Said<Resource<Files>> {
        self.refuse_writing()
    }

    async fn get_container(&mut self, name: String) -> Said<Resource<Files>> {
        if let Err(denied) = self.factors.network(INTERFACE) {
            return Ok(Err(denied.to_string()));
        }
        if name != CONTAINER {
            return Ok(Err(format!(
                "there is no container {name:?}; the only one is {CONTAINER:?}"
            )));
        }
        Ok(Ok(self.table.push(Files)?))
    }

    async fn delete_container(&mut self, _name: String) -> Said<()> {
        self.refuse_writing()
    }

    async fn container_exists(&mut self, name: String) -> Said<bool> {
        Ok(Ok(name == CONTAINER))
    }

    async fn copy_object(&mut self, _: types::ObjectId, _: types::ObjectId) -> Said<()> {
        self.refuse_writing()
    }

    async fn move_object(&mut self, _: types::ObjectId, _: types::ObjectId) -> Said<()> {
        self.refuse_writing()
    }
}

impl container::Host for View<'_> {}

impl container::HostContainer for View<'_> {
    async fn name(&mut self, _: Resource<Files>) -> Said<String> {
        Ok(Ok(CONTAINER.into()))
    }

    async fn info(&mut self, _: Resource<Files>) -> Said<ContainerMetadata> {
        Ok(Ok(ContainerMetadata {
            name: CONTAINER.into(),
            created_at: 0,
        }))
    }

    /// Both offsets are inclusive; an end behind the file means its end.
    async fn get_data(
        &mut self,
        _: Resource<Files>,
        name: String,
        start: u64,
        end: u64,
    ) -> Said<Resource<Part>> {
        let file = match self.file(&name).await {
            Ok(file) => file,
            Err(why) => return Ok(Err(why)),
        };
        let behind = end.saturating_add(1).min(file.size_bytes);
        let part = Part {
            path: file.path,
            start,
            length_bytes: behind.saturating_sub(start),
        };
        Ok(Ok(self.table.push(part)?))
    }

    async fn write_data(&mut self, _: Resource<Files>, _: String, _: Resource<Never>) -> Said<()> {
        self.refuse_writing()
    }

    async fn list_objects(&mut self, _: Resource<Files>) -> Said<Resource<Never>> {
        Ok(Err(
            "the files of the network cannot be listed; name one by its hash".into(),
        ))
    }

    async fn delete_object(&mut self, _: Resource<Files>, _: String) -> Said<()> {
        self.refuse_writing()
    }

    async fn delete_objects(&mut self, _: Resource<Files>, _: Vec<String>) -> Said<()> {
        self.refuse_writing()
    }

    async fn has_object(&mut self, _: Resource<Files>, name: String) -> Said<bool> {
        let Ok(hash) = ItemHash::parse(&name) else {
            return Ok(Ok(false));
        };
        let network = match self.factors.network(INTERFACE) {
            Ok(network) => network,
            Err(denied) => return Ok(Err(denied.to_string())),
        };
        let asked = self.factors.query(network.core.file(&hash)).await;
        Ok(match asked {
            Err(many) => Err(many.to_string()),
            Ok(Err(fault)) => Err(unreachable(&fault)),
            Ok(Ok(found)) => Ok(found.is_some()),
        })
    }

    async fn object_info(&mut self, _: Resource<Files>, name: String) -> Said<ObjectMetadata> {
        let file = match self.file(&name).await {
            Ok(file) => file,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Ok(ObjectMetadata {
            name,
            container: CONTAINER.into(),
            created_at: 0,
            size: file.size_bytes,
        }))
    }

    async fn clear(&mut self, _: Resource<Files>) -> Said<()> {
        self.refuse_writing()
    }

    async fn drop(&mut self, files: Resource<Files>) -> wasmtime::Result<()> {
        self.table.delete(files)?;
        Ok(())
    }
}

impl container::HostStreamObjectNames for View<'_> {
    async fn read_stream_object_names(
        &mut self,
        names: Resource<Never>,
        _: u64,
    ) -> Said<(Vec<String>, bool)> {
        match *self.table.get(&names)? {}
    }

    async fn skip_stream_object_names(
        &mut self,
        names: Resource<Never>,
        _: u64,
    ) -> Said<(u64, bool)> {
        match *self.table.get(&names)? {}
    }

    async fn drop(&mut self, names: Resource<Never>) -> wasmtime::Result<()> {
        match self.table.delete(names)? {}
    }
}

impl types::Host for View<'_> {}

impl types::HostIncomingValue for View<'_> {
    async fn incoming_value_consume_sync(&mut self, part: Resource<Part>) -> Said<Vec<u8>> {
        if self.table.get(&part)?.length_bytes > limits::WASM_BLOB_AT_ONCE_BYTES_MAX {
            self.table.delete(part)?;
            return Ok(Err(format!(
                "more than {} bytes at once; read the file as a stream, or in parts",
                limits::WASM_BLOB_AT_ONCE_BYTES_MAX
            )));
        }
        let (file, length_bytes) = match self.open(part).await {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(why)),
        };
        let mut bytes = Vec::new();
        let read = file.take(length_bytes).read_to_end(&mut bytes).await;
        Ok(read.map(|_| bytes).map_err(|error| error.to_string()))
    }

    async fn incoming_value_consume_async(
        &mut self,
        part: Resource<Part>,
    ) -> Said<Resource<DynInputStream>> {
        let (file, length_bytes) = match self.open(part).await {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(why)),
        };
        let stream: DynInputStream = Box::new(AsyncReadStream::new(file.take(length_bytes)));
        Ok(Ok(self.table.push(stream)?))
    }

    async fn size(&mut self, part: Resource<Part>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&part)?.length_bytes)
    }

    async fn drop(&mut self, part: Resource<Part>) -> wasmtime::Result<()> {
        self.table.delete(part)?;
        Ok(())
    }
}

impl types::HostOutgoingValue for View<'_> {
    async fn new_outgoing_value(&mut self) -> wasmtime::Result<Resource<Never>> {
        // The interface has no error here, and no value can be made.
        Err(wasmtime::Error::msg(
            "wasi:blobstore refused: a program cannot store files",
        ))
    }

    async fn outgoing_value_write_body(
        &mut self,
        value: Resource<Never>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        match *self.table.get(&value)? {}
    }

    async fn finish(&mut self, value: Resource<Never>) -> Said<()> {
        match self.table.delete(value)? {}
    }

    async fn drop(&mut self, value: Resource<Never>) -> wasmtime::Result<()> {
        match self.table.delete(value)? {}
    }
}
