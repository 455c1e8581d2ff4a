//! Recorded scenarios of the network, through the real pipeline: every message
//! must end as it ended there, apart from the differences named here.

use std::sync::Arc;

use beth_ccn::{CcnConfig, Context, node};
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType, Status};
use beth_store::rows::Outcome;
use serde_json::{Value, json};

/// Labels whose outcome differs on purpose, with the reason.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "inline len 200000 ascii",
        "the recording omits the text, so the hash cannot match",
    ),
    (
        "inline 200000 chars of 3-byte utf8",
        "the recording omits the text, so the hash cannot match",
    ),
    (
        "sig object",
        "messages.md §7.1: an object is read as its text, so this is a wrong signature (1), not a format (0)",
    ),
    (
        "ipfs Qm46",
        "the recorder answered with a stub instead of content; here it is missing (3)",
    ),
    (
        "ipfs bafy 59",
        "the recorder answered with a stub instead of content; here it is missing (3)",
    ),
    (
        "storage content w/o address,time",
        "the recording omits the content file",
    ),
    ("storage non-JSON", "the recording omits the content file"),
    ("storage JSON array", "the recording omits the content file"),
    (
        "agg dict key",
        "messages.md §8.3: {\"name\": x} counts as x",
    ),
    (
        "agg 8 same time as last",
        "processing.md §10: merging is deterministic, equal times do not fail",
    ),
    (
        "forget aggregates=[k1]",
        "messages.md §8.5: keys are arbitrary texts",
    ),
];

struct Scenario {
    context: Arc<Context>,
    treasurer: Account,
    height: i64,
    _folder: tempfile::TempDir,
}

impl Scenario {
    fn new() -> Scenario {
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
        let context = node::offline(config).unwrap();
        Scenario {
            context,
            treasurer,
            height: 1,
            _folder: folder,
        }
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
        let content = json!({
            "chain": step["chain"], "main_height": self.height,
            "balances": {step["address"].as_str().unwrap(): step["balance"].as_str().unwrap().parse::<f64>().unwrap()},
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

    /// Submits a message; answers what is known of its hash, with the code.
    async fn submit(&self, message: &Value) -> (Option<Status>, Option<i32>) {
        let outcome = self.context.pipeline.offer(message.clone()).await.unwrap();
        let hash = message["item_hash"].as_str().unwrap_or_default().to_owned();
        let status = self
            .context
            .read(move |state| state.status(&hash))
            .await
            .unwrap()
            .map(|(status, _)| status);
        let code = match outcome {
            Outcome::Pending(rejection) | Outcome::Rejected(rejection) => {
                Some(rejection.code.number())
            }
            _ => None,
        };
        (status, code)
    }
}

async fn run(name: &str, text: &str) {
    let scenario: Value = serde_json::from_str(text).unwrap();
    let mut node = Scenario::new();
    let mut wrong = Vec::new();
    for (index, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        match step["op"].as_str().unwrap() {
            "put_file" => node.put_file(step).await,
            "set_file_size_in_db" => {
                let (hash, size) = (
                    step["hash"].as_str().unwrap(),
                    step["size"].as_u64().unwrap(),
                );
                node.context.pipeline.add_file(hash, size).await.unwrap();
            }
            "set_balance" => node.set_balance(step).await,
            "set_credit" => node.set_credit(step).await,
            "message" => {
                let label = format!(
                    "{name} {index} {}",
                    step["label"].as_str().unwrap_or_default()
                );
                let (status, code) = node.submit(&step["message"]).await;
                if let Some(fault) = compare(step, status, code)
                    && !DIFFERENCES.iter().any(|(known, _)| label.contains(known))
                {
                    wrong.push(format!("{label}: {fault}"));
                }
            }
            _ => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} messages ended otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn compare(step: &Value, status: Option<Status>, code: Option<i32>) -> Option<String> {
    let expect = &step["expect"];
    let mut expected = expect["status"].as_str();
    if expect["retried_before_rejection"] == json!(true) {
        expected = Some("pending");
    }
    if step.get("uncaught_exception").is_some() {
        // Upstream crashed; ours answers with code 0 (messages.md §1).
        return (code != Some(0)).then(|| format!("code {code:?} instead of 0"));
    }
    if status.map(Status::as_str) != expected {
        return Some(format!(
            "status {status:?}, code {code:?}; expected {expect}"
        ));
    }
    let expected_code = expect["error_code"].as_i64().map(|code| code as i32);
    if expected_code.is_some() && code.is_some() && code != expected_code {
        return Some(format!("code {code:?}, expected {expected_code:?}"));
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes() {
    run(
        "envelope",
        include_str!("../../../../vectors/messages/scenario_envelope.json"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregates_and_forgets() {
    run(
        "aggregates",
        include_str!("../../../../vectors/messages/scenario_aggregates_forgets.json"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_costs() {
    run(
        "machines",
        include_str!("../../../../vectors/messages/scenario_vms_costs.json"),
    )
    .await;
}
