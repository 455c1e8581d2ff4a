//! Machines that move from one node to another.

use std::sync::Arc;

use beth_crn::workloads::MovedDisk;
use beth_protocol::ItemHash;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::scene::same;
use crate::fake::instances::{FakeInstances, machine, room};
use crate::fake::{FakeCore, HELLO, TestNode, assemble, read, within};

const TOKEN_HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

async fn node(core: &FakeCore, instances: &Arc<FakeInstances>) -> TestNode {
    let given = instances.clone();
    TestNode::start_given(
        core,
        None,
        |config| {
            config.allocation_token_hash = TOKEN_HASH.into();
            config.allow_private_sources = true;
        },
        |parts| {
            parts.instances = Some(given);
            parts.room = Some(room());
        },
    )
    .await
}

/// As the scheduler asks.
async fn ask(node: &TestNode, method: &str, path: &str, body: &Value) -> (u16, String) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = node.client.request(method, format!("{}{path}", node.url));
    let request = request.header("X-Auth-Signature", "test");
    let request = match body {
        Value::Null => request,
        body => request.body(body.to_string()),
    };
    read(within(request.send()).await.unwrap()).await
}

async fn reaches(node: &TestNode, path: &str, state: &str) -> Value {
    within(async {
        loop {
            let (_, text) = ask(node, "GET", path, &Value::Null).await;
            let value: Value = serde_json::from_str(&text).unwrap();
            if value["state"] == state {
                return value;
            }
            assert_eq!(value["error"], Value::Null, "{value}");
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_moves() {
    let core = FakeCore::start().await;
    let text = include_str!("../../../../../vectors/crn/messages.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let name = core.insert(&vectors["messages"]["instance_hold"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rootfs.qcow2");
    std::fs::write(&path, "a disk").unwrap();
    let here = FakeInstances::new();
    *here.exports.lock().unwrap() = vec![MovedDisk {
        name: "rootfs.qcow2".into(),
        path,
        size_bytes: 6,
        sha256: const_hex::encode(Sha256::digest("a disk")),
    }];
    here.put(machine(&name, core.account().address()));
    let there = FakeInstances::new();
    let (source, destination) = (node(&core, &here).await, node(&core, &there).await);

    let export = format!("/control/machine/{name}/migration/export");
    let status = format!("{export}/status");
    let (code, begun) = ask(&source, "POST", &export, &Value::Null).await;
    let begun: Value = serde_json::from_str(&begun).unwrap();
    assert_eq!(
        (code, &begun["state"], &begun["status_url"]),
        (202, &json!("exporting"), &json!(status))
    );
    let exported = reaches(&source, &status, "exported").await;
    assert_eq!(
        ask(&source, "POST", &export, &Value::Null).await.0,
        409,
        "once is enough"
    );
    let disk = exported["disk_files"][0].clone();
    let download = disk["download_path"].as_str().unwrap();
    let refused = read(source.get(&format!("{download}?token=x")).await).await;
    assert_eq!(
        refused,
        (
            401,
            r#"{"error": "Invalid or missing export token"}"#.into()
        )
    );

    let port: u16 = source.url.rsplit(':').next().unwrap().parse().unwrap();
    let mut order = json!({
        "vm_hash": name, "source_host": "127.0.0.1", "source_port": port,
        "export_token": exported["export_token"], "disk_files": [disk],
    });
    let status = format!("/control/migrate/{name}/status");
    // A lie about the hash brings nothing here.
    order["disk_files"][0]["sha256"] = json!("ab".repeat(32));
    assert_eq!(
        ask(&destination, "POST", "/control/migrate", &order)
            .await
            .0,
        202
    );
    let failed = within(async {
        loop {
            let (_, text) = ask(&destination, "GET", &status, &Value::Null).await;
            let value: Value = serde_json::from_str(&text).unwrap();
            if value["state"] == "import_failed" {
                return value;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        failed["error"].as_str().unwrap().contains("hash"),
        "{failed}"
    );
    assert_eq!(there.take_asked(), [""; 0]);
    order["disk_files"] = exported["disk_files"].clone();
    assert_eq!(
        ask(&destination, "POST", "/control/migrate", &order)
            .await
            .0,
        202
    );
    let imported = reaches(&destination, &status, "imported").await;
    assert_eq!(
        (
            &imported["bytes_downloaded"],
            &imported["total_bytes_expected"]
        ),
        (&json!(6), &json!(6))
    );
    assert_eq!(
        there.take_asked(),
        [format!("import {name} rootfs.qcow2 a disk")]
    );
    let again = ask(&destination, "POST", "/control/migrate", &order).await;
    assert_eq!(
        again,
        (
            409,
            r#"{"error": "VM already running on this host"}"#.into()
        )
    );

    let clean_up = format!("/control/machine/{name}/migration/cleanup");
    let expected = format!(r#"{{"status": "completed", "vm_hash": "{name}"}}"#);
    assert_eq!(
        ask(&source, "POST", &clean_up, &Value::Null).await,
        (200, expected)
    );
    assert_eq!(
        here.take_asked(),
        [
            format!("export {name}"),
            format!("discard {name}"),
            format!("forget {name}")
        ]
    );
    assert_eq!(ask(&source, "POST", &clean_up, &Value::Null).await.0, 409);
    source.stop().await;
    destination.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_refusals() {
    let text = include_str!("../../../../../vectors/crn/api_responses.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| {
        config.allocation_token_hash = TOKEN_HASH.into();
    })
    .await;
    for name in [
        "mig_export_status_nojob",
        "mig_disk_nojob",
        "migrate_noauth",
        "migrate_badbody",
    ] {
        let case = &vectors["responses"][name];
        let request = &case["request"];
        let (method, path) = (
            request["method"].as_str().unwrap(),
            request["path"].as_str().unwrap(),
        );
        let answer = match name {
            "migrate_noauth" => {
                let sent = node
                    .client
                    .post(format!("{}{path}", node.url))
                    .body("{}")
                    .send();
                read(within(sent).await.unwrap()).await
            }
            _ => ask(&node, method, path, &request["json"]).await,
        };
        match name {
            // A text that holds the faults as JSON.
            "migrate_badbody" => {
                let faults: Value = serde_json::from_str(&answer.1).unwrap();
                assert_eq!((answer.0, &faults), (400, &case["body"]));
            }
            _ => same(name, case, &answer),
        }
    }
    let program = core.wasm_program(&core.store(assemble(HELLO)), json!({}));
    assert_eq!(node.call(&program, "/").await.0, 200);
    let export = |name: &ItemHash| format!("/control/machine/{name}/migration/export");
    let answer = ask(&node, "POST", &export(&program), &Value::Null).await;
    same(
        "mig_export_program",
        &vectors["responses"]["mig_export_program"],
        &answer,
    );
    let unknown = ask(
        &node,
        "POST",
        &export(&ItemHash::of_bytes(b"x")),
        &Value::Null,
    )
    .await;
    assert_eq!(unknown.0, 404);
    node.stop().await;
}
