//! What an operator sees: health, counts, upstream's metrics, the dashboard.

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::api::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_whether_it_is_alive_and_ready() {
    let fixture = Fixture::new(|_| {});
    let alive = fixture.get("/health").await;
    assert_eq!(
        (alive.status, alive.json()["status"].clone()),
        (StatusCode::OK, json!("alive"))
    );
    let ready = fixture.get("/ready").await;
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text());
    for check in ["database", "writer", "queues", "gossip", "disk"] {
        assert_eq!(ready.json()["checks"][check]["ok"], json!(true), "{check}");
    }
    let poor = Fixture::new(|config| {
        config.http.disk_free_bytes_min = u64::MAX;
        config.p2p.bootstrap = vec!["/ip4/192.0.2.1/tcp/1/p2p/x".into()];
    });
    let unready = poor.get("/ready").await;
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
    let checks = unready.json()["checks"].clone();
    let good = |name: &str| checks[name]["ok"].clone();
    assert_eq!(
        [good("disk"), good("gossip"), good("database")],
        [json!(false), json!(false), json!(true)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted() {
    let fixture = Fixture::seeded().await;
    fixture.get("/api/v0/messages.json").await;
    fixture.get("/nowhere").await;
    let text = fixture.get("/metrics").await.text();
    for line in [
        "beth_ccn_http_requests_total{method=\"GET\",route=\"/api/v0/messages.json\",status=\"2xx\"} 1",
        "beth_ccn_http_requests_total{method=\"GET\",route=\"unknown\",status=\"4xx\"} 1",
        "beth_ccn_messages 24",
        "beth_ccn_messages_pending 1",
        "beth_ccn_http_requests_in_flight 1",
    ] {
        assert!(
            text.lines().any(|known| known == line),
            "{line} is not in\n{text}"
        );
    }
    let number = |start: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("{start}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(number("beth_ccn_messages_received_total{source=\"client\"}") >= 20.0);
    assert!(number("beth_ccn_messages_settled_total{outcome=\"processed\"}") >= 20.0);
    assert!(number("beth_ccn_batch_messages_count") >= 20.0);
    assert!(number("beth_ccn_database_bytes{file=\"log\"}") > 1e5);
    assert!(number("process_resident_memory_bytes") > 1e6);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_metrics_are_complete_and_in_order() {
    let recorded: Value =
        serde_json::from_str(include_str!("../../../../../vectors/api/captures/get.json")).unwrap();
    let body_of = |path: &str| {
        let entry = recorded
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["path"] == path)
            .unwrap();
        entry["expect"]["body"].as_str().unwrap().to_owned()
    };
    let fixture = Fixture::seeded().await;
    let names = |text: &str| -> Vec<String> {
        let fields: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
        fields.keys().cloned().collect()
    };
    assert_eq!(
        names(&fixture.get("/metrics.json").await.text()),
        names(&body_of("/metrics.json"))
    );
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("pyaleph_"));
        lines
            .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
            .collect()
    };
    let mut ours = names(&fixture.get("/metrics").await.text());
    // Scoring needs a number where upstream without a chain has none.
    ours.retain(|name| name != "pyaleph_status_chain_eth_height_remaining_total");
    assert_eq!(ours, names(&body_of("/metrics")));
    let headers: HeaderMap = fixture.get("/metrics").await.headers;
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_metrics_that_exist() {
    let dashboard = include_str!("../../../../../deploy/grafana/core-node.json");
    let panels: Value = serde_json::from_str(dashboard).unwrap();
    let shown = panels["panels"].as_array().unwrap().iter();
    let targets = shown
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let expressions: Vec<&str> = targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(expressions.len() > 30, "{}", expressions.len());
    let fixture = Fixture::new(|_| {});
    let upstream = fixture.get("/metrics.json").await.json();
    let text = fixture.get("/metrics").await.text();
    let ours = fixture.context.metrics.names();
    let exists = |name: &str| {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        ours.iter()
            .any(|known| known == name || Some(known.as_str()) == base)
            || upstream.get(name).is_some()
            || (name.starts_with("process_") && text.contains(&format!("\n{name} ")))
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expressions
        .iter()
        .flat_map(|expression| expression.split(|c| !is_part(c)));
    let names: Vec<&str> = words
        .filter(|word| {
            ["beth_", "pyaleph_", "process_"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .collect();
    assert!(names.len() > 30);
    for name in &names {
        assert!(exists(name), "{name} is shown but does not exist");
    }
    // And the other way round: what we count, somebody sees.
    for name in ours {
        let is_seen = names.iter().any(|shown| shown.starts_with(name.as_str()));
        assert!(is_seen, "{name} is in no panel");
    }
}
