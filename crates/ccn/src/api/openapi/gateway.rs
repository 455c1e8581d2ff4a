//! What the gateway of IPFS answers.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use super::storage::of_bytes;

/// A content, in one of its forms.
pub struct Served;

impl IntoResponses for Served {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let kinds = [
            "*/*",
            "application/vnd.ipld.raw",
            "application/vnd.ipld.car",
        ];
        [
            (
                "200",
                of_bytes(
                    "The file, the list of a directory, the block, or the archive.",
                    &kinds,
                ),
            ),
            (
                "206",
                of_bytes(
                    "The ranges of a file that were asked for.",
                    &["*/*", "multipart/byteranges"],
                ),
            ),
            (
                "301",
                of_bytes("A directory: its path ends in a slash.", &[]),
            ),
            ("304", of_bytes("The client has it already.", &[])),
            (
                "400",
                of_bytes(
                    "The path holds no CID, or the format is unknown.",
                    &["text/plain"],
                ),
            ),
            (
                "404",
                of_bytes("The node does not have it.", &["text/plain"]),
            ),
            (
                "412",
                of_bytes(
                    "The node does not have it, and only what it has was asked for.",
                    &["text/plain"],
                ),
            ),
            ("416", of_bytes("The file has no such range.", &[])),
            (
                "413",
                of_bytes("It is more than the gateway fetches.", &["text/plain"]),
            ),
            (
                "502",
                of_bytes("Peers have it, and it makes no sense.", &["text/plain"]),
            ),
            (
                "503",
                of_bytes(
                    "The gateway fetches other contents just now.",
                    &["text/plain"],
                ),
            ),
            (
                "504",
                of_bytes("No neighbour sent it in time.", &["text/plain"]),
            ),
        ]
        .map(|(status, response)| (status.to_owned(), response.into()))
        .into()
    }
}
