//! The messages that are sent, signed beforehand, and when each was due.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use serde_json::json;

const SENDERS: usize = 100;
const FIRST_SECOND: i64 = 1_793_500_000;

/// What filters ask about a message.
pub struct Said {
    pub sender: String,
    pub channel: String,
    pub content_type: String,
    pub tag: String,
    pub reference: String,
    /// The body of the request.
    pub body: Vec<u8>,
}

/// All of them.
pub struct Messages {
    said: Vec<Said>,
    numbers: HashMap<u64, usize>,
    pub senders: Vec<String>,
    begun: OnceLock<Instant>,
    rate: u32,
}

impl Messages {
    /// Signs as many as the rate takes.
    pub fn sign(rate: u32, seconds: u32) -> Messages {
        let count = (rate * seconds) as usize;
        let account = |number: usize| Account::ethereum(&format!("{:064x}", number + 1)).unwrap();
        let accounts: Vec<Account> = (0..SENDERS).map(account).collect();
        let mut numbers = HashMap::new();
        let said = (0..count).map(|number| {
            let account = &accounts[number % SENDERS];
            let time = Timestamp::from_seconds(FIRST_SECOND + number as i64);
            let [channel, content_type, tag, reference] =
                [("C", 50), ("t", 40), ("g", 30), ("r", 200)]
                    .map(|(letter, kinds)| format!("{letter}{}", number * 7 / 3 % kinds));
            let content = json!({
                "address": account.address(), "time": time, "type": content_type, "ref": reference,
                "content": {"number": number, "tags": [tag], "text": "x".repeat(300)},
            });
            let message = account.sign_message(MessageType::Post, &content, Some(&channel), time);
            numbers.insert(key(message.item_hash.as_str()), number);
            Said {
                sender: account.address().to_owned(),
                channel,
                content_type,
                tag,
                reference,
                body: json!({"message": message}).to_string().into_bytes(),
            }
        });
        Messages {
            said: said.collect(),
            numbers,
            senders: accounts.iter().map(|a| a.address().to_owned()).collect(),
            begun: OnceLock::new(),
            rate,
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Said> {
        self.said.iter()
    }

    /// Notes when the first is due.
    pub fn begin(&self, at: Instant) {
        self.begun.set(at).unwrap();
    }

    /// When the first is due.
    pub fn begun(&self) -> Instant {
        *self.begun.get().unwrap()
    }

    /// The pause between two.
    pub fn pause(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }

    /// The number of the message in a frame.
    pub fn number_in(&self, frame: &str) -> Option<usize> {
        let marker = "\"item_hash\":\"";
        let at = frame.find(marker)? + marker.len();
        self.numbers.get(&key(frame.get(at..)?)).copied()
    }
}

/// The first digits of a hash.
fn key(hash: &str) -> u64 {
    u64::from_str_radix(&hash[..16], 16).unwrap()
}
