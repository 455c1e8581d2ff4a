//! The HTTP API, in the shapes of the shared samples.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fakes::{ComputeNode, CoreNode, Running, hash, program, registry};

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
