//! A workload and who it belongs to, for those who look things up.

use beth_protocol::content::PaymentType;
use beth_protocol::cost::payment_type;
use beth_protocol::placement::Workload;
use beth_protocol::{Content, ItemHash, MessageType};
use serde_json::Value;

/// Something to place, as the core node lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// What placement needs to know.
    pub workload: Workload,
    /// `content.address`.
    pub owner: String,
    /// Who signed it.
    pub sender: String,
    /// How it is paid.
    pub payment: PaymentType,
}

impl Work {
    /// Reads a message in a list or a stream; `None` when it is nothing that
    /// we place.
    pub fn of(message: &Value) -> Option<Work> {
        let item_hash = ItemHash::parse(message.get("item_hash")?.as_str()?).ok()?;
        let message_type = MessageType::parse(message.get("type")?.as_str()?)?;
        match Content::parse(message_type, message.get("content")?) {
            Ok(content) => Some(Work {
                workload: Workload::of(&item_hash, &content)?,
                owner: content.address().to_owned(),
                sender: message.get("sender")?.as_str()?.to_owned(),
                payment: payment_type(&content),
            }),
            Err(errors) => {
                tracing::warn!(%item_hash, ?errors, "the core node sent a content that we cannot read");
                None
            }
        }
    }
}
