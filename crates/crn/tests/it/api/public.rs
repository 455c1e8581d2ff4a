//! What a node tells of itself and keeps for others, against what upstream answers.

use beth_crn::workloads::Kind;
use beth_protocol::ItemHash;
use serde_json::{Value, json};

use super::scene::{Scene, same, vectors};
use crate::fake::instances::machine;
use crate::fake::wallet::Wallet;
use crate::fake::{BEHAVIOURS, FakeCore, TestNode, assemble, read, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_reservations() {
    let scene = Scene::new().await;
    let cases = vectors();
    let text = include_str!("../../../../../vectors/crn/messages.json");
    let messages: Value = serde_json::from_str(text).unwrap();
    let content = |name: &str| messages["messages"][name]["content"].clone();
    let reserve = async |content: &Value| {
        let request = scene.ask("POST", "/control/reserve_resources");
        read(
            within(request.body(content.to_string()).send())
                .await
                .unwrap(),
        )
        .await
    };
    let (status, body) = reserve(&content("instance_gpu_credit")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["status"]),
        (200, &json!("reserved")),
        "{body}"
    );
    let expires = body["expires"].as_str().unwrap();
    let recorded = &cases["responses"]["reserve_ok"]["body"]["expires"];
    let form = |text: &str| {
        text.split(['.', '+'])
            .next()
            .unwrap()
            .replace(|c: char| c.is_ascii_digit(), "0")
    };
    assert_eq!(form(expires), form(recorded.as_str().unwrap()));
    // The card is kept for whoever asked first.
    let usage: Value =
        serde_json::from_str(&scene.says("GET", "/about/usage/system").await.1).unwrap();
    let count = |member: &str| usage["gpu"][member].as_array().unwrap().len();
    assert_eq!((count("devices"), count("available_devices")), (1, 0));
    let stranger = Wallet::stranger();
    let headers = stranger.headers("POST", "/control/reserve_resources");
    let request = scene.request("POST", "/control/reserve_resources", &headers);
    let request = request.body(content("instance_gpu_credit").to_string());
    let (status, body) = read(within(request.send()).await.unwrap()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["error"]),
        (400, &json!("Failed to reserves all resources"))
    );
    let mut large = content("instance_credit");
    large["resources"]["memory"] = json!(1_000_000);
    same(
        "reserve_nocap",
        &cases["responses"]["reserve_nocap"],
        &reserve(&large).await,
    );
    let (status, body) = reserve(&json!({"address": "0x0"})).await;
    let faults: String = serde_json::from_str(&body).unwrap();
    let faults: Value = serde_json::from_str(&faults).unwrap();
    assert_eq!(
        (status, faults.as_array().unwrap().is_empty()),
        (400, false)
    );
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_lists() {
    let scene = Scene::new().await;
    let text = include_str!("../../../../../vectors/crn/api_responses.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let v2 = &vectors["responses"]["v2_about_exec_list"]["body"];
    let time = |text: &Value| {
        let text = text.as_str()?.replacen(' ', "T", 1);
        let micros = beth_protocol::time::Timestamp::from_iso(&text)?.micros();
        Some(std::time::UNIX_EPOCH + std::time::Duration::from_micros(micros as u64))
    };
    for (name, entry) in v2.as_object().unwrap() {
        let name = ItemHash::parse(name).unwrap();
        let mut known = machine(&name, scene.owner.0.address());
        known.networking = Some(serde_json::from_value(entry["networking"].clone()).unwrap());
        if entry["vm_type"] == "microvm" {
            known.kind = Kind::Microvm;
        }
        let steps = &entry["status"];
        known.steps.defined_at = time(&steps["defined_at"]);
        known.steps.preparing_at = time(&steps["preparing_at"]);
        known.steps.prepared_at = time(&steps["prepared_at"]);
        known.steps.starting_at = time(&steps["starting_at"]);
        known.steps.started_at = time(&steps["started_at"]);
        scene.instances.put(known);
    }
    // Register 6: one machine without addresses neither breaks nor enters a list.
    scene
        .instances
        .put(machine(&ItemHash::of_bytes(b"preparing"), "0x0"));
    for name in ["about_exec_list", "v2_about_exec_list"] {
        let case = &vectors["responses"][name];
        let answer = scene
            .says("GET", case["request"]["path"].as_str().unwrap())
            .await;
        let length = case["headers"]["Content-Length"].as_str().unwrap();
        assert_eq!(answer.1.len().to_string(), length, "{name}: every byte");
        same(name, case, &answer);
    }
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_2_the_token_opens_what_is_closed() {
    let scene = Scene::new().await;
    let token = scene.node.folder.path().join("crn/login_token");
    let token = std::fs::read_to_string(token).unwrap();
    let response = scene.node.get(&format!("/about/login?token={token}")).await;
    assert_eq!(response.status().as_u16(), 302);
    assert_eq!(response.headers()["location"], "/about/config");
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let text = include_str!("../../../../../vectors/crn/messages.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let mut message = vectors["messages"]["instance_credit"].clone();
    let name = scene.core.insert(&message);
    message["content"]["variables"] = json!(null);
    scene.instances.put(machine(&name, scene.owner.0.address()));
    for path in ["/about/config", "/about/executions/details"] {
        let url = format!("{}{path}", scene.node.url);
        let closed = read(scene.node.client.get(&url).send().await.unwrap()).await;
        assert_eq!(closed, (401, r#"{"error": "401 Invalid token"}"#.into()));
        let wrong = scene
            .node
            .client
            .get(&url)
            .header("cookie", format!("{cookie}x"));
        assert_eq!(wrong.send().await.unwrap().status().as_u16(), 401);
        let open = scene
            .node
            .client
            .get(&url)
            .header("cookie", format!("a=b; {cookie}"));
        let open = read(open.send().await.unwrap()).await;
        assert_eq!(open.0, 200, "{}", open.1);
        assert!(!open.1.contains(&token), "the token is told to nobody");
    }
    // Register 24: records are public, variables are not.
    let (status, records) = scene.says("GET", "/about/executions/records").await;
    assert_eq!(status, 200);
    let records: Value = serde_json::from_str(&records).unwrap();
    let record = records
        .as_array()
        .unwrap()
        .iter()
        .find(|record| record["vm_hash"] == name.as_str())
        .unwrap();
    assert_eq!(record["message"]["variables"], json!(null));
    assert_eq!(
        record["message"]["resources"]["vcpus"],
        message["content"]["resources"]["vcpus"]
    );
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_node_sends_callers_elsewhere() {
    let text = include_str!("../../../../../vectors/crn/api_responses.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let core = FakeCore::start().await;
    let node = TestNode::start(&core).await;
    let program = core.wasm_program(
        &core.store(assemble(BEHAVIOURS)),
        json!({"/resources/seconds": 3}),
    );
    assert_eq!(node.call(&program, "/print").await.0, 200);
    // A call is under way: the node lives until it ends.
    let looping = node.call(&program, "/loop");
    let others = async {
        within(async {
            while node.program(&program).await["calls"] != 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        node.cancel();
        let path = "/status/check/version?reference=1.0";
        within(async {
            let vm = format!("/vm/{program}/");
            while read(node.get(&vm).await).await.0 != 503 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for name in ["drain_vm", "drain_host"] {
            let case = &vectors["responses"][name];
            let request = &case["request"];
            let url = format!("{}{}", node.url, request["path"].as_str().unwrap());
            let host = request["headers"]["Host"].as_str().unwrap();
            let sent = node.client.get(url).header("host", host).send();
            same(name, case, &read(within(sent).await.unwrap()).await);
        }
        assert_eq!(
            read(node.get(path).await).await.0,
            200,
            "it still says how it is"
        );
        let told = read(node.get("/beth/v1/machines").await).await.1;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["node"]["is_draining"], true);
    };
    let (looped, ()) = tokio::join!(looping, others);
    assert_eq!(looped.0, 504, "{}", looped.1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_for_our_own_clients() {
    let scene = Scene::new().await;
    let (status, told) = scene.says("GET", "/beth/v1/machines").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (status, &told["machines"][0]["item_hash"]),
        (200, &json!(super::scene::MACHINE))
    );
    assert_eq!(told["machines"][0]["state"], "running");
    assert_eq!(told["node"]["gpus_free"], 1);
    let path = format!("/beth/v1/machines/{}", super::scene::MACHINE);
    let (status, one) = scene.says("GET", &path).await;
    assert_eq!(
        (status, serde_json::from_str::<Value>(&one).unwrap()),
        (200, told["machines"][0].clone())
    );
    let (status, logs) = scene.says("GET", &format!("{path}/logs")).await;
    assert_eq!((status, logs.as_str()), (200, r#"{"lines": []}"#));
    let listening =
        std::fs::read_to_string(scene.node.folder.path().join("crn/listening")).unwrap();
    assert_eq!(format!("http://{listening}"), scene.node.url);
    scene.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn self_checks_have_their_form() {
    let core = FakeCore::start().await;
    let here = core.url.clone();
    let node = TestNode::start_with(&core, None, |config| {
        config.checks.ipv4_url = here;
        config.checks.ipv6_url = String::new();
        config.checks.dns_hostname = "localhost".into();
        config.checks.http_urls = Vec::new();
    })
    .await;
    let (status, body) = read(node.get("/status/check/host").await).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["ipv4"]["egress"], &body["ipv6"]["egress"]),
        (503, &json!(true), &json!(false))
    );
    assert_eq!(body["ipv4"]["http"], false);
    // The diagnostic program is not on this network: every check fails, in order.
    let (status, body) = read(node.get("/status/check/fastapi").await).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    let expected = [
        "index",
        "environ",
        "messages",
        "dns",
        "ipv4",
        "internet",
        "cache",
        "persistent_storage",
        "error_handling",
        "get_a_message",
        "lifespan",
    ];
    assert_eq!((status, names.len()), (503, expected.len()));
    assert!(
        names
            .iter()
            .zip(expected)
            .all(|(ours, theirs)| *ours == theirs),
        "{names:?}"
    );
    let (_, body) = read(
        node.get("/status/check/fastapi?retro-compatibility=true")
            .await,
    )
    .await;
    assert!(!body.contains("lifespan"));
    let (status, body) = read(node.get("/status/check/ipv6").await).await;
    assert_eq!(
        (status, body.as_str()),
        (200, r#"{"host": false, "vm": false}"#)
    );
    let (status, body) = read(node.get("/about/capability").await).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert!(
        body["cpu"]["count"].as_u64().unwrap() > 0 && body["memory"]["size"].as_u64().unwrap() > 0
    );
    let text = include_str!("../../../../../vectors/crn/usage_capability.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let case = &vectors["responses"]["/about/certificates"];
    same(
        "certificates",
        case,
        &read(node.get("/about/certificates").await).await,
    );
    node.stop().await;
}

/// The list that clients choose a node from is made of these figures.
#[test]
fn a_list_of_nodes_has_what_usage_tells() {
    let text = include_str!("../../../../../vectors/crn/crns_list.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let text = include_str!("../../../../../vectors/crn/usage_capability.json");
    let usage: Value = serde_json::from_str(text).unwrap();
    let usage = &usage["responses"]["/about/usage/system"]["body"];
    for node in vectors["body"]["crns"].as_array().unwrap() {
        let Some(listed) = node["system_usage"].as_object() else {
            continue;
        };
        for (part, members) in listed {
            for name in members.as_object().unwrap().keys() {
                assert!(usage[part].get(name).is_some(), "{part}.{name}");
            }
        }
    }
}
