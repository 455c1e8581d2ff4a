//! The HTTP API, in the shapes of the shared samples.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fakes::{ComputeNode, CoreNode, Running, forget, hash, program, registry};

async fn ask(router: &Router, path: &str) -> (u16, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Asks until the answer has this status.
async fn ask_until(router: &Router, path: &str, expected: u16) -> Value {
    let begun = Instant::now();
    loop {
        let (status, body) = ask(router, path).await;
        if status == expected {
            return body;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{path}: {status} {body}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Every member of the sample is there, with the same JSON type.
fn assert_shape(actual: &Value, sample: &Value, path: &str) {
    match sample {
        Value::Object(members) => {
            for (name, member) in members {
                assert_shape(&actual[name], member, &format!("{path}/{name}"));
            }
        }
        Value::Array(items) if !actual[0].is_null() => {
            if let Some(item) = items.first() {
                assert_shape(&actual[0], item, &format!("{path}/0"));
            }
        }
        Value::Null => {}
        other => assert_eq!(
            std::mem::discriminant(actual),
            std::mem::discriminant(other),
            "{path}: {actual}"
        ),
    }
}

fn samples() -> Value {
    serde_json::from_str(include_str!(
        "../../../../vectors/network/scheduler/api_samples.json"
    ))
    .unwrap()
}

#[tokio::test]
async fn answers_in_the_shapes_of_the_samples() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store_registry(registry(&[&node]));
    core.store(program("a", 128, false));
    core.store(program("large", 9_000, false));
    let scheduler = Running::start(&core);
    let router = &scheduler.router;

    let mut allocation = ask_until(router, &format!("/api/v0/allocation/{}", hash("a")), 200).await;
    assert_eq!(allocation["node"]["url"], json!(format!("{}/", node.url)));
    assert_eq!(allocation["vm_type"], "micro_vm");
    assert!(
        allocation["reason"]
            .as_str()
            .unwrap()
            .contains("it is the only one"),
        "{allocation}"
    );
    // These machines have no public addresses.
    (allocation["vm_ipv6"], allocation["node"]["ipv6"]) = (json!("x"), json!("x"));
    assert_shape(&allocation, &samples()["GET /api/v0/allocation/<vm>"], "");

    let (status, plan) = ask(router, "/api/v0/plan").await;
    assert_eq!(
        (status, &plan["plan"][node.hash.as_str()]["on_demand_vms"]),
        (200, &json!([hash("a")]))
    );
    assert_shape(
        &plan["period"],
        &samples()["GET /api/v0/plan"]["period"],
        "",
    );
    assert!(
        plan["unplaced"][hash("large").as_str()]
            .as_str()
            .unwrap()
            .contains("9000 MiB")
    );

    let (_, nodes) = ask(router, "/api/v0/nodes").await;
    assert_eq!(
        (&nodes["nodes"][0]["node_id"], &nodes["nodes"][0]["healthy"]),
        (&json!(node.hash), &json!(true))
    );
    scheduler.stop().await;
}

#[tokio::test]
async fn says_why_not() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store_registry(registry(&[&node]));
    core.store(program("large", 9_000, false));
    let scheduler = Running::start(&core);
    let router = &scheduler.router;
    node.told("on_demand_vms", &[]).await;

    let (status, unknown) = ask(router, &format!("/api/v0/allocation/{}", hash("nobody"))).await;
    assert_eq!(
        (status, &unknown["detail"]),
        (404, &json!("this scheduler knows no such workload"))
    );
    assert_eq!(ask(router, "/api/v0/allocation/nonsense").await.0, 404);
    let (status, large) = ask(router, &format!("/api/v0/allocation/{}", hash("large"))).await;
    assert_eq!(status, 404);
    assert!(
        large["refused"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("9000 MiB of memory"),
        "{large}"
    );

    let (status, answer) = ask(router, "/api/v0/simulate?vcpus=1&memory=2048&disk=20480").await;
    assert_eq!(
        (status, answer),
        (
            503,
            json!({"schedulable": false, "reasons": ["it runs no instances"]})
        )
    );
    assert_eq!(ask(router, "/api/v0/simulate?vcpus=one").await.0, 422);
    scheduler.stop().await;
}

/// Asks until the answer is as wished.
async fn ask_for(router: &Router, path: &str, wished: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (status, body) = ask(router, path).await;
        if status == 200 && wished(&body) {
            return body;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{path}: {body}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn rows_and_history_in_the_shapes_of_the_samples() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store_registry(registry(&[&node]));
    core.store(program("a", 128, true));
    core.store(program("large", 9_000, true));
    let scheduler = Running::start(&core);
    let router = &scheduler.router;
    let (samples, a) = (samples(), hash("a"));
    let path = "/api/v1/vms?owners=0x1&status=dispatched&page_size=200&page=1";
    let vms = ask_for(router, path, |vms| vms["items"][0].is_object()).await;
    assert_eq!(vms["items"][0]["vm_hash"], json!(a));
    assert_eq!(vms["items"][0]["observed_nodes"], json!([node.hash]));
    let sample =
        "GET /api/v1/vms?owner=0xaAf798d5F80dAEE72AEe8557B890809E9f5B6072&page_size=200&page=1";
    assert_shape(&vms, &samples[sample], "");
    let (_, one) = ask(router, &format!("/api/v1/vms/{a}")).await;
    assert_shape(&one, &samples["GET /api/v1/vms/<hash>"], "");
    assert_eq!(
        ask(router, &format!("/api/v1/vms/{}", hash("nobody")))
            .await
            .0,
        404
    );
    let (_, large) = ask(router, &format!("/api/v1/vms/{}", hash("large"))).await;
    assert_eq!(large["status"], "unschedulable");
    let (_, none) = ask(router, "/api/v1/vms?owner=0x2").await;
    assert_eq!(none["pagination"]["total_items"], 0);
    assert_eq!(ask(router, "/api/v1/vms?page=0").await.0, 422);

    let tail = &node.hash.as_str()[54..];
    let (_, nodes) = ask(router, &format!("/api/v1/nodes?hash={tail}")).await;
    // This node tells nothing of its processor.
    let mut sample = samples["GET /api/v1/nodes?hash=bb0a"].clone();
    sample["items"][0]["gpus"]["available"] = json!([]);
    assert_shape(&nodes, &sample, "");
    assert_eq!(nodes["items"][0]["status"], "Healthy");
    assert_eq!(nodes["items"][0]["vm_count"], 1);
    let (_, history) = ask(router, &format!("/api/v1/vms/{a}/history")).await;
    assert_eq!(history["items"][0]["action"], "scheduled");
    assert_shape(
        &history["pagination"],
        &samples["GET /api/v1/vms/<hash>/history"]["pagination"],
        "",
    );
    let (_, stats) = ask(router, "/api/v1/stats").await;
    assert_shape(&stats, &samples["GET /api/v1/stats"], "");
    assert_eq!(
        (&stats["total_vms"], &stats["total_vcpus_allocated"]),
        (&json!(2), &json!(1))
    );
    scheduler.stop().await;
}

#[tokio::test]
async fn the_list_of_nodes_says_what_they_say() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store_registry(registry(&[&node]));
    let scheduler = Running::start(&core);
    let answered = |list: &Value| list["crns"][0]["config_from_crn"] == true;
    let list = ask_for(
        &scheduler.router,
        "/crns.json?filter_inactive=true",
        answered,
    )
    .await;
    let sample: Value = serde_json::from_str(include_str!(
        "../../../../vectors/network/scheduler/crns_list_sample.json"
    ))
    .unwrap();
    // It says neither who is paid nor what hardware it has.
    let mut sample = sample["crns"][0].clone();
    for member in [
        "payment_receiver_address",
        "gpu_support",
        "confidential_support",
        "qemu_support",
    ] {
        sample[member] = Value::Null;
    }
    sample["system_usage"]["cpu"]["load_average"] = Value::Null;
    assert_shape(&list["crns"][0], &sample, "");
    scheduler.stop().await;
}

#[tokio::test]
async fn changes_are_told_to_listeners() {
    let (core, node) = (CoreNode::start().await, ComputeNode::start("n1").await);
    core.store_registry(registry(&[&node]));
    let scheduler = Running::start(&core);
    node.told("persistent_vms", &[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/api/v1/ws", listener.local_addr().unwrap());
    let router = scheduler.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    while !core.is_followed() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut next = async || -> Value {
        let frame = tokio::time::timeout(Duration::from_secs(20), socket.next());
        let text = frame.await.unwrap().unwrap().unwrap().into_text().unwrap();
        serde_json::from_str(&text).unwrap()
    };
    core.accept(program("a", 128, true));
    let expected = json!({"type": "VmScheduled", "vmHash": hash("a"), "nodeHash": node.hash});
    assert_eq!(next().await, expected);
    core.accept(forget("a"));
    let expected = json!({"type": "VmUnscheduled", "vmHash": hash("a"), "nodeHash": node.hash});
    assert_eq!(next().await, expected);
    scheduler.stop().await;
}
