//! What every request passes: ids, limits, compression, methods, origins,
//! metrics, checks of health.

mod operators;
mod rates;

use std::io::Read;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::routing::get as get_route;
use beth_ccn::api;
use tower::ServiceExt;

use crate::api::Fixture;
use crate::api::exchange::Answer;

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
async fn caches_keep_the_answers_to_origins_apart() {
    let fixture = Fixture::new(|_| {});
    for headers in [&[][..], &[("origin", "https://app.example")]] {
        let answer = get(&fixture, "/version", headers).await;
        let vary = answer.headers.get_all("vary").iter();
        assert!(vary.into_iter().any(|value| value == "origin"));
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
