//! What the scheduler asks for, against what upstream answers.

use std::time::{SystemTime, UNIX_EPOCH};

use beth_protocol::content::payment::{Payment, PaymentType};
use beth_protocol::{Account, ItemHash};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fake::instances::{FakeInstances, machine, room};
use crate::fake::{FakeCore, TestNode, assemble, read, within};

const TOKEN_HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn header(account: &Account, path: &str, body: &str, iat: u64) -> String {
    let payload = json!({
        "body_sha256": const_hex::encode(Sha256::digest(body)), "iat": iat, "method": "POST", "path": path,
    });
    let payload = payload.to_string();
    let signature = account.sign_text(payload.as_bytes());
    let payload = const_hex::encode(payload);
    format!("Aleph-EIP191-V1 sig={signature},payload={payload}")
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_signatures() {
    let text = include_str!("../../../../../vectors/crn/operator_responses.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let core = FakeCore::start().await;
    let scheduler = Account::ethereum(&"22".repeat(32)).unwrap();
    // The network names its scheduler, this node none.
    let settings = json!({"authorized_allocation_signers": [scheduler.address().to_lowercase()]});
    core.say_aggregate(
        "0xFba561a84A537fCaa567bb7A2257e7142701ae2A",
        "settings",
        settings,
    );
    let node = TestNode::start_with(&core, None, |config| {
        config.allocation_token_hash = TOKEN_HASH.into();
    })
    .await;
    let path = "/control/allocations";
    let body = "{\"persistent_vms\": [], \"instances\": []}";
    let good = header(&scheduler, path, body, now());
    let stranger = Account::ethereum(&"33".repeat(32)).unwrap();
    for name in [
        "eip_ok",
        "eip_replay",
        "eip_other_iat",
        "eip_stale",
        "eip_wrongbody",
        "eip_wrongpath",
        "eip_query",
        "eip_unauthorized_signer",
        "eip_case_insensitive_0x",
        "eip_bearer_no_fallback",
    ] {
        let case = &vectors["responses"][name];
        let authorization = match name {
            "eip_ok" | "eip_replay" => good.clone(),
            "eip_other_iat" => header(&scheduler, path, body, now() - 1),
            "eip_stale" => header(&scheduler, path, body, now() - 302),
            "eip_wrongbody" => header(&scheduler, path, "{}", now() - 2),
            "eip_wrongpath" => header(&scheduler, "/control/other", body, now() - 3),
            "eip_query" => header(&scheduler, path, body, now() - 4),
            "eip_unauthorized_signer" => header(&stranger, path, body, now()),
            "eip_case_insensitive_0x" => {
                let header = header(&scheduler, path, body, now() - 5);
                header
                    .replace("Aleph-EIP191-V1", "aleph-eip191-v1")
                    .replace("payload=", "payload=0x")
            }
            _ => "Bearer x".into(),
        };
        let target = case["path"].as_str().unwrap();
        let request = node.client.post(format!("{}{target}", node.url));
        let request = request
            .header("authorization", authorization)
            .header("X-Auth-Signature", "test");
        let (status, text) = read(within(request.body(body).send()).await.unwrap()).await;
        assert_eq!(
            u64::from(status),
            case["status"].as_u64().unwrap(),
            "{name}: {text}"
        );
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            case["body"],
            "{name}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_network_operations() {
    let text = include_str!("../../../../../vectors/crn/api_responses.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| {
        config.allocation_token_hash = TOKEN_HASH.into();
    })
    .await;
    for name in [
        "network_recreate_noauth",
        "proxy_regen_noauth",
        "proxy_regen_ok",
    ] {
        let case = &vectors["responses"][name];
        let target = case["request"]["path"].as_str().unwrap();
        let mut request = node.client.post(format!("{}{target}", node.url));
        if name == "proxy_regen_ok" {
            request = request.header("X-Auth-Signature", "test");
        }
        let (status, text) = read(within(request.send()).await.unwrap()).await;
        assert_eq!(
            u64::from(status),
            case["status"].as_u64().unwrap(),
            "{name}: {text}"
        );
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            case["body"],
            "{name}"
        );
    }
    let request = node
        .client
        .post(format!("{}/control/network/recreate", node.url));
    let request = request.header("X-Auth-Signature", "test");
    let (status, text) = read(within(request.send()).await.unwrap()).await;
    let expected = json!({
        "success": true, "removed_chains_count": 0, "removed_chains": [], "recreated_count": 0,
        "failed_count": 0, "recreated_vms": [], "failed_vms": [],
    });
    assert_eq!(
        (status, serde_json::from_str(&text).unwrap()),
        (200, expected)
    );
    let debug = read(node.get("/debug/haproxy").await).await;
    let expected = json!({"error": r#"{"status": "no socket"}"#});
    assert_eq!(
        (debug.0, serde_json::from_str(&debug.1).unwrap()),
        (404, expected)
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_total() {
    let core = FakeCore::start().await;
    let instances = FakeInstances::new();
    let given = instances.clone();
    let node = TestNode::start_given(
        &core,
        None,
        |config| config.allocation_token_hash = TOKEN_HASH.into(),
        |parts| {
            parts.instances = Some(given);
            parts.room = Some(room());
        },
    )
    .await;
    let text = include_str!("../../../../../vectors/crn/messages.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let wanted = core.insert(&vectors["messages"]["instance_hold"]);
    let program = core.wasm_program(
        &core.store(assemble(crate::fake::HELLO)),
        json!({"/on/persistent": true}),
    );
    // Only what was placed here ends: not what its owner pays by the second.
    let name = |text: &str| ItemHash::of_bytes(text.as_bytes());
    let payment = |payment_type| {
        Some(Payment {
            chain: None,
            receiver: None,
            payment_type,
        })
    };
    instances.put(machine(&name("placed"), "0xA"));
    let mut paid = machine(&name("paid"), "0xA");
    paid.payment = payment(PaymentType::Credit);
    instances.put(paid);
    let mut hidden = machine(&name("hidden"), "0xA");
    hidden.is_confidential = true;
    instances.put(hidden);
    let push = async |body: Value| {
        let request = node
            .client
            .post(format!("{}/control/allocations", node.url));
        let request = request
            .header("X-Auth-Signature", "test")
            .body(body.to_string());
        let (status, text) = read(within(request.send()).await.unwrap()).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (status, report) = push(json!({"persistent_vms": [program], "instances": [wanted]})).await;
    assert_eq!(
        (status, &report["success"]),
        (200, &json!(true)),
        "{report}"
    );
    assert_eq!(report["stopped"], json!([name("placed")]));
    let asked = instances.take_asked();
    assert_eq!(
        asked,
        [
            format!("forget {}", name("placed")),
            format!("start {wanted}")
        ]
    );
    assert_eq!(
        node.program(&program).await["state"],
        "running",
        "though nobody called"
    );
    let (_, report) = push(json!({"instances": [wanted]})).await;
    assert_eq!(report["stopped"], json!([program]));
    let left = node.get(&format!("/beth/v1/programs/{program}")).await;
    assert_eq!(left.status().as_u16(), 404);
    node.stop().await;
}
