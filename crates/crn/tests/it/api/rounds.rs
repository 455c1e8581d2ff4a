//! Rounds of the payment monitor, one by one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use beth_crn::contents::Contents;
use beth_crn::core_node::CoreNode;
use beth_crn::download::Files;
use beth_crn::network_settings::SettingsReader;
use beth_crn::payment::{FlowFault, Flows, Monitor, Payments};
use beth_crn::workloads::Machines;
use beth_protocol::decimal::Decimal;
use beth_protocol::{Chain, ItemHash, MessageType};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::fake::FakeCore;
use crate::fake::instances::{FakeInstances, machine};

const RECEIVER: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
const COMMUNITY: &str = "0x5aBd3258C5492fD378EBC2e0017416E199e5Da56";
/// The community gets its part of what began after this.
const SHARED_SINCE: u64 = 1_739_996_239;

struct FixedFlows(HashMap<&'static str, &'static str>);

impl Flows for FixedFlows {
    fn chains(&self) -> Vec<Chain> {
        vec![Chain::Avax]
    }

    fn flow<'a>(
        &'a self,
        _chain: Chain,
        _sender: &'a str,
        receiver: &'a str,
    ) -> BoxFuture<'a, Result<Decimal, FlowFault>> {
        let rate = self.0.get(receiver).copied().unwrap_or("0");
        let rate = Decimal::parse(rate).unwrap();
        Box::pin(async move { Ok(rate) })
    }
}

struct Scene {
    core: FakeCore,
    instances: Arc<FakeInstances>,
    folder: tempfile::TempDir,
    vectors: Value,
}

impl Scene {
    async fn new() -> Scene {
        let core = FakeCore::start().await;
        let text = include_str!("../../../../../vectors/crn/messages.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let settings = &vectors["settings_aggregate_example"];
        let path = format!(
            "/api/v0/aggregates/{}.json",
            settings["address"].as_str().unwrap()
        );
        core.say(&path, settings.clone());
        Scene {
            core,
            instances: FakeInstances::new(),
            folder: tempfile::tempdir().unwrap(),
            vectors,
        }
    }

    /// An instance like one of the vectors that began `age` seconds after the
    /// first shared one, at that price.
    fn runs(&self, like: &str, age: u64, price: &str) -> ItemHash {
        let mut content = self.vectors["messages"][like]["content"].clone();
        content["time"] = json!(age as f64 + 0.5);
        let name = self.core.publish(MessageType::Instance, &content);
        let payment_type = &content["payment"]["type"];
        let path = format!("/api/v0/price/{name}");
        self.core
            .say(&path, json!({"cost": price, "payment_type": payment_type}));
        let mut known = machine(&name, self.core.account().address());
        let begun = UNIX_EPOCH + Duration::from_secs(SHARED_SINCE + age);
        known.steps.defined_at = Some(begun);
        known.steps.started_at = Some(begun);
        self.instances.put(known);
        name
    }

    fn has(&self, tokens: f64, credits: f64) {
        let path = format!(
            "/api/v0/addresses/{}/balance",
            self.core.account().address()
        );
        self.core
            .say(&path, json!({"balance": tokens, "credit_balance": credits}));
    }

    /// A round of a monitor that has asked nobody before.
    async fn round(&self, flows: &[(&'static str, &'static str)]) -> (bool, Vec<String>) {
        let core = CoreNode::new(&self.core.url).unwrap();
        let files = Files::open(core.clone(), self.folder.path()).unwrap();
        let contents = Contents::new(core.clone(), files);
        let settings =
            SettingsReader::new(core.clone(), "0xFba561a84A537fCaa567bb7A2257e7142701ae2A");
        let flows = Arc::new(FixedFlows(flows.iter().copied().collect()));
        let payments = Payments::new(core, settings, flows, Some(RECEIVER.into()));
        let machines = Machines::new(FakeInstances::new(), Some(self.instances.clone()));
        let done = Monitor::new(payments, contents, machines).round().await;
        (done.is_ok(), self.instances.take_asked())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_ends_when_credits_do_not_last() {
    let scene = Scene::new().await;
    let older = scene.runs("instance_credit", 1, "0.25");
    let newer = scene.runs("instance_credit", 2, "0.25");
    scene.has(0.0, 0.6);
    assert_eq!(scene.round(&[]).await, (true, vec![]));
    scene.has(0.0, 0.5);
    assert_eq!(
        scene.round(&[]).await,
        (true, vec![format!("stop {newer}")])
    );
    // What was stopped needs nothing any more, and is not erased.
    assert_eq!(scene.round(&[]).await, (true, vec![]));
    scene.has(0.0, 0.0);
    assert_eq!(
        scene.round(&[]).await,
        (true, vec![format!("stop {older}")])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_ends_nobody() {
    let scene = Scene::new().await;
    let name = scene.runs("instance_credit", 1, "0.25");
    let balance = format!(
        "/api/v0/addresses/{}/balance",
        scene.core.account().address()
    );
    scene.core.say(&balance, Value::Null);
    assert_eq!(scene.round(&[]).await, (false, vec![]));
    scene.has(0.0, 0.0);
    scene
        .core
        .say(&format!("/api/v0/price/{name}"), Value::Null);
    assert_eq!(scene.round(&[]).await, (false, vec![]));
    scene
        .core
        .say(&format!("/api/v0/messages/{name}"), Value::Null);
    assert_eq!(scene.round(&[]).await, (false, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_held_for_only_hidden_machines_end() {
    let scene = Scene::new().await;
    let plain = scene.runs("instance_hold", 1, "1000");
    scene.has(999.0, 0.0);
    assert_eq!(
        scene.round(&[]).await,
        (true, vec![]),
        "the scheduler's affair"
    );
    scene
        .instances
        .change(&plain, |known| known.is_confidential = true);
    assert_eq!(
        scene.round(&[]).await,
        (true, vec![format!("stop {plain}")])
    );
    scene
        .instances
        .change(&plain, |known| known.is_running = true);
    scene.has(1000.1, 0.0);
    assert_eq!(scene.round(&[]).await, (true, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_shared_with_the_community() {
    let scene = Scene::new().await;
    let older = scene.runs("instance_payg_superfluid", 1, "0.00001");
    let newer = scene.runs("instance_payg_superfluid", 2, "0.00001");
    let enough = [(RECEIVER, "0.000016"), (COMMUNITY, "0.000004")];
    assert_eq!(scene.round(&enough).await, (true, vec![]));
    let nearly = [(RECEIVER, "0.0000159999"), (COMMUNITY, "0.000004")];
    assert_eq!(
        scene.round(&nearly).await,
        (true, vec![]),
        "within the buffer"
    );
    let half = [(RECEIVER, "0.000008"), (COMMUNITY, "0.000004")];
    assert_eq!(
        scene.round(&half).await,
        (true, vec![format!("stop {newer}")])
    );
    // All to the node and nothing to the community is not enough.
    let selfish = [(RECEIVER, "0.00002")];
    assert_eq!(
        scene.round(&selfish).await,
        (true, vec![format!("stop {older}")])
    );
    // What began before owes the community nothing.
    let before = UNIX_EPOCH + Duration::from_secs(SHARED_SINCE - 1);
    scene.instances.change(&older, |known| {
        known.is_running = true;
        known.steps.started_at = Some(before);
    });
    assert_eq!(scene.round(&[(RECEIVER, "0.00001")]).await, (true, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_must_be_gone_three_times() {
    let scene = Scene::new().await;
    let name = scene.runs("instance_credit", 1, "0.25");
    scene.has(0.0, 1000.0);
    for status in ["forgotten", "rejected", "removed", "removing"] {
        scene.core.say(
            &format!("/api/v0/messages/{name}"),
            json!({"status": status}),
        );
        let asked = scene.round(&[]).await;
        assert_eq!(asked, (true, vec![]), "once is not enough: {status}");
    }
}
