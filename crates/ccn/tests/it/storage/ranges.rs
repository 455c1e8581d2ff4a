//! Parts of files, and files that a client has already.

use axum::body::Body;
use http::Request;

use super::Storage;
use crate::api::exchange::Answer;

struct Kept {
    storage: Storage,
    path: String,
    tag: String,
    bytes: Vec<u8>,
}

impl Kept {
    async fn file(size: usize) -> Kept {
        let storage = Storage::start().await;
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let request = Request::post("/api/v0/storage/add_file");
        let request = request.body(Body::from(bytes.clone())).unwrap();
        let answer = storage.node.ask(request).await.json();
        let hash = answer["hash"].as_str().unwrap();
        Kept {
            path: format!("/api/v0/storage/raw/{hash}"),
            tag: format!("\"{hash}\""),
            storage,
            bytes,
        }
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(&self.path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.storage
            .node
            .ask(request.body(Body::empty()).unwrap())
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_part() {
    let kept = Kept::file(700_000).await;
    for (range, first, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=262143-262145", 262_143, 262_146),
        ("bytes=699999-", 699_999, 700_000),
        ("bytes=-5", 699_995, 700_000),
        ("bytes=10-99999999", 10, 700_000),
    ] {
        let part = kept.get(&[("range", range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.body, kept.bytes[first..end], "{range}");
        let length = (end - first).to_string();
        assert_eq!(part.header("content-length"), length);
        let of = format!("bytes {first}-{}/700000", end - 1);
        assert_eq!(part.header("content-range"), of);
        assert_eq!(part.header("content-type"), "application/octet-stream");
    }
    let beyond = kept.get(&[("range", "bytes=700000-")]).await;
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), "bytes */700000");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_parts() {
    let kept = Kept::file(1_000).await;
    let parts = kept
        .get(&[("range", "bytes=0-1, 500-502, -1, 5000-")])
        .await;
    assert_eq!(parts.status, 206);
    let kind = parts.header("content-type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for (first, end) in [(0, 2), (500, 503), (999, 1_000)] {
        let last = end - 1;
        expected.extend(format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/1000\r\n\r\n").bytes());
        expected.extend(&kept.bytes[first..end]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert_eq!(parts.body, expected);
    assert_eq!(parts.header("content-length"), expected.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_nothing_is_ignored() {
    let kept = Kept::file(1_000).await;
    let many = vec!["1-1"; 100].join(",");
    for range in [
        "bytes=5-4",
        "items=0-1",
        "bytes=0-,0-,0-",
        &format!("bytes={many}"),
    ] {
        let whole = kept.get(&[("range", range)]).await;
        assert_eq!(
            (whole.status.as_u16(), whole.body.len()),
            (200, 1_000),
            "{range}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_another_version_are_not_sent() {
    let kept = Kept::file(1_000).await;
    let weak = format!("W/{}", kept.tag);
    for (known, status) in [
        (kept.tag.as_str(), 206),
        ("\"other\"", 200),
        (&weak, 200),
        ("Sun, 22 Nov 2026 00:00:00 GMT", 200),
    ] {
        let answer = kept
            .get(&[("range", "bytes=0-1"), ("if-range", known)])
            .await;
        assert_eq!(answer.status, status, "{known}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_has_is_not_sent_again() {
    let kept = Kept::file(1_000).await;
    let whole = kept.get(&[]).await;
    assert_eq!(whole.header("etag"), kept.tag);
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert!(whole.header("cache-control").contains("immutable"));
    for known in [&kept.tag, "*", &format!("\"x\", W/{}", kept.tag)] {
        let same = kept.get(&[("if-none-match", known)]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0), "{known}");
        assert_eq!(same.header("etag"), kept.tag);
    }
    assert_eq!(kept.get(&[("if-none-match", "\"x\"")]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_has_no_parts() {
    let kept = Kept::file(0).await;
    let whole = kept.get(&[]).await;
    assert_eq!(
        (whole.status.as_u16(), whole.header("content-length")),
        (200, "0")
    );
    assert_eq!(kept.get(&[("range", "bytes=0-")]).await.status, 416);
}
