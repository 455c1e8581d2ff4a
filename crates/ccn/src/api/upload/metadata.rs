//! Metadata of an upload: the signed STORE message that names the file, and
//! whether its owner may have the file kept (core-api.md §9.3).

use axum::response::{IntoResponse, Response};
use beth_protocol::content::StoreContent;
use beth_protocol::message::MessageContent;
use beth_protocol::{Content, ItemType, Message, MessageType, signature};
use http::StatusCode;
use serde_json::Value;

use super::super::answer::{ApiError, Fault, Json};
use super::super::edge::{Client, Sender};
use super::super::funds::{Upload, suffice};
use super::super::submission::{self, Mode, boolean, hand_in};
use crate::context::Context;
use crate::pipeline::now;

/// A message that came with a file.
pub struct Declared {
    message: Message,
    /// As it came; it is published so.
    raw: Value,
}

/// `{"message": an inline STORE message, "sync": bool}`.
pub fn read(bytes: &[u8]) -> Result<(Declared, Mode), ApiError> {
    let refuse = |faults: Vec<Fault>| {
        let items: Vec<Value> = faults.iter().map(Fault::to_json).collect();
        unprocessable(format!(
            "Could not decode metadata: {}",
            Value::Array(items)
        ))
    };
    let metadata: Value = serde_json::from_slice(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        refuse(vec![Fault::new(
            "json_invalid",
            Vec::new(),
            format!("Invalid JSON: {error}"),
            text.into(),
        )])
    })?;
    let loc = |path: &[&str]| {
        path.iter()
            .map(|&part| Value::from(part))
            .collect::<Vec<_>>()
    };
    let mut faults = Vec::new();
    if metadata.get("message").is_none() {
        faults.push(Fault::missing(loc(&["message"]), metadata.clone()));
    }
    let sync = metadata.get("sync").map(boolean);
    match sync {
        None => faults.push(Fault::missing(loc(&["sync"]), metadata.clone())),
        Some(None) => {
            let text = "Input should be a valid boolean, unable to interpret input";
            faults.push(Fault::new(
                "bool_parsing",
                loc(&["sync"]),
                text,
                metadata["sync"].clone(),
            ));
        }
        Some(Some(_)) => {}
    }
    let raw = &metadata["message"];
    let expected = |path, word: &str, found: &Value| {
        Fault::new(
            "literal_error",
            loc(path),
            format!("Input should be '{word}'"),
            found.clone(),
        )
        .with("expected", word)
    };
    if raw.is_object() {
        if raw["type"] != MessageType::Store.as_str() {
            faults.push(expected(&["message", "type"], "STORE", &raw["type"]));
        }
        if raw["item_content"].is_null() {
            faults.push(Fault::missing(
                loc(&["message", "item_content"]),
                raw.clone(),
            ));
        }
    }
    if !faults.is_empty() {
        return Err(refuse(faults));
    }
    let message = Message::parse(raw).map_err(|rejection| {
        refuse(vec![Fault::value(
            loc(&["message"]),
            &shown(&rejection),
            raw.clone(),
        )])
    })?;
    if message.item_type != ItemType::Inline {
        return Err(refuse(vec![expected(
            &["message", "item_type"],
            "inline",
            &raw["item_type"],
        )]));
    }
    let raw = raw.clone();
    let mode = Mode::of(sync.flatten().unwrap_or(false));
    Ok((Declared { message, raw }, mode))
}

fn shown(rejection: &beth_protocol::Rejection) -> String {
    let texts: Vec<String> = rejection
        .errors
        .iter()
        .map(|error| {
            error
                .as_str()
                .map_or_else(|| error.to_string(), str::to_owned)
        })
        .collect();
    texts.join("; ")
}

pub fn unprocessable(text: impl AsRef<str>) -> ApiError {
    ApiError::reason(StatusCode::UNPROCESSABLE_ENTITY, text)
}

/// A message whose signature and content are right.
#[derive(Clone)]
pub struct Signed {
    /// What was signed.
    pub message: Message,
    raw: Value,
    client: Client,
    content: MessageContent,
}

impl Signed {
    /// Checks the signature (403), then the content (422); then whether its
    /// sender may submit another message (429).
    pub async fn verify(
        context: &Context,
        client: Client,
        declared: Declared,
    ) -> Result<Signed, ApiError> {
        let Declared { message, raw } = declared;
        let work = move || {
            signature::verify(&message).map_err(|_| ApiError::standard(StatusCode::FORBIDDEN))?;
            let invalid =
                |text: String| unprocessable(format!("Invalid store message content: {text}"));
            let content = message
                .inline_content()
                .map_err(|rejection| invalid(shown(&rejection)))?
                .ok_or_else(|| invalid("no inline content".into()))?;
            match content.typed {
                Content::Store(_) => Ok(Signed {
                    message,
                    raw,
                    client,
                    content,
                }),
                _ => Err(invalid("no STORE message".into())),
            }
        };
        let signed = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| ApiError::internal())??;
        Sender::admit(context, client, &signed.raw)?;
        Ok(signed)
    }

    /// What the message stores.
    pub fn store(&self) -> Result<&StoreContent, ApiError> {
        match &self.content.typed {
            Content::Store(store) => Ok(store),
            _ => Err(ApiError::internal()),
        }
    }

    /// Refuses another engine than IPFS.
    pub fn expect_ipfs(&self) -> Result<(), ApiError> {
        match self.store()?.item_type {
            ItemType::Ipfs => Ok(()),
            other => Err(unprocessable(format!(
                "Expected item_type=ipfs in STORE message, got ItemType.{}",
                other.as_str()
            ))),
        }
    }

    /// Refuses a file with another name than the one that was signed.
    pub fn expect_hash(&self, hash: &str) -> Result<(), ApiError> {
        let declared = &self.store()?.item_hash;
        if declared.as_str() == hash {
            return Ok(());
        }
        Err(unprocessable(format!(
            "File hash does not match ({hash} != {declared})"
        )))
    }

    /// Refuses (402) an owner who could not pay for so many bytes.
    pub async fn expect_funds(&self, context: &Context, size_bytes: u64) -> Result<(), ApiError> {
        let (signed, rules) = (self.clone(), context.config.rules.clone());
        let enough = context
            .read(move |state| {
                let upload = Upload {
                    content: &signed.content.typed,
                    item_hash: signed.message.item_hash.as_str(),
                    size_bytes,
                };
                suffice(state, &upload, &rules, now())
                    .map_err(|error| beth_store::Error::Damaged(error.to_string()))
            })
            .await?;
        if enough {
            Ok(())
        } else {
            Err(ApiError::standard(StatusCode::PAYMENT_REQUIRED))
        }
    }

    /// Publishes the message as it came; `answer` with the status of its submission.
    pub async fn publish(
        &self,
        context: &Context,
        mode: Mode,
        answer: Value,
    ) -> Result<Response, ApiError> {
        let sender = Sender::admit(context, self.client, &self.raw)?;
        let submitted = hand_in(context, self.raw.clone(), mode).await?;
        sender.charge(&submitted.outcome);
        let Json(status, _) = submission::answer(&submitted, mode);
        Ok(Json(status, answer).into_response())
    }
}
