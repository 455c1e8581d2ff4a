//! What no recording has: credits that run out, confirmations that come too
//! early, files that nobody keeps.

use beth_ccn::pipeline::now;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType, Status};
use beth_store::rows::Outcome;
use serde_json::{Value, json};

use super::World;

struct Life {
    world: World,
    owner: Account,
}

impl Life {
    fn new() -> Life {
        let owner = Account::ethereum(&"d1".repeat(32)).unwrap();
        let mut world = World::new(&json!({"address": owner.address()}));
        world.add_transaction(&json!({
            "hash": "0xaa", "chain": "ETH", "height": 23_000_000, "datetime": "2026-01-01T00:00:00Z",
        }));
        Life { world, owner }
    }

    /// Signs; `content` lacks address and time.
    fn message(&self, message_type: MessageType, seconds: i64, mut content: Value) -> Value {
        content["address"] = self.owner.address().into();
        content["time"] = seconds.into();
        let channel = Some("ALEPH_CREDIT");
        let time = Timestamp::from_seconds(seconds);
        let message = self
            .owner
            .sign_message(message_type, &content, channel, time);
        serde_json::to_value(message).unwrap()
    }

    async fn offer(&self, message: &Value) -> Outcome {
        self.world
            .context
            .pipeline
            .offer(message.clone())
            .await
            .unwrap()
    }

    async fn credits(&self, kind: &str, seconds: i64, amount: u64) {
        let credits = json!([{"address": self.owner.address(), "amount": amount, "price": "1",
            "tx_hash": "x", "provider": "p"}]);
        let body = match kind {
            "distribution" => json!({"token": "t", "chain": "ETH", "credits": credits}),
            _ => json!({ "credits": credits }),
        };
        let post = json!({"type": format!("aleph_credit_{kind}"), "content": {kind: body}});
        let message = self.message(MessageType::Post, seconds, post);
        assert_eq!(self.offer(&message).await, Outcome::Processed);
    }

    async fn run(&self, job: &str, hours: i64) -> String {
        let at = Timestamp::from_micros(now().micros() + hours * 3_600_000_000);
        self.world.context.jobs.run(job, at).await.unwrap()
    }

    /// A file of `mib` MiB that a STORE message keeps; both hashes.
    async fn store(&self, mib: usize, payment: &str) -> (String, String) {
        let (message, file) = self.upload(mib, payment).await;
        assert_eq!(self.offer(&message).await, Outcome::Processed);
        (message["item_hash"].as_str().unwrap().to_owned(), file)
    }

    /// A file of `mib` MiB and a STORE message that would keep it.
    async fn upload(&self, mib: usize, payment: &str) -> (Value, String) {
        let kept = self
            .world
            .context
            .blobs
            .put(&vec![b'x'; mib << 20])
            .unwrap();
        let pipeline = &self.world.context.pipeline;
        pipeline
            .add_upload(&kept.hash, kept.size_bytes)
            .await
            .unwrap();
        let content = json!({"item_type": "storage", "item_hash": kept.hash,
            "payment": {"chain": "ETH", "type": payment}});
        let message = self.message(MessageType::Store, 1_780_000_010, content);
        (message, kept.hash.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_taken_from_who_can_pay_for_the_rest() {
    let mut life = Life::new();
    let owner = life.owner.address().to_owned();
    let balance = |amount: &str| json!({"address": owner, "chain": "ETH", "balance": amount});
    life.store(1, "hold").await;
    life.world.set_balance(&balance("9")).await;
    life.store(26, "hold").await;
    life.world.set_balance(&balance("5")).await;
    let (message, _) = life.upload(2, "hold").await;
    let Outcome::Rejected(rejection) = life.offer(&message).await else {
        panic!("taken");
    };
    assert_eq!(
        rejection.details()["errors"][0],
        json!({"required_balance": "8.999999991000000000", "account_balance": "5"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_credits_no_longer_pay_is_removed() {
    let life = Life::new();
    life.credits("distribution", 1_780_000_000, 1_000).await;
    let (hash, file) = life.store(26, "credit").await;
    let path = format!("/api/v0/messages/{hash}");
    let status = async || life.world.status(&hash).await;

    // A day of 26 MiB costs 112 credits.
    life.credits("expense", 1_780_000_020, 900).await;
    life.run("credit_balance", 0).await;
    assert_eq!(status().await, Some(Status::Removing));
    let (_, body) = life.world.get(&path).await;
    assert_eq!(body["reason"], "credit_insufficient");
    assert_eq!(body["message"]["item_hash"], json!(hash));

    life.credits("distribution", 1_780_000_030, 500).await;
    life.run("credit_balance", 0).await;
    assert_eq!(status().await, Some(Status::Processed));

    life.credits("expense", 1_780_000_040, 550).await;
    life.run("credit_balance", 0).await;
    life.run("garbage_collector", 24).await;
    assert_eq!(
        status().await,
        Some(Status::Removing),
        "its file has a day and an hour"
    );
    assert!(life.world.context.blobs.contains(&file));
    life.run("garbage_collector", 26).await;
    assert_eq!(status().await, Some(Status::Removed));
    assert!(!life.world.context.blobs.contains(&file));
    let (_, body) = life.world.get(&path).await;
    assert_eq!(body["reason"], "credit_insufficient");
    let (_, consumed) = life
        .world
        .get("/api/v0/messages/xyz/consumed_credits")
        .await;
    assert_eq!(consumed, json!({"item_hash": "xyz", "consumed_credits": 0}));
    let (_, balance) = life
        .world
        .get(&format!(
            "/api/v0/addresses/{}/balance",
            life.owner.address()
        ))
        .await;
    assert_eq!(balance["credit_balance"], 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_stay_without_credits() {
    let life = Life::new();
    life.credits("distribution", 1_780_000_000, 1_000).await;
    let (hash, _) = life.store(25, "credit").await;
    life.credits("expense", 1_780_000_020, 1_000).await;
    life.run("credit_balance", 0).await;
    assert_eq!(life.world.status(&hash).await, Some(Status::Processed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_waits_with_its_message() {
    let life = Life::new();
    let post = json!({"type": "t", "content": {"v": 1}});
    let original = life.message(MessageType::Post, 1_780_000_000, post);
    let amend = json!({"type": "amend", "ref": original["item_hash"], "content": {"v": 2}});
    let amend = life.message(MessageType::Post, 1_780_000_001, amend);
    let transaction = life.world.transactions["0xaa"].clone();
    let pipeline = &life.world.context.pipeline;
    let outcome = pipeline
        .offer_confirmed(amend.clone(), transaction.clone())
        .await;
    assert!(matches!(outcome.unwrap(), Outcome::Pending(_)));
    let hash = amend["item_hash"].as_str().unwrap().to_owned();
    let path = format!("/api/v0/messages/{hash}");
    assert_eq!(life.world.get(&path).await.1["status"], "pending");
    assert_eq!(life.offer(&original).await, Outcome::Processed);
    assert_eq!(life.offer(&amend).await, Outcome::Processed);
    let (_, body) = life.world.get(&path).await;
    assert_eq!(body["message"]["confirmations"][0]["height"], 23_000_000);
    let (_, posts) = life.world.get("/api/v0/posts.json").await;
    assert_eq!(
        posts["posts"][0]["confirmed"], true,
        "that of the newest version"
    );

    // A copy with another signature confirms the hash all the same.
    let mut other = original.clone();
    other["signature"] = amend["signature"].clone();
    let outcome = pipeline.offer_confirmed(other, transaction.clone()).await;
    assert!(matches!(outcome.unwrap(), Outcome::Rejected(_)));
    let (_, list) = life.world.get("/api/v0/messages.json").await;
    assert!(
        list["messages"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["confirmed"] == true)
    );

    let forget = json!({"hashes": [original["item_hash"]]});
    let forget = life.message(MessageType::Forget, 1_780_000_002, forget);
    assert_eq!(life.offer(&forget).await, Outcome::Processed);
    let outcome = pipeline.offer_confirmed(amend, transaction).await.unwrap();
    assert_eq!(outcome, Outcome::Final(Status::Forgotten));
    let left = life
        .world
        .context
        .read(move |state| state.confirmations_of(&hash));
    assert_eq!(left.await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_without_a_message_is_kept_for_a_day() {
    let life = Life::new();
    let blobs = &life.world.context.blobs;
    let pipeline = &life.world.context.pipeline;
    let kept = blobs.put(b"nobody names this").unwrap();
    pipeline
        .add_upload(&kept.hash, kept.size_bytes)
        .await
        .unwrap();
    let named = blobs.put(b"a message is about to name this").unwrap();
    pipeline
        .add_file(&named.hash, named.size_bytes)
        .await
        .unwrap();
    life.run("garbage_collector", 0).await;
    assert!(blobs.contains(&kept.hash));
    assert!(blobs.contains(&named.hash), "it came just now");
    let report = life.run("garbage_collector", 25).await;
    assert_eq!(report, "1 pins ended, 2 files deleted, 0 messages removed");
    assert!(!blobs.contains(&kept.hash) && !blobs.contains(&named.hash));
}
