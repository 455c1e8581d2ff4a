//! Routes, against what upstream answers.

mod follow;
mod migration;
mod operator;
mod paid;
mod public;
mod scene;
mod scheduler;
mod watch;

use std::time::{SystemTime, UNIX_EPOCH};

use beth_crn::node;
use beth_protocol::Account;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::fake::{FakeCore, HELLO, TestNode, assemble, config, read, within};

/// Recorded cases that this node answers with the same status and body.
const SAME: [&str; 24] = [
    "about_login_notoken",
    "about_login_bad",
    "about_404",
    "control_404_get",
    "control_404_post",
    "status_404",
    "about_405",
    "index_otherhost",
    "vm_invalid_ref",
    "alloc_noauth",
    "alloc_legacy_bad",
    "status_version_missing",
    "status_version_bad",
    "sdk_bug_update_path",
    "host_short_label",
    "host_domain_with_path",
    "host_domain_post_root",
    "host_50char",
    "alloc_legacy_badjson",
    "index",
    "status_version_ok",
    "status_version_old",
    "status_config",
    "about_exec_list",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_responses() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../vectors/crn/api_responses.json")).unwrap();
    let core = FakeCore::start().await;
    let node = TestNode::start_with(&core, None, |config| {
        config.allocation_token_hash =
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into();
    })
    .await;
    for name in SAME {
        let case = &vectors["responses"][name];
        let request = &case["request"];
        let method =
            reqwest::Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
        let mut sent = node.client.request(
            method,
            format!("{}{}", node.url, request["path"].as_str().unwrap()),
        );
        for (header, value) in request["headers"].as_object().unwrap() {
            sent = sent.header(header, value.as_str().unwrap());
        }
        if let Some(data) = request["data"].as_str() {
            sent = sent.body(data.to_owned());
        } else if !request["json"].is_null() {
            sent = sent.body(request["json"].to_string());
        }
        let response = within(sent.send()).await.unwrap();
        let server = response.headers()["server"].to_str().unwrap().to_owned();
        let content_type = response
            .headers()
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned());
        let (status, body) = read(response).await;
        assert!(server.starts_with("aleph-vm/"), "{name}");
        match name {
            // Repairs: an allocation that is no JSON, and a label of another length, are the caller's faults.
            "alloc_legacy_badjson" => assert_eq!(status, 400, "{name}: {body}"),
            "host_50char" => assert_eq!(
                (status, body.as_str()),
                (404, r#"{"error": "404: Invalid message reference"}"#)
            ),
            "index" => assert_eq!(
                (status, body.contains("<html")),
                (200, true),
                "{name}: {body}"
            ),
            "status_version_ok" | "status_version_old" => {
                assert_eq!(
                    status,
                    case["status"].as_u64().unwrap() as u16,
                    "{name}: {body}"
                );
                assert!(
                    body.contains(&format!("version {}", beth_crn::api::VERSION)),
                    "{name}: {body}"
                );
            }
            // At least the same members, and members of members, with this node's values.
            "status_config" => {
                let body: Value = serde_json::from_str(&body).unwrap();
                for (member, recorded) in case["body"].as_object().unwrap() {
                    let ours = body
                        .get(member)
                        .unwrap_or_else(|| panic!("{member} is missing"));
                    for (name, _) in recorded.as_object().into_iter().flatten() {
                        assert!(ours.get(name).is_some(), "{member}.{name} is missing");
                    }
                }
            }
            "about_exec_list" => assert_eq!((status, body.as_str()), (200, "{}")),
            _ => {
                assert_eq!(
                    status,
                    case["status"].as_u64().unwrap() as u16,
                    "{name}: {body}"
                );
                assert_eq!(
                    serde_json::from_str::<Value>(&body).unwrap(),
                    case["body"],
                    "{name}"
                );
                assert_eq!(
                    content_type.as_deref(),
                    case["headers"]["Content-Type"].as_str(),
                    "{name}"
                );
                assert_eq!(
                    body.len().to_string(),
                    case["headers"]["Content-Length"].as_str().unwrap(),
                    "{name}: spacing"
                );
            }
        }
    }
    let (status, usage) = read(node.get("/about/usage/system").await).await;
    let usage: Value = serde_json::from_str(&usage).unwrap();
    assert_eq!((status, &usage["active"]), (200, &json!(true)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_origin_reads_public_routes() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let url = format!("{}/status/config", node.url);
    let response = node
        .client
        .get(&url)
        .header("origin", "https://app.example")
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        "https://app.example"
    );
    assert_eq!(
        response.headers()["access-control-allow-credentials"],
        "true"
    );
    assert_eq!(
        response.headers()["access-control-expose-headers"],
        "Content-Length,Date,Server"
    );
    let preflight = node
        .client
        .request(reqwest::Method::OPTIONS, &url)
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "x-signedpubkey");
    let response = preflight.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        "https://app.example"
    );
    assert_eq!(response.headers()["access-control-allow-methods"], "GET");
    assert_eq!(
        response.headers()["access-control-allow-headers"],
        "x-signedpubkey"
    );
    let closed = node
        .client
        .get(format!("{}/about/nope", node.url))
        .header("origin", "https://app.example");
    assert!(
        !closed
            .send()
            .await
            .unwrap()
            .headers()
            .contains_key("access-control-allow-origin")
    );
    node.stop().await;
}

/// The header that the scheduler sends with a body.
fn sign(account: &Account, body: &str, seconds: u64) -> String {
    let payload = json!({
        "body_sha256": const_hex::encode(Sha256::digest(body)), "iat": seconds, "method": "POST",
        "path": "/control/allocations",
    });
    let payload = payload.to_string();
    let signature = account.sign_text(payload.as_bytes());
    format!(
        "Aleph-EIP191-V1 sig={signature},payload={}",
        const_hex::encode(payload)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allocations_prepare_programs() {
    let core = FakeCore::start().await;
    let scheduler = Account::ethereum(&"22".repeat(32)).unwrap();
    let node = TestNode::start_with(&core, None, |config| {
        config.allocation_signers = vec![scheduler.address().to_owned()];
    })
    .await;
    let component = assemble(HELLO);
    let program = core.wasm_program(&core.store(component.clone()), json!({}));
    let unknown = beth_protocol::ItemHash::of_bytes(b"unknown");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let push = |body: &Value, iat: u64| {
        let body = body.to_string();
        let request = node
            .client
            .post(format!("{}/control/allocations", node.url));
        request
            .header("authorization", sign(&scheduler, &body, iat))
            .body(body)
    };

    let body = json!({"persistent_vms": [], "instances": [], "on_demand_vms": [program], "jobs": null, "other": 1});
    let (status, text) = read(within(push(&body, now).send()).await.unwrap()).await;
    let expected = json!({"success": true, "successful": [program], "failing": [], "stopped": [], "errors": {}});
    assert_eq!(
        (status, serde_json::from_str::<Value>(&text).unwrap()),
        (200, expected)
    );
    let state = node.program(&program).await;
    assert_eq!(
        (&state["state"], &state["fault"]),
        (&json!("prepared"), &json!(null))
    );
    assert_eq!(
        (core.asked(&component), node.wasm.compilations()),
        (1, 1),
        "the first call finds everything"
    );

    let replayed = read(push(&body, now).send().await.unwrap()).await;
    assert_eq!(
        replayed,
        (
            401,
            r#"{"error": "Authentication token received is invalid"}"#.into()
        )
    );

    let both = json!({"on_demand_vms": [program, unknown], "instances": [unknown]});
    let (status, text) = read(within(push(&both, now - 1).send()).await.unwrap()).await;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &report["success"], &report["successful"]),
        (207, &json!(false), &json!([program]))
    );
    let (status, text) = read(
        within(push(&json!({"on_demand_vms": [unknown]}), now).send())
            .await
            .unwrap(),
    )
    .await;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &report["failing"]), (503, &json!([unknown])));
    assert!(
        report["errors"][unknown.as_str()]
            .as_str()
            .unwrap()
            .contains("knows no message"),
        "{report}"
    );

    let (status, text) = read(
        push(&json!({"instances": ["xyz"]}), now)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(status, 400);
    assert!(
        text.contains("Could not determine hash type: 'xyz'"),
        "{text}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named() {
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&core.url, folder.path());
    config.listen = node.url.trim_start_matches("http://").parse().unwrap();
    let port = config.listen.port();
    let error = node::run(config, |_| {}, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("port {port} of 127.0.0.1 is taken")),
        "{error}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_from_a_configuration_and_ends_when_told() {
    let core = FakeCore::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&core.url, folder.path());
    let cancel = CancellationToken::new();
    let (sender, ready) = tokio::sync::oneshot::channel();
    let ended = tokio::spawn(node::run(
        config,
        |address| sender.send(address).unwrap(),
        cancel.clone(),
    ));
    let address = within(ready).await.unwrap();
    let response = crate::fake::client()
        .get(format!("http://{address}/about/login"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 401);
    cancel.cancel();
    within(ended).await.unwrap().unwrap();
}
