//! Files (core-api.md §9).
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    ContentBuilder, KnownFormat, RefOr, Response, ResponseBuilder, SchemaFormat,
};
use utoipa::{IntoResponses, ToSchema};

use super::accounts::FileKind;
use super::words::ItemHash;

/// The largest uploads, in bytes.
#[derive(ToSchema)]
pub struct UploadLimits {
    storage: StorageLimits,
    ipfs: IpfsLimits,
}

#[derive(ToSchema)]
pub struct StorageLimits {
    max_file_size: u64,
    max_unauthenticated_upload_file_size: u64,
}

#[derive(ToSchema)]
pub struct IpfsLimits {
    max_upload_file_size: u64,
    max_upload_car_size: u64,
    max_unauthenticated_upload_file_size: u64,
}

/// A file in base64.
#[derive(ToSchema)]
pub struct EncodedFile {
    #[schema(pattern = "^success$")]
    status: String,
    hash: ItemHash,
    engine: Engine,
    /// Lines of 76 characters.
    #[schema(content_encoding = "base64")]
    content: String,
}

/// Whose hashes name the file.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Engine {
    Storage,
    Ipfs,
}

/// A file that a message names.
#[derive(ToSchema)]
pub struct ReferredFile {
    r#ref: String,
    owner: String,
    file_hash: ItemHash,
    /// Relative to this node.
    download_url: String,
    size: u64,
}

/// What is known of a file.
#[derive(ToSchema)]
pub struct FileMetadata {
    file_hash: ItemHash,
    r#type: FileKind,
    size: u64,
    /// Relative to this node.
    download_url: String,
}

/// What an upload is from now on called.
#[derive(ToSchema)]
pub struct Added {
    #[schema(pattern = "^success$")]
    status: String,
    hash: ItemHash,
}

/// What an upload is from now on called in IPFS.
#[derive(ToSchema)]
pub struct AddedToIpfs {
    #[schema(pattern = "^success$")]
    status: String,
    hash: ItemHash,
    /// Of the part of the form.
    name: String,
    size: u64,
}

/// What a directory is from now on called.
#[derive(ToSchema)]
pub struct AddedDirectory {
    #[schema(pattern = "^success$")]
    status: String,
    /// The root.
    hash: ItemHash,
    /// Bytes of all blocks.
    size: u64,
}

/// A file, perhaps with the STORE message that names it.
#[derive(ToSchema)]
pub struct UploadForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// `{"message": a signed STORE message, "sync": boolean}` as JSON.
    #[schema(required = false, content_media_type = "application/json")]
    metadata: String,
}

/// An archive, with the STORE message that names its root.
#[derive(ToSchema)]
pub struct ArchiveForm {
    /// CAR version 1, with one root.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// `{"message": a signed STORE message, "sync": boolean}` as JSON.
    #[schema(content_media_type = "application/json")]
    metadata: String,
}

/// The bytes of a file or directory, as a client asked for them.
pub struct Contents;

impl IntoResponses for Contents {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let bytes = "application/octet-stream";
        let whole = "The file; or the directory, as a tape archive.";
        [
            ("200", of_bytes(whole, &[bytes, "application/x-tar"])),
            (
                "206",
                of_bytes(
                    "The ranges that were asked for.",
                    &[bytes, "multipart/byteranges"],
                ),
            ),
            ("304", of_bytes("The client has it already.", &[])),
            ("416", of_bytes("The file has no such range.", &[])),
        ]
        .map(|(status, response)| (status.to_owned(), response.into()))
        .into()
    }
}

pub(super) fn of_bytes(description: &str, kinds: &[&str]) -> Response {
    let content = |_| {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let schema = schema.format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        ContentBuilder::new().schema(Some(schema)).build()
    };
    let response = ResponseBuilder::new().description(description);
    let response = kinds.iter().fold(response, |response, kind| {
        response.content(*kind, content(kind))
    });
    response.build()
}

/// Any bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Bytes(Vec<u8>);
