//! Files: store and download (core-api.md §9).

use beth_protocol::hash::Naming;
use beth_protocol::{Account, ItemHash, Message, MessageType, Status};
use bytes::Bytes;
use reqwest::Response;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Client;
use super::messages::malformed_message;
use crate::content::{self, StoreDraft};
use crate::error::Error;
use crate::limits;

/// A file that a node took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Name of the bytes.
    pub file_hash: ItemHash,
    /// The STORE message: what programs refer to.
    pub item_hash: ItemHash,
    /// `pending`, `processed` or `rejected`.
    pub status: Status,
    /// Length, in bytes.
    pub size_bytes: u64,
}

impl Client {
    /// Uploads a file together with the STORE message that keeps it, signed by
    /// the account, and waits for the verdict (core-api.md §9.3).
    ///
    /// # Errors
    /// [`Error::PaymentRequired`], [`Error::TooLarge`], [`Error::Rejected`]
    /// with the reason; otherwise connection errors.
    pub async fn store_file(
        &self,
        account: &Account,
        file: Bytes,
        draft: &StoreDraft,
    ) -> Result<StoredFile, Error> {
        let file_hash = ItemHash::of_bytes(&file);
        let size_bytes = file.len() as u64;
        let content = content::store(account.address(), &file_hash, draft);
        let message = account.sign_message(
            MessageType::Store,
            &content,
            draft.channel.as_deref(),
            crate::now(),
        );
        let form = upload_form(&message, file);
        let request = self
            .node
            .post(&["api", "v0", "storage", "add_file"])
            .multipart(form);
        let answer = self.node.ask(request, limits::UPLOAD_TIMEOUT).await?;
        let status = match answer.status.as_u16() {
            200 => Status::Processed,
            202 => Status::Pending,
            402 => {
                return Err(Error::PaymentRequired {
                    address: account.address().to_owned(),
                    size_bytes,
                });
            }
            413 => return Err(Error::TooLarge { size_bytes }),
            422 if serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(
                &answer.body,
            )
            .is_ok() =>
            {
                return Err(self.reason_of(&message).await);
            }
            422 => return Err(malformed_message(&message, &answer.body)),
            _ => return Err(self.node.refused(&answer)),
        };
        Ok(StoredFile {
            file_hash,
            item_hash: message.item_hash,
            status,
            size_bytes,
        })
    }

    /// Streams a file into `sink` and compares it with its name; returns its
    /// length in bytes (core-api.md §9.7). After an error the sink holds
    /// rubbish.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongFile`], [`Error::TooLong`] beyond
    /// `bytes_max`, [`Error::Unverifiable`] for CIDs with a hash function that is
    /// unknown here, [`Error::Local`] when the sink fails; otherwise connection
    /// errors.
    pub async fn download<W>(
        &self,
        hash: &ItemHash,
        bytes_max: u64,
        sink: &mut W,
    ) -> Result<u64, Error>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        let Some(naming) = Naming::of(hash) else {
            return Err(Error::Unverifiable { hash: hash.clone() });
        };
        let request = self
            .node
            .get(&["api", "v0", "storage", "raw", hash.as_str()]);
        let response = self.node.open(request, limits::REQUEST_TIMEOUT).await?;
        match response.status().as_u16() {
            200 => {}
            404 => {
                return Err(Error::NotFound {
                    what: format!("file {hash}"),
                    url: self.base_url().to_owned(),
                });
            }
            status => {
                let reason = response
                    .status()
                    .canonical_reason()
                    .unwrap_or("no reason given")
                    .to_owned();
                return Err(Error::Refused {
                    role: self.node.role(),
                    status,
                    body: reason,
                });
            }
        }
        let (length, actual) = self.copy(response, bytes_max, naming, sink).await?;
        if actual != *hash {
            return Err(Error::WrongFile {
                url: self.base_url().to_owned(),
                expected: hash.clone(),
                actual,
            });
        }
        Ok(length)
    }

    /// Copies a body; returns its length and name.
    async fn copy<W>(
        &self,
        mut response: Response,
        bytes_max: u64,
        mut naming: Naming,
        sink: &mut W,
    ) -> Result<(u64, ItemHash), Error>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut length = 0_u64;
        loop {
            let next = tokio::time::timeout(limits::DOWNLOAD_IDLE_TIMEOUT, response.chunk()).await;
            let chunk = next
                .map_err(|_| self.node.timed_out(limits::DOWNLOAD_IDLE_TIMEOUT))?
                .map_err(|error| self.node.fault(error, limits::DOWNLOAD_IDLE_TIMEOUT))?;
            let Some(chunk) = chunk else { break };
            length += chunk.len() as u64;
            if length > bytes_max {
                return Err(Error::TooLong {
                    url: response.url().to_string(),
                    bytes_max,
                });
            }
            naming.update(&chunk);
            sink.write_all(&chunk).await?;
        }
        sink.flush().await?;
        Ok((length, naming.finish()))
    }

    async fn reason_of(&self, message: &Message) -> Error {
        match self.message(&message.item_hash).await {
            Ok(Some(record)) => record.rejected(),
            _ => Error::Rejected {
                item_hash: message.item_hash.clone(),
                code: None,
                details: serde_json::Value::Null,
            },
        }
    }
}

/// The metadata goes first, so that a node can refuse before the bytes come.
fn upload_form(message: &Message, file: Bytes) -> Form {
    let metadata = json!({"message": message, "sync": true}).to_string();
    let length = file.len() as u64;
    let metadata = Part::text(metadata);
    let metadata = metadata
        .mime_str("application/json")
        .unwrap_or_else(|_| Part::text(String::new()));
    Form::new().part("metadata", metadata).part(
        "file",
        Part::stream_with_length(file, length).file_name("file"),
    )
}
