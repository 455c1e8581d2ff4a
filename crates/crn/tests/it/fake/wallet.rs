//! Somebody with a wallet, who operates machines.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beth_protocol::Account;
use beth_protocol::signature::delegate::{self, DelegateKey};
use beth_protocol::time::Timestamp;
use serde_json::{Value, json};

pub const DOMAIN: &str = "crn.example.org";
const SECRET: [u8; 32] = [7; 32];

/// A wallet and the key that it vouches for.
pub struct Wallet(pub Account);

impl Wallet {
    /// A wallet that owns nothing.
    pub fn stranger() -> Wallet {
        Wallet(Account::ethereum(&"33".repeat(32)).unwrap())
    }

    /// What the wallet says of its key, and of itself.
    pub fn statement(&self) -> Value {
        let key = DelegateKey::of_secret(&SECRET).unwrap();
        json!({
            "pubkey": {
                "crv": "P-256", "kty": "EC", "x": URL_SAFE_NO_PAD.encode(key.x), "y": URL_SAFE_NO_PAD.encode(key.y),
            },
            "alg": "ECDSA", "domain": DOMAIN, "address": self.0.address(),
            "expires": "2099-12-31T23:59:59.000000Z", "chain": "ETH",
        })
    }

    /// What the key asks for now.
    pub fn operation(method: &str, path: &str) -> Value {
        json!({"time": ago(0.0), "method": method, "path": path, "domain": DOMAIN})
    }

    /// Signed by the wallet.
    pub fn say(&self, statement: &Value) -> Value {
        let payload = statement.to_string();
        let signature = self.0.sign_text(payload.as_bytes());
        json!({"payload": const_hex::encode(&payload), "signature": signature})
    }

    /// Signed by the key.
    pub fn ask(operation: &Value) -> Value {
        let payload = operation.to_string();
        let signature = delegate::sign(payload.as_bytes(), &SECRET).unwrap();
        json!({"payload": const_hex::encode(&payload), "signature": const_hex::encode(signature)})
    }

    /// Both headers of a request.
    pub fn headers(&self, method: &str, path: &str) -> [(&'static str, String); 2] {
        [
            ("X-SignedPubKey", self.say(&self.statement()).to_string()),
            (
                "X-SignedOperation",
                Wallet::ask(&Wallet::operation(method, path)).to_string(),
            ),
        ]
    }

    /// The first frame of a WebSocket.
    pub fn frame(&self, path: &str) -> Value {
        json!({"auth": {
            "X-SignedPubKey": self.say(&self.statement()),
            "X-SignedOperation": Wallet::ask(&Wallet::operation("POST", path)),
        }})
    }
}

/// So many seconds before now.
pub fn ago(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let time = Timestamp::from_micros((now.as_micros() as f64 - seconds * 1e6) as i64);
    time.to_iso("Z")
}
