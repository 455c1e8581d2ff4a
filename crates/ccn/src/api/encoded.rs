//! A file as base64 in JSON (core-api.md §9.6): what other core nodes and one
//! client fetch. Made while it is sent, with its length known before.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beth_protocol::hash::{HashKind, classify_loosely};
use beth_store::Error;
use beth_store::blobs::Pieces;
use http::{StatusCode, header};
use serde_json::json;
use utoipa_axum::routes;

use super::answer::{ApiError, ok};
use super::openapi::{Routes, params as described, refusals, storage as schemas};
use super::raw::body_of;
use super::storage::{blocking, known};
use crate::context::Context;

/// Bytes in a line of 76 characters.
const LINE_BYTES: usize = 57;
/// Bytes that one piece of the answer stands for.
const PIECE_BYTES: usize = LINE_BYTES * 1_024;
/// End of a line, as JSON writes it.
const LINE_END: &str = "\\n";

/// The route of base64.
pub fn routes() -> Routes {
    Routes::new().with(routes!(encoded))
}

/// A file as base64 in JSON: what other core nodes fetch.
#[utoipa::path(get, path = "/api/v0/storage/{file_hash}", operation_id = "showFile", tag = "storage",
    params(described::FilePath),
    responses((status = 200, description = "The file.", body = schemas::EncodedFile),
        refusals::BadHash, refusals::NotFound, refusals::TooLarge))]
async fn encoded(
    State(context): State<Arc<Context>>,
    Path(hash): Path<String>,
) -> Result<Response, ApiError> {
    let kind = classify_loosely(&hash)
        .ok_or_else(|| ApiError::text(StatusCode::BAD_REQUEST, "Invalid hash provided"))?;
    let not_found = |text: String| ApiError::text(StatusCode::NOT_FOUND, text);
    let file = known(&context, &hash)
        .await?
        .ok_or_else(|| not_found("Not found".into()))?;
    let bytes_max = context.config.storage.max_file_size;
    if file.size_bytes > bytes_max {
        return Err(ApiError::too_large(bytes_max));
    }
    let (blobs, name) = (context.blobs.clone(), hash.clone());
    let content = blocking(move || blobs.content(&name)).await?;
    let content = content
        .filter(|content| !content.extent().is_directory())
        .ok_or_else(|| not_found(format!("No file found for hash {hash}")))?;
    let engine = match kind {
        HashKind::Ipfs => "ipfs",
        HashKind::Storage => "storage",
    };
    let head = json!({"status": "success", "hash": hash, "engine": engine}).to_string();
    let head = format!("{},\"content\":\"", head.trim_end_matches('}'));
    let size = content.extent().size_bytes;
    let length = head.len() as u64 + encoded_bytes(size) + 2;
    let pieces = Lines::new(content.pieces(0, size));
    let once = |text: &str| std::iter::once(Ok(text.as_bytes().to_vec()));
    let body: Pieces = Box::new(once(&head).chain(pieces).chain(once("\"}")));
    let mut response = ok(()).into_response();
    *response.body_mut() = body_of(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

/// Bytes of the lines for a file of this size.
fn encoded_bytes(size: u64) -> u64 {
    let lines = size.div_ceil(LINE_BYTES as u64);
    size.div_ceil(3) * 4 + lines * LINE_END.len() as u64
}

/// Lines of base64 of some bytes, however these are cut.
struct Lines {
    bytes: Option<Pieces>,
    waiting: Vec<u8>,
}

impl Lines {
    fn new(bytes: Pieces) -> Lines {
        Lines {
            bytes: Some(bytes),
            waiting: Vec::new(),
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut text = String::with_capacity(count / 3 * 4 + count / LINE_BYTES * 2 + 8);
        for line in self
            .waiting
            .get(..count)
            .unwrap_or_default()
            .chunks(LINE_BYTES)
        {
            STANDARD.encode_string(line, &mut text);
            text.push_str(LINE_END);
        }
        self.waiting.drain(..count.min(self.waiting.len()));
        text.into_bytes()
    }
}

impl Iterator for Lines {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.waiting.len() < PIECE_BYTES {
            let Some(bytes) = &mut self.bytes else {
                break;
            };
            match bytes.next() {
                Some(Ok(piece)) => self.waiting.extend(piece),
                Some(Err(error)) => return Some(Err(error)),
                None => self.bytes = None,
            }
        }
        let whole = self.waiting.len() / LINE_BYTES * LINE_BYTES;
        let count = match self.bytes {
            Some(_) => whole,
            None => self.waiting.len(),
        };
        (count > 0).then(|| Ok(self.take(count)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], cut: usize) -> String {
        let pieces: Vec<_> = bytes.chunks(cut).map(|piece| Ok(piece.to_vec())).collect();
        let lines: Result<Vec<_>, _> = Lines::new(Box::new(pieces.into_iter())).collect();
        let text = String::from_utf8(lines.unwrap().concat()).unwrap();
        assert_eq!(text.len() as u64, encoded_bytes(bytes.len() as u64));
        text
    }

    #[test]
    fn base64_as_mail_has_it() {
        let text = lines(b"Hello Aleph fixtures\n", 5);
        assert_eq!(text, "SGVsbG8gQWxlcGggZml4dHVyZXMK\\n");
        assert_eq!(lines(&[0; 58], 7).find('\\'), Some(76));
        for size in [0, 1, 56, 57, 114, 200_000] {
            let bytes: Vec<u8> = (0..size).map(|n: u32| n as u8).collect();
            let whole = lines(&bytes, 1_000_000);
            assert_eq!(lines(&bytes, 1_001), whole);
            let joined = whole.replace("\\n", "");
            assert_eq!(STANDARD.decode(joined).unwrap(), bytes);
        }
    }
}
