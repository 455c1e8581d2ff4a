//! Recorded scenarios of the network, through the real pipeline. Every step is
//! compared whole: what became of a message, its code and details, and every
//! state asked for in between. What differs on purpose is in [`differences`],
//! with what this node answers instead.

mod differences;
mod omitted;
mod state;

use std::sync::Arc;

use beth_ccn::{CcnConfig, Context, node};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use beth_store::rows::Outcome;
use serde_json::{Value, json};

use differences::Difference;

/// A node, and who moves balances and credits on it.
pub struct Scenario {
    pub context: Arc<Context>,
    /// `accounts` of the recording.
    pub accounts: Value,
    treasurer: Account,
    height: i64,
    _folder: tempfile::TempDir,
}

impl Scenario {
    fn new(accounts: Value) -> Scenario {
        let folder = tempfile::tempdir().unwrap();
        let treasurer = Account::ethereum(&"d1".repeat(32)).unwrap();
        let mut config = CcnConfig::in_folder(folder.path());
        config
            .rules
            .balances_addresses
            .push(treasurer.address().to_owned());
        config
            .rules
            .credits_addresses
            .push(treasurer.address().to_owned());
        Scenario {
            context: node::offline(config).unwrap(),
            accounts,
            treasurer,
            height: 1,
            _folder: folder,
        }
    }

    /// Does a step; what there is to compare, found and expected.
    async fn step(&mut self, step: &Value) -> Option<(Value, Value)> {
        match step["op"].as_str().unwrap() {
            "put_file" => self.put_file(step).await,
            "set_file_size_in_db" => {
                let hash = step["hash"].as_str().unwrap();
                let size_bytes = step["size"].as_u64().unwrap();
                let pipeline = &self.context.pipeline;
                pipeline.add_file(hash, size_bytes).await.unwrap();
            }
            "set_balance" => self.set_balance(step).await,
            "set_credit" => self.set_credit(step).await,
            "message" => {
                let message = omitted::restored(&step["message"]);
                return Some((self.submit(&message).await, expected(step)));
            }
            "state" => {
                let found = state::answer(self, step).await;
                return Some((found, state::expected(step)));
            }
            other => panic!("unknown op {other}"),
        }
        None
    }

    async fn post(&mut self, post_type: &str, content: Value, channel: &str) {
        self.height += 1;
        let content = json!({
            "address": self.treasurer.address(), "time": 1_780_000_000 + self.height,
            "type": post_type, "content": content,
        });
        let time = Timestamp::from_seconds(1_780_000_000);
        let message = self
            .treasurer
            .sign_message(MessageType::Post, &content, Some(channel), time);
        let outcome = self
            .context
            .pipeline
            .offer(serde_json::to_value(message).unwrap())
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Processed);
    }

    async fn set_balance(&mut self, step: &Value) {
        let balance: Value = step["balance"].as_str().unwrap().parse().unwrap();
        let content = json!({
            "chain": step["chain"], "main_height": self.height,
            "balances": {step["address"].as_str().unwrap(): balance},
        });
        self.post("balances-update", content, "TEST").await;
    }

    async fn set_credit(&mut self, step: &Value) {
        let content = json!({"distribution": {"token": "T", "chain": "ETH", "credits": [
            {"address": step["address"], "amount": step["amount"], "price": "1", "tx_hash": "x", "provider": "p"}]}});
        self.post("aleph_credit_distribution", content, "ALEPH_CREDIT")
            .await;
    }

    async fn put_file(&self, step: &Value) {
        let bytes = match step["content_utf8"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => vec![
                step["fill_byte"].as_str().unwrap().as_bytes()[0];
                step["size"].as_u64().unwrap() as usize
            ],
        };
        let kept = self.context.blobs.put(&bytes).unwrap();
        if kept.hash == step["hash"].as_str().unwrap() {
            self.context
                .pipeline
                .add_upload(&kept.hash, kept.size_bytes)
                .await
                .unwrap();
        }
    }

    /// Submits a message; what is known of its hash afterwards, and why it
    /// waits or was refused.
    async fn submit(&self, message: &Value) -> Value {
        if let Some(text) = omitted::body(message) {
            self.context.blobs.put(text.as_bytes()).unwrap();
        }
        let outcome = self.context.pipeline.offer(message.clone()).await.unwrap();
        let hash = message["item_hash"].as_str().unwrap_or_default().to_owned();
        let status = self.context.read(move |state| state.status(&hash)).await;
        let status = status.unwrap().map(|(status, _)| status.as_str());
        match outcome {
            Outcome::Pending(rejection) | Outcome::Rejected(rejection) => json!({
                "status": status, "error_code": rejection.code.number(), "details": rejection.details(),
            }),
            _ => json!({ "status": status }),
        }
    }
}

/// What the recording says about a message, in this node's terms.
fn expected(step: &Value) -> Value {
    let expect = &step["expect"];
    if step.get("uncaught_exception").is_some() {
        // Upstream crashed; ours refuses (messages.md §1).
        return json!({"status": "rejected", "error_code": 0});
    }
    let mut expected = json!({"status": expect["status"]});
    if expect["retried_before_rejection"] == json!(true) {
        // The recording node did not try again.
        expected["status"] = json!("pending");
    }
    if expect.get("error_code").is_some() {
        expected["error_code"] = expect["error_code"].clone();
        expected["details"] = expect["details"].clone();
    }
    expected
}

/// True when everything expected was found: objects may have more members, and
/// the words of a JSON parser are its own.
fn contains(found: &Value, expected: &Value) -> bool {
    const OWN_WORDS: &str = "Can't decode JSON: ";
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value))),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| contains(a, b))
        }
        (Value::String(found), Value::String(expected)) => {
            match (found.split_once(OWN_WORDS), expected.split_once(OWN_WORDS)) {
                (Some((found, _)), Some((expected, _))) => found == expected,
                _ => found == expected,
            }
        }
        (Value::Number(found), Value::Number(expected)) => found.as_f64() == expected.as_f64(),
        _ => found == expected,
    }
}

async fn run(name: &str, text: &str, differences: &[Difference]) {
    let recording: Value = serde_json::from_str(text).unwrap();
    let mut node = Scenario::new(recording["accounts"].clone());
    let mut wrong = Vec::new();
    for (index, step) in recording["steps"].as_array().unwrap().iter().enumerate() {
        let Some((found, recorded)) = node.step(step).await else {
            continue;
        };
        let difference = differences.iter().find(|d| d.step == index);
        let expected = match difference {
            Some(difference) => difference.ours(),
            None => recorded.clone(),
        };
        let label = step["label"].as_str().or(step["kind"].as_str());
        let label = format!("{name} {index} {}", label.unwrap_or_default());
        if !contains(&found, &expected) {
            wrong.push(format!("{label}: {found}\n    instead of {expected}"));
        }
        assert!(
            difference.is_none() || !contains(&found, &recorded),
            "{label} is as recorded: no difference"
        );
    }
    assert!(
        wrong.is_empty(),
        "{} steps ended otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes() {
    let text = include_str!("../../../../vectors/messages/scenario_envelope.json");
    run("envelope", text, differences::ENVELOPE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_and_forgets() {
    let text = include_str!("../../../../vectors/messages/scenario_aggregates_forgets.json");
    run("aggregates", text, differences::AGGREGATES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_costs() {
    let text = include_str!("../../../../vectors/messages/scenario_vms_costs.json");
    run("machines", text, differences::MACHINES).await;
}
