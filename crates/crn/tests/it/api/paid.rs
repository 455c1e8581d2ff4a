//! What begins because it is paid, and ends because it is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use beth_crn::payment::{FlowFault, Flows};
use beth_protocol::decimal::Decimal;
use beth_protocol::{Chain, ItemHash};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::fake::instances::FakeInstances;
use crate::fake::{FakeCore, TestNode, read, within};

const NODE_HASH: &str = "dc3d1d194a990b5c54380c3c0439562fefa42f5a46807cba1c500ec3affecf04";
const RECEIVER: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
const COMMUNITY: &str = "0x5aBd3258C5492fD378EBC2e0017416E199e5Da56";

/// Streams by receiver.
#[derive(Default)]
struct FakeFlows(Mutex<HashMap<String, &'static str>>);

impl FakeFlows {
    fn set(&self, receiver: &str, rate: &'static str) {
        self.0.lock().unwrap().insert(receiver.to_owned(), rate);
    }
}

impl Flows for FakeFlows {
    fn chains(&self) -> Vec<Chain> {
        vec![Chain::Avax, Chain::Base]
    }

    fn flow<'a>(
        &'a self,
        _chain: Chain,
        _sender: &'a str,
        receiver: &'a str,
    ) -> BoxFuture<'a, Result<Decimal, FlowFault>> {
        let rate = self.0.lock().unwrap().get(receiver).copied();
        let rate = Decimal::parse(rate.unwrap_or("0")).unwrap();
        Box::pin(async move { Ok(rate) })
    }
}

struct Scene {
    core: FakeCore,
    node: TestNode,
    instances: Arc<FakeInstances>,
    flows: Arc<FakeFlows>,
    messages: Value,
}

impl Scene {
    async fn new(period_seconds: u64) -> Scene {
        let core = FakeCore::start().await;
        let text = include_str!("../../../../../vectors/crn/messages.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let messages = vectors["messages"].clone();
        for message in messages.as_object().unwrap().values() {
            core.insert(message);
        }
        let settings = &vectors["settings_aggregate_example"];
        let path = format!(
            "/api/v0/aggregates/{}.json",
            settings["address"].as_str().unwrap()
        );
        core.say(&path, settings.clone());
        let (instances, flows) = (FakeInstances::new(), Arc::new(FakeFlows::default()));
        let given = (instances.clone(), flows.clone());
        let node = TestNode::start_given(
            &core,
            None,
            |config| {
                config.node_hash = Some(NODE_HASH.into());
                config.payment_receiver = Some(RECEIVER.into());
                config.notify_patience_seconds = 1;
                config.payment_interval_seconds = period_seconds;
                config.watch = false;
                config.admission.disk_mib = Some(200_000);
            },
            |parts| {
                parts.instances = Some(given.0);
                parts.flows = Some(given.1);
                parts.room = Some(crate::fake::instances::room());
            },
        )
        .await;
        Scene {
            core,
            node,
            instances,
            flows,
            messages,
        }
    }

    fn hash(&self, name: &str) -> ItemHash {
        ItemHash::parse(self.messages[name]["item_hash"].as_str().unwrap()).unwrap()
    }

    fn price(&self, name: &str, cost: &str, payment_type: &str) {
        let path = format!("/api/v0/price/{}", self.hash(name));
        self.core
            .say(&path, json!({"cost": cost, "payment_type": payment_type}));
    }

    fn credits(&self, credits: u64) {
        let owner = self.core.account().address();
        let path = format!("/api/v0/addresses/{owner}/balance");
        self.core.say(
            &path,
            json!({"address": owner, "balance": 1.0, "credit_balance": credits}),
        );
    }

    async fn notify(&self, body: &str) -> (u16, String) {
        let url = format!("{}/control/allocation/notify", self.node.url);
        let sent = self.node.client.post(url).body(body.to_owned()).send();
        read(within(sent).await.unwrap()).await
    }

    async fn notify_of(&self, name: &str) -> (u16, String) {
        self.notify(&json!({"instance": self.hash(name)}).to_string())
            .await
    }
}

fn said(answer: &(u16, String)) -> (u16, Value) {
    let body: Value = serde_json::from_str(&answer.1).unwrap();
    (answer.0, body["error"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notify_refuses_in_order() {
    let text = include_str!("../../../../../vectors/crn/api_responses.json");
    let recorded: Value = serde_json::from_str(text).unwrap();
    let scene = Scene::new(3600).await;
    for name in ["notify_badjson", "notify_badbody", "notify_nobody"] {
        let case = &recorded["responses"][name];
        let request = &case["request"];
        let body = request["data"].as_str().map(str::to_owned);
        let answer = scene
            .notify(&body.unwrap_or(request["json"].to_string()))
            .await;
        assert_eq!(
            u64::from(answer.0),
            case["status"].as_u64().unwrap(),
            "{name}"
        );
        let ours: Value = serde_json::from_str(&answer.1).unwrap();
        assert_eq!(ours, case["body"], "{name}");
    }
    let unknown = json!({"instance": "cafe".repeat(16)}).to_string();
    let answer = scene.notify(&unknown).await;
    let text = format!("Aleph message not found: {}", "cafe".repeat(16));
    assert_eq!(said(&answer), (500, json!(text)));
    let answer = scene.notify_of("program_asgi_zip").await;
    assert_eq!(
        said(&answer),
        (400, json!("400: Message is not an instance"))
    );
    // Register 20: what is held for is the scheduler's.
    let answer = scene.notify_of("instance_hold").await;
    assert_eq!(said(&answer), (400, json!("400: Invalid payment method")));
    let here = "This CRN cannot host the requested instance at this time.";
    let answer = scene.notify_of("instance_confidential_sev_credit").await;
    assert_eq!(said(&answer), (503, json!(here)));
    assert_eq!(scene.instances.take_asked(), [""; 0]);
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_begin_an_instance() {
    let scene = Scene::new(3600).await;
    scene.price("instance_credit", "2.5", "credit");
    let name = scene.hash("instance_credit");
    scene.credits(8_999);
    let answer = scene.notify_of("instance_credit").await;
    let (status, error) = said(&answer);
    let error = error.as_str().unwrap().to_owned();
    assert_eq!(status, 402);
    assert!(
        error.starts_with("Insufficient credits for this instance"),
        "{error}"
    );
    let body: Value = serde_json::from_str(&answer.1).unwrap();
    assert_eq!(body["errors"][name.as_str()], error, "consoles show this");
    scene.node.stop().await;

    let scene = Scene::new(3600).await;
    scene.price("instance_credit", "2.5", "credit");
    scene.credits(9_000);
    let answer = scene.notify_of("instance_credit").await;
    let expected = r#"{"success": true, "successful": true, "failing": [], "errors": {}}"#;
    assert_eq!(answer, (200, expected.into()));
    let asked = scene.instances.take_asked();
    assert_eq!(asked[0], format!("start {name}"));
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_begin_an_instance() {
    let scene = Scene::new(3600).await;
    scene.price(
        "instance_payg_superfluid",
        "0.000015277777777777",
        "superfluid",
    );
    let notify = async || said(&scene.notify_of("instance_payg_superfluid").await);
    assert_eq!(
        notify().await,
        (402, json!("Empty payment stream for this instance"))
    );
    let insufficient = |answer: (u16, Value)| {
        let text = answer.1.as_str().unwrap().to_owned();
        assert!(
            answer.0 == 402 && text.starts_with("Insufficient payment stream"),
            "{text}"
        );
    };
    scene.flows.set(RECEIVER, "0.000012222122222220");
    insufficient(notify().await);
    // Less than a ten-thousand-millionth is nothing.
    scene.flows.set(RECEIVER, "0.000012222122222222");
    insufficient(notify().await);
    scene.flows.set(COMMUNITY, "0.000003055555555555");
    assert_eq!(notify().await.0, 200);
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_paid_ends() {
    let scene = Scene::new(1).await;
    scene.price("instance_credit", "0.25", "credit");
    scene.credits(1_000_000);
    let name = scene.hash("instance_credit");
    assert_eq!(scene.notify_of("instance_credit").await.0, 200);
    let mut known = crate::fake::instances::machine(&name, scene.core.account().address());
    known.is_running = true;
    scene.instances.put(known);
    drop(scene.instances.take_asked());
    let status = format!("/api/v0/messages/{name}");
    scene.core.say(&status, json!({"status": "forgotten"}));
    within(async {
        while scene.instances.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(scene.instances.take_asked(), [format!("forget {name}")]);
    scene.node.stop().await;
}
