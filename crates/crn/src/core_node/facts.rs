//! What a core node says about owners and messages: aggregates, balances,
//! prices, statuses (core-api.md §4, §7.3, §8.1).

use beth_protocol::content::payment::PaymentType;
use beth_protocol::decimal::Decimal;
use beth_protocol::{Chain, ItemHash};
use serde_json::{Map, Value};

use super::{CoreFault, CoreNode};

/// What an owner has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Tokens.
    pub tokens: Decimal,
    /// Credits that have not expired.
    pub credits: Decimal,
}

/// What a workload costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Tokens held, or tokens or credits a second.
    pub amount: Decimal,
    /// How it is paid.
    pub payment_type: PaymentType,
}

impl CoreNode {
    /// One key of an owner's aggregates; `None` when there is none.
    pub async fn aggregate(&self, owner: &str, key: &str) -> Result<Option<Value>, CoreFault> {
        let found = self.aggregates(owner, Some(key)).await?.remove(key);
        Ok(found.filter(|value| !value.is_null()))
    }

    /// An owner's aggregates by their keys: the one of `key`, or all of them.
    /// Empty when there is none.
    pub async fn aggregates(
        &self,
        owner: &str,
        key: Option<&str>,
    ) -> Result<Map<String, Value>, CoreFault> {
        let Some(owner) = address(owner) else {
            return Ok(Map::new());
        };
        let keys = key.map_or(String::new(), |key| format!("?keys={}", encoded(key)));
        let path = format!("/api/v0/aggregates/{owner}.json{keys}");
        let Some(mut body) = self.json(&path).await? else {
            return Ok(Map::new());
        };
        match body.get_mut("data").map(Value::take) {
            Some(Value::Object(aggregates)) => Ok(aggregates),
            _ => Err(self.nonsense(&path, "no aggregates")),
        }
    }

    /// The status of a message (`processed`, `forgotten`, …); `None` when the
    /// node does not know it.
    pub async fn status(&self, item_hash: &ItemHash) -> Result<Option<String>, CoreFault> {
        let path = format!("/api/v0/messages/{item_hash}");
        let body = self.json(&path).await?;
        let status = body.as_ref().and_then(|body| body.get("status")?.as_str());
        Ok(status.map(str::to_owned))
    }

    /// What an owner has, on one chain or on all.
    pub async fn balance(&self, owner: &str, chain: Option<Chain>) -> Result<Balance, CoreFault> {
        let nothing = || Balance {
            tokens: Decimal::zero(),
            credits: Decimal::zero(),
        };
        let Some(owner) = address(owner) else {
            return Ok(nothing());
        };
        let chain = chain.map_or(String::new(), |chain| format!("?chain={chain}"));
        let path = format!("/api/v0/addresses/{owner}/balance{chain}");
        let Some(body) = self.json(&path).await? else {
            return Ok(nothing());
        };
        let amount = |name| body.get(name).and_then(Decimal::from_json);
        let tokens = amount("balance").ok_or_else(|| self.nonsense(&path, "no balance"))?;
        let credits = amount("credit_balance").unwrap_or_default();
        Ok(Balance { tokens, credits })
    }

    /// What a workload costs; `None` when the node knows no price.
    pub async fn price(&self, item_hash: &ItemHash) -> Result<Option<Price>, CoreFault> {
        let path = format!("/api/v0/price/{item_hash}");
        let Some(body) = self.json(&path).await? else {
            return Ok(None);
        };
        let amount = ["cost", "required_tokens"]
            .iter()
            .find_map(|name| Decimal::from_json(body.get(*name)?));
        let payment_type = body
            .get("payment_type")
            .map(|value| serde_json::from_value(value.clone()));
        match (amount, payment_type) {
            (Some(amount), Some(Ok(payment_type))) => Ok(Some(Price {
                amount,
                payment_type,
            })),
            _ => Err(self.nonsense(&path, "no cost and payment_type")),
        }
    }

    /// Newest messages first, as list items, of a query such as
    /// `msgTypes=FORGET&addresses=0x…`.
    pub async fn messages(&self, query: &str) -> Result<Vec<Value>, CoreFault> {
        let path = format!("/api/v0/messages.json?{query}");
        let mut body = self.json(&path).await?.unwrap_or_default();
        match body.get_mut("messages").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(self.nonsense(&path, "no list of messages")),
        }
    }

    /// Posts, newest first, as list items, of a query such as `types=…`.
    pub async fn posts(&self, query: &str) -> Result<Vec<Value>, CoreFault> {
        let path = format!("/api/v0/posts.json?{query}");
        let mut body = self.json(&path).await?.unwrap_or_default();
        match body.get_mut("posts").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(self.nonsense(&path, "no list of posts")),
        }
    }

    async fn json(&self, path: &str) -> Result<Option<Value>, CoreFault> {
        let Some(body) = self.query(path).await? else {
            return Ok(None);
        };
        let body = serde_json::from_slice(&body).map_err(|error| self.nonsense(path, error))?;
        Ok(Some(body))
    }
}

/// Addresses are written by strangers and become part of a path.
fn address(text: &str) -> Option<&str> {
    let fits = !text.is_empty() && text.len() <= 128;
    (fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(text)
}

/// A part of a URL, all but letters, digits and `-._` encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => {
                encoded.push(byte as char);
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_in_their_place() {
        assert_eq!(address("0xAbc1"), Some("0xAbc1"));
        for bad in ["", "../x", "a?b", "a/b", "é", "a b", "a%2f"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
