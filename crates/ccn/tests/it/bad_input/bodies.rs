//! HTTP bodies that are no message.

use http::{Request, StatusCode};
use serde_json::json;
use tower::ServiceExt;

use super::Offline;

/// What is sent, and how the answer begins (core-api.md §4.1).
fn bodies() -> Vec<(Vec<u8>, &'static str)> {
    const NO_JSON: &str = "422: Unprocessable Entity";
    const FAULTS: &str = "[{";
    let text = |text: &str, answer| (text.as_bytes().to_vec(), answer);
    let nested = |levels: usize| {
        let deep = "[".repeat(levels) + &"]".repeat(levels);
        (format!(r#"{{"message":{deep}}}"#).into_bytes(), NO_JSON)
    };
    vec![
        text("", NO_JSON),
        text("{", NO_JSON),
        text("nul", NO_JSON),
        text("{'message':{}}", NO_JSON),
        text(r#"{"message":{}} x"#, NO_JSON),
        text(r#"{"message":{"time":NaN}}"#, NO_JSON),
        text(r#"{"message":{"time":-Infinity}}"#, NO_JSON),
        text(r#"{"message":{"time":1e400}}"#, NO_JSON),
        text(r#"{"message":{"channel":"\ud800"}}"#, NO_JSON),
        text(r#"{"message":{"channel":"\udc00\ud800"}}"#, NO_JSON),
        text("{\"message\":{\"channel\":\"a\0b\"}}", NO_JSON),
        (
            b"{\"message\":{\"channel\":\"\xff\xfe\"}}".to_vec(),
            NO_JSON,
        ),
        (
            b"{\"message\":{\"channel\":\"\xed\xa0\x80\"}}".to_vec(),
            NO_JSON,
        ),
        (b"\xef\xbb\xbf{\"message\":{}}".to_vec(), NO_JSON),
        nested(1_100),
        nested(100_000),
        ("[".repeat(1_000_000).into_bytes(), NO_JSON),
        (r#"{"a":"#.repeat(200_000).into_bytes(), NO_JSON),
        text("[]", FAULTS),
        text("5", FAULTS),
        text("{}", FAULTS),
        text(r#"{"message":5}"#, FAULTS),
        text(r#"{"message":null}"#, FAULTS),
        text(r#"{"message":[]}"#, FAULTS),
        text(r#"{"sync":"maybe","message":{}}"#, FAULTS),
        text(r#"{"message":{}}"#, "InvalidMessageFormat"),
        text(r#"{"message":{"type":"POST"}}"#, "InvalidMessageFormat"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_message() {
    let node = Offline::new();
    for (body, expected) in bodies() {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let (status, answer) = node.submit(body).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{shown}: {answer}"
        );
        assert!(answer.starts_with(expected), "{shown}: {answer}");
    }
    node.still_works().await;
}

/// Clients expect exactly that body; a header says what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_tells_what_is_wrong() {
    let node = Offline::new();
    let mut message = node.post(json!("é"));
    message["chain"] = json!("é\u{1}");
    let body = json!({ "message": message }).to_string();
    let request = Request::post("/api/v0/messages")
        .body(axum::body::Body::from(body))
        .unwrap();
    let response = node.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let reason = response.headers()["x-beth-reason"].to_str().unwrap();
    assert!(
        reason.starts_with("error 0: the message does not follow the format; "),
        "{reason}"
    );
    assert!(reason.contains("Input should be 'ARB', "), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_larger_than_a_megabyte() {
    let node = Offline::new();
    let (status, answer) = node.submit(vec![b' '; 1_048_577]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
    node.still_works().await;
}

/// A member named twice: the last one counts, as with every parser in use.
#[tokio::test(flavor = "multi_thread")]
async fn members_named_twice() {
    let node = Offline::new();
    let post = node.post(json!("twice"));
    let text = post
        .to_string()
        .replacen('{', r#"{"sender":5,"time":"x","#, 1);
    let (status, answer) = node
        .submit(format!(r#"{{"sync":true,"message":{text}}}"#))
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let last = node.post(json!("the last counts")).to_string();
    let text = format!(r#"{},"sender":5}}"#, &last[..last.len() - 1]);
    let (status, answer) = node
        .submit(format!(r#"{{"sync":true,"message":{text}}}"#))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    node.still_works().await;
}
