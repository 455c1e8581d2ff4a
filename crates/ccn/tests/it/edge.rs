//! What every request passes: ids, limits, compression, methods, origins,
//! metrics, checks of health.

use std::io::Read;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::routing::get as get_route;
use beth_ccn::api;
use beth_http::Peer;
use beth_protocol::time::Timestamp;
use beth_protocol::{Account, MessageType};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::api::Fixture;
use crate::api::exchange::Answer;

const STRANGER: &str = "198.51.100.7:4000";

/// A request that came over a connection from this address.
fn from(address: &str, method: Method, path: &str) -> Builder {
    let peer: SocketAddr = address.parse().unwrap();
    Request::builder()
        .method(method)
        .uri(path)
        .extension(Peer(peer))
}

async fn get(fixture: &Fixture, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(fixture, Method::GET, path, headers).await
}

async fn ask(fixture: &Fixture, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    fixture.ask(request.body(Body::empty()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_an_id() {
    let fixture = Fixture::new(|_| {});
    let given = get(&fixture, "/version", &[("x-request-id", "abc-1")]).await;
    assert_eq!(given.header("x-request-id"), "abc-1");
    let strange = get(&fixture, "/version", &[("x-request-id", "a b {}")]).await;
    let own = get(&fixture, "/nowhere", &[]).await;
    assert!(!strange.header("x-request-id").contains(' '));
    assert!(own.header("x-request-id").len() >= 16);
    assert_ne!(own.header("x-request-id"), strange.header("x-request-id"));
    assert!(own.header("server").starts_with("beth/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_the_length_of_their_bodies() {
    let fixture = Fixture::seeded().await;
    for path in [
        "/version",
        "/api/v0/messages.json",
        "/api/v0/posts.json",
        "/api/v0/channels/list.json",
        "/nowhere",
    ] {
        let whole = get(&fixture, path, &[]).await;
        for accepted in ["identity", "gzip"] {
            let head = ask(
                &fixture,
                Method::HEAD,
                path,
                &[("accept-encoding", accepted)],
            )
            .await;
            assert_eq!((head.status, head.body.len()), (whole.status, 0), "{path}");
            assert_eq!(
                head.header("content-length"),
                whole.body.len().to_string(),
                "{path}"
            );
            assert_eq!(
                head.header("content-type"),
                whole.header("content-type"),
                "{path}"
            );
            assert_eq!(head.header("content-encoding"), "", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_a_path_does_not_have_are_told() {
    let fixture = Fixture::new(|_| {});
    for (method, path, allowed) in [
        (Method::POST, "/version", "GET,HEAD,OPTIONS"),
        (Method::DELETE, "/api/v0/messages.json", "GET,HEAD,OPTIONS"),
        (Method::GET, "/api/v0/storage/add_file", "OPTIONS,POST"),
        (Method::PUT, "/api/v0/messages", "OPTIONS,POST"),
    ] {
        let answer = ask(&fixture, method, path, &[("origin", "https://app.example")]).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, allowed),
            "{path}"
        );
        assert_eq!(answer.text(), "405: Method Not Allowed");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "https://app.example"
        );
    }
    let unknown = get(&fixture, "/version/", &[("origin", "https://app.example")]).await;
    assert_eq!(
        (unknown.status, unknown.text().as_str()),
        (StatusCode::NOT_FOUND, "404: Not Found")
    );
    assert_eq!(unknown.header("access-control-allow-origin"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn preflights_are_answered_for_what_a_path_has() {
    let fixture = Fixture::new(|_| {});
    let preflight = async |path: &str, method: &str| {
        let headers = [
            ("origin", "https://app.example"),
            ("access-control-request-method", method),
            ("access-control-request-headers", "content-type,x-a"),
        ];
        ask(&fixture, Method::OPTIONS, path, &headers).await
    };
    let good = preflight("/api/v0/messages.json", "HEAD").await;
    assert_eq!(
        (good.status, good.header("access-control-allow-methods")),
        (StatusCode::OK, "HEAD")
    );
    assert_eq!(
        good.header("access-control-allow-headers"),
        "CONTENT-TYPE,X-A"
    );
    assert_eq!((good.header("content-length"), good.body.len()), ("0", 0));
    let bad = preflight("/version", "DELETE").await;
    assert_eq!(bad.status, StatusCode::FORBIDDEN);
    assert_eq!(
        bad.text(),
        "CORS preflight request failed: request method 'DELETE' is not allowed for 'https://app.example' origin"
    );
    assert_eq!(
        preflight("/nowhere", "GET").await.status,
        StatusCode::NOT_FOUND
    );
    let bare = ask(&fixture, Method::OPTIONS, "/version", &[]).await;
    assert_eq!(
        (bare.status, bare.text().as_str()),
        (
            StatusCode::FORBIDDEN,
            "CORS preflight request failed: origin header is not specified in the request"
        )
    );
}

fn unpacked(answer: &Answer) -> String {
    let mut text = String::new();
    match answer.header("content-encoding") {
        "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text),
        "deflate" => flate2::read::ZlibDecoder::new(&answer.body[..]).read_to_string(&mut text),
        other => panic!("{other:?}"),
    }
    .unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_compressed_for_those_who_take_it() {
    let fixture = Fixture::seeded().await;
    let path = "/api/v0/messages.json?pagination=100";
    let plain = get(&fixture, path, &[]).await;
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        ("", "accept-encoding")
    );
    for (accepted, used) in [
        ("gzip, deflate", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip;q=0", "deflate"),
    ] {
        let packed = get(&fixture, path, &[("accept-encoding", accepted)]).await;
        assert_eq!(packed.header("content-encoding"), used, "{accepted}");
        assert_eq!(packed.header("vary"), "accept-encoding");
        assert!(packed.body.len() < plain.body.len() / 2);
        assert_eq!(unpacked(&packed), plain.text());
    }
    let short = get(&fixture, "/version", &[("accept-encoding", "gzip")]).await;
    assert_eq!(short.header("content-encoding"), "");
    // Whatever a raw file looks like, clients read its length.
    let content = "{\"a\": 1}".repeat(1_000);
    let upload = Request::post("/api/v0/storage/add_file")
        .body(Body::from(content.clone()))
        .unwrap();
    let hash = fixture.ask(upload).await.json()["hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let raw = get(
        &fixture,
        &format!("/api/v0/storage/raw/{hash}"),
        &[("accept-encoding", "gzip")],
    )
    .await;
    assert_eq!(
        (raw.header("content-encoding"), raw.header("content-length")),
        ("", "8000")
    );
    assert_eq!(raw.text(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let fixture = Fixture::new(|config| {
        let rate = &mut config.http.rate;
        (rate.reads_per_second, rate.reads_burst) = (1, 3);
        (rate.upload_bytes_per_second, rate.upload_bytes_burst) = (1_000, 1_000);
        config.http.trusted_proxies = vec!["203.0.113.1".into()];
    });
    let read = async |from_whom: &str, forwarded: &str| {
        let request = from(from_whom, Method::GET, "/version").header("x-forwarded-for", forwarded);
        fixture.ask(request.body(Body::empty()).unwrap()).await
    };
    for _ in 0..3 {
        assert_eq!(read(STRANGER, "").await.status, StatusCode::OK);
    }
    // A stranger cannot pretend to be another one.
    let refused = read(STRANGER, "198.51.100.8").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, "1")
    );
    assert!(
        refused.text().starts_with("too many reads: wait 1 s"),
        "{}",
        refused.text()
    );
    // A proxy speaks for many, this machine asks as often as it likes.
    assert_eq!(
        read("203.0.113.1:1", "198.51.100.7").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(
        read("203.0.113.1:1", "198.51.100.9").await.status,
        StatusCode::OK
    );
    for _ in 0..5 {
        assert_eq!(read("127.0.0.1:1", "").await.status, StatusCode::OK);
    }
    let upload = async || {
        let request = from(STRANGER, Method::POST, "/api/v0/storage/add_file");
        fixture
            .ask(request.body(Body::from(vec![b'x'; 50_000])).unwrap())
            .await
    };
    assert_eq!(upload().await.status, StatusCode::OK);
    let later = upload().await;
    assert_eq!(later.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = later.header("retry-after").parse().unwrap();
    assert!((45..=49).contains(&wait), "{wait}");
    let text = fixture.get("/metrics").await.text();
    for line in [
        "rate_limited_total{kind=\"reads\"} 2",
        "rate_limited_total{kind=\"uploads\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_nobody_is_a_program_of_this_machine() {
    let fixture = Fixture::new(|config| {
        let rate = &mut config.http.rate;
        (rate.reads_per_second, rate.reads_burst) = (1, 3);
        config.http.trusted_proxies = vec!["127.0.0.1".into()];
    });
    let read = async |forwarded: &[u8]| {
        let forwarded = HeaderValue::from_bytes(forwarded).unwrap();
        let request =
            from("127.0.0.1:1", Method::GET, "/version").header("x-forwarded-for", forwarded);
        let answer = fixture.ask(request.body(Body::empty()).unwrap());
        answer.await.status
    };
    for _ in 0..3 {
        assert_eq!(read(b"nonsense").await, StatusCode::OK);
    }
    assert_eq!(read(b"nonsense").await, StatusCode::TOO_MANY_REQUESTS);
    // What the client put in front of the list changes nothing.
    for _ in 0..3 {
        assert_eq!(read(b"\xe9, 198.51.100.9").await, StatusCode::OK);
    }
    let again = read(b"198.51.100.9").await;
    assert_eq!(again, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_keep_the_answers_to_origins_apart() {
    let fixture = Fixture::new(|_| {});
    for headers in [&[][..], &[("origin", "https://app.example")]] {
        let answer = get(&fixture, "/version", headers).await;
        let vary = answer.headers.get_all("vary").iter();
        assert!(vary.into_iter().any(|value| value == "origin"));
    }
}

fn post(account: &Account, number: i64) -> Value {
    let time = Timestamp::from_seconds(1_793_500_000 + number);
    let content =
        json!({"address": account.address(), "time": time, "type": "t", "content": number});
    json!({"message": account.sign_message(MessageType::Post, &content, None, time)})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_has_a_rate_that_others_cannot_use_up() {
    let fixture = Fixture::new(|config| {
        let rate = &mut config.http.rate;
        (rate.sender_messages_per_second, rate.sender_messages_burst) = (1, 2);
    });
    let submit = async |address: &str, body: &Value| {
        let request = from(address, Method::POST, "/api/v0/messages");
        fixture
            .ask(request.body(Body::from(body.to_string())).unwrap())
            .await
            .status
    };
    let account = Account::ethereum(&"11".repeat(32)).unwrap();
    // Forged messages in his name are refused and cost him nothing.
    for number in 0..10 {
        let mut forged = post(&account, number);
        forged["message"]["signature"] = json!(format!("0x{}", "22".repeat(65)));
        assert_eq!(submit(STRANGER, &forged).await, StatusCode::ACCEPTED);
    }
    let mut taken = 0;
    for number in 10..20 {
        let from_anywhere = format!("198.51.100.{number}:1");
        match submit(&from_anywhere, &post(&account, number)).await {
            StatusCode::ACCEPTED => taken += 1,
            other => assert_eq!(other, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert!((2..=5).contains(&taken), "{taken} of 10 were taken");
}

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
        serde_json::from_str(include_str!("../../../../vectors/api/captures/get.json")).unwrap();
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
    let dashboard = include_str!("../../../../deploy/grafana/core-node.json");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_answers_500_and_the_node_lives() {
    let fixture = Fixture::new(|_| {});
    let broken = Router::new().route(
        "/broken",
        get_route(async || -> String { panic!("as asked") }),
    );
    let router = api::router_with(fixture.context.clone(), broken);
    let ask = async |path: &str| {
        let request = Request::get(path).header("origin", "https://app.example");
        let request = request.header("x-request-id", "mine");
        let response = router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await;
        Answer::read(response.unwrap()).await
    };
    let failed = ask("/broken").await;
    assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        failed.text(),
        "500 Internal Server Error\n\nServer got itself in trouble"
    );
    assert_eq!(
        (failed.header("connection"), failed.header("x-request-id")),
        ("close", "mine")
    );
    assert_eq!(ask("/version").await.status, StatusCode::OK);
    let text = ask("/metrics").await.text();
    assert!(text.contains("beth_ccn_http_panics_total 1"), "{text}");
}
