//! An owner, a machine, and the node it runs on.

use std::sync::Arc;

use beth_protocol::{Account, ItemHash};
use serde_json::Value;

use crate::fake::instances::{FakeInstances, machine};
use crate::fake::wallet::Wallet;
use crate::fake::{FakeCore, TestNode, read, within};

pub const MACHINE: &str = "8920215b2e961a4d4c59a8ceb2803af53f91530ff53d6704273ab4d380bc6446";

pub fn vectors() -> Value {
    let text = include_str!("../../../../../vectors/crn/operator_responses.json");
    serde_json::from_str(text).unwrap()
}

pub struct Scene {
    pub core: FakeCore,
    pub node: TestNode,
    pub instances: Arc<FakeInstances>,
    pub owner: Wallet,
    pub machine: ItemHash,
}

impl Scene {
    pub async fn new() -> Scene {
        let core = FakeCore::start().await;
        let instances = FakeInstances::new();
        let given = instances.clone();
        let node = TestNode::start_given(
            &core,
            None,
            |config| {
                config.enable_gpus = true;
                config.admission.disk_mib = Some(200_000);
                config.allocation_signers = vec![SCHEDULER.into()];
                config.allocation_token_hash =
                    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into();
            },
            |parts| {
                parts.instances = Some(given);
                parts.room = Some(crate::fake::instances::room());
            },
        )
        .await;
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let owner = Wallet(Account::ethereum(key).unwrap());
        let machine_hash = ItemHash::parse(MACHINE).unwrap();
        instances.put(machine(&machine_hash, owner.0.address()));
        Scene {
            core,
            node,
            instances,
            owner,
            machine: machine_hash,
        }
    }

    pub fn path(&self, action: &str) -> String {
        format!("/control/machine/{MACHINE}/{action}")
    }

    pub fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&'static str, String)],
    ) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{target}", self.node.url);
        let request = self.node.client.request(method, url);
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, value)
        })
    }

    /// As the owner asks.
    pub fn ask(&self, method: &str, target: &str) -> reqwest::RequestBuilder {
        let path = target.split('?').next().unwrap();
        self.request(method, target, &self.owner.headers(method, path))
    }

    pub async fn says(&self, method: &str, target: &str) -> (u16, String) {
        read(within(self.ask(method, target).send()).await.unwrap()).await
    }
}

pub fn same(name: &str, case: &Value, (status, body): &(u16, String)) {
    assert_eq!(
        u64::from(*status),
        case["status"].as_u64().unwrap(),
        "{name}: {body}"
    );
    match &case["body"] {
        Value::String(text) => assert_eq!(body, text, "{name}"),
        recorded => {
            let ours: Value = serde_json::from_str(body).unwrap();
            assert_eq!(ours, *recorded, "{name}");
        }
    }
}

const SCHEDULER: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
