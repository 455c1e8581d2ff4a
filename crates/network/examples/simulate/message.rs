//! What is said in the network.

use beth_network::message_id;
use beth_protocol::reconcile::{Element, Summary};

use super::clock::Time;
use super::wire;

/// The place of a message in the list of all.
pub type MessageIx = u32;

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its name in gossip.
    pub id: String,
    /// Its place in time.
    pub element: Element,
    /// Of its element alone.
    pub summary: Summary,
    /// Which node says it,
    pub author: usize,
    /// and when.
    pub born: Time,
    /// Bytes of its payload,
    pub bytes: usize,
    /// and of the frame that carries it.
    pub frame_bytes: usize,
}

/// When virtual time begins, in microseconds.
const EPOCH: i64 = 1_700_000_000_000_000;

impl Message {
    /// The message of a number, so many bytes of it.
    pub fn compose(number: MessageIx, author: usize, born: Time, bytes: usize) -> Message {
        let head = format!(r#"{{"number":{number},"item_content":""#);
        let mut payload = head.into_bytes();
        payload.resize(bytes.max(payload.len() + 2) - 2, b'x');
        payload.extend_from_slice(b"\"}");
        let id = message_id(&payload);
        let element = Element {
            time: EPOCH + (born / 1_000) as i64,
            prefix: id.parse::<u64>().unwrap_or_default() as i64,
        };
        Message {
            id,
            element,
            summary: Summary::of(element),
            author,
            born,
            bytes: payload.len(),
            frame_bytes: wire::publication(payload.len()),
        }
    }
}

/// The first element whose time is later than so long before now.
pub fn youngest(now: Time, settle: Time) -> Element {
    let settled = now.saturating_sub(settle);
    Element::at(EPOCH + (settled / 1_000) as i64 + 1)
}
