//! Messages of one author each, signed beforehand.

use std::sync::atomic::{AtomicU64, Ordering};

use beth_protocol::time::Timestamp;
use beth_protocol::{Account, Message, MessageType};
use serde_json::json;

const FIRST_SECOND: i64 = 1_790_000_000;

/// So many posts by an author that nobody else has.
pub fn posts(count: usize) -> Vec<Message> {
    static AUTHORS: AtomicU64 = AtomicU64::new(1);
    let author = AUTHORS.fetch_add(1, Ordering::Relaxed);
    let account = Account::ethereum(&format!("{:064x}", 0x5eed_0000 + author)).unwrap();
    (0..count)
        .map(|number| {
            let time = Timestamp::from_seconds(FIRST_SECOND + number as i64);
            let content = json!({
                "address": account.address(), "time": time, "type": "note",
                "content": {"author": author, "number": number, "text": "x".repeat(200)},
            });
            account.sign_message(MessageType::Post, &content, Some("TEST"), time)
        })
        .collect()
}
