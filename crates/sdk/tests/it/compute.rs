//! Placement and compute nodes.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use beth_protocol::ItemHash;
use beth_sdk::compute::{ProgramCall, ProgramStage};
use beth_sdk::scheduler::Decision;
use beth_sdk::{ComputeNode, Error, Scheduler};
use serde_json::json;

use crate::fake;

#[tokio::test]
async fn the_three_decisions() {
    let [placed, unplaced, unknown] =
        ["placed", "unplaced", "unknown"].map(|name| ItemHash::of_bytes(name.as_bytes()));
    let (first, second) = (placed.to_string(), unplaced.to_string());
    let allocation = move |Path(hash): Path<String>| async move {
        if hash == first {
            let node = json!({"node_id": "n", "url": "http://127.0.0.1:4020/", "ipv6": null, "supports_ipv6": false});
            let core = json!({"node_id": "c", "name": "first", "url": null});
            json!({"vm_hash": hash, "vm_type": "micro_vm", "node": node, "core_node": core, "reason": "the only one"})
                .to_string()
                .into_response()
        } else if hash == second {
            (
                StatusCode::NOT_FOUND,
                json!({"reason": "too little memory"}).to_string(),
            )
                .into_response()
        } else {
            (StatusCode::NOT_FOUND, "404: Not Found").into_response()
        }
    };
    let plan = || async {
        json!({"period": {}, "plan": {"n": {"persistent_vms": {}, "instances": null, "on_demand_vms": []}}}).to_string()
    };
    let router = Router::new()
        .route("/api/v0/allocation/{hash}", get(allocation))
        .route("/api/v0/plan", get(plan));
    let scheduler = Scheduler::new(&fake::serve(router).await).unwrap();
    let Decision::Placed(allocation) = scheduler.allocation(&placed).await.unwrap() else {
        panic!("it is placed")
    };
    assert_eq!(
        (
            allocation.node.node_id.as_str(),
            allocation.reason.as_deref()
        ),
        ("n", Some("the only one"))
    );
    assert_eq!(
        scheduler.allocation(&unplaced).await.unwrap(),
        Decision::Unplaced("too little memory".into())
    );
    assert_eq!(
        scheduler.allocation(&unknown).await.unwrap(),
        Decision::Unknown
    );
    assert!(scheduler.plan().await.unwrap().contains_key("n"));
    assert!(matches!(
        scheduler.nodes().await,
        Err(Error::Malformed { .. })
    ));
}

#[tokio::test]
async fn a_call_reaches_the_program_as_it_is() {
    let hash = ItemHash::of_bytes(b"program");
    let echo = |Path(path): Path<String>,
                RawQuery(query): RawQuery,
                headers: HeaderMap,
                body: Bytes| async move {
        let said = format!(
            "{path}?{} {:?} {}",
            query.unwrap_or_default(),
            headers["x-a"],
            body.len()
        );
        (
            StatusCode::IM_A_TEAPOT,
            [("Aleph-Program-ItemHash", "x")],
            said,
        )
    };
    let state = |Path(hash): Path<String>| async move {
        json!({"item_hash": hash, "executor": "wasm", "state": "running", "phases": [], "fault": null, "traceback": null}).to_string()
    };
    let router = Router::new()
        .route("/vm/{*path}", any(echo))
        .route("/beth/v1/programs/{hash}", get(state));
    let node = ComputeNode::new(&fake::serve(router).await).unwrap();
    let call = ProgramCall {
        method: reqwest::Method::PUT,
        path: "/a/b?c=%20d".into(),
        headers: vec![("X-A".into(), "1".into())],
        body: "12345".into(),
        ..ProgramCall::default()
    };
    let answer = node.call(&hash, call).await.unwrap();
    assert_eq!(answer.status, 418);
    assert!(answer.is_from_program());
    assert_eq!(
        &answer.body[..],
        format!("{hash}/a/b?c=%20d \"1\" 5").as_bytes()
    );
    assert_eq!(
        node.program(&hash).await.unwrap().unwrap().state,
        ProgramStage::Running
    );

    let upstream = ComputeNode::new(&fake::serve(Router::new()).await).unwrap();
    assert_eq!(upstream.program(&hash).await.unwrap(), None);
    assert!(
        !upstream
            .call(&hash, ProgramCall::default())
            .await
            .unwrap()
            .is_from_program()
    );
}
