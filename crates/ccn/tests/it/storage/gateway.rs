//! Contents by CID, as browsers and clients of IPFS ask for them.

use axum::body::Body;
use beth_protocol::cid::{Cid, Layout};
use beth_protocol::encoding::base32;
use http::Request;
use sha2::{Digest, Sha256};

use super::archives::{MANY, MANY_ROOT, SITE, SITE_ROOT, site};
use super::car::{Made, directory, file, raw};
use super::{Storage, form};
use crate::api::exchange::Answer;

impl Storage {
    async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_gateway("GET", path, headers).await
    }

    async fn ask_gateway(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.node.ask(request.body(Body::empty()).unwrap()).await
    }

    /// Adds a file without a message; answers its CID.
    async fn add(&self, bytes: &[u8]) -> String {
        let answer = self
            .upload("/api/v0/ipfs/add_file", form(bytes, None))
            .await;
        answer.json()["hash"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_what_a_browser_needs() {
    let storage = Storage::start().await;
    let page = b"<!doctype html><script>document.cookie</script>";
    let cid = storage.add(page).await;
    let path = format!("/ipfs/{cid}");
    let answer = storage.open(&path, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.body, &page[..]);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "47"),
        ("etag", format!("\"{cid}\"").as_str()),
        (
            "cache-control",
            "public, max-age=29030400, immutable, no-transform",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-ipfs-path", path.as_str()),
        ("x-ipfs-roots", cid.as_str()),
        ("accept-ranges", "bytes"),
        ("content-disposition", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    // What is served has no part in the origin of the API.
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with("sandbox ") && !policy.contains("same-origin"),
        "{policy}"
    );
    let worker = storage.open(&path, &[("service-worker", "script")]).await;
    assert_eq!(worker.status, 400);

    let head = storage.ask_gateway("HEAD", &path, &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), "47");
    let seen = storage
        .open(&path, &[("if-none-match", &format!("\"{cid}\""))])
        .await;
    assert_eq!((seen.status.as_u16(), seen.body.len()), (304, 0));

    let named = storage
        .open(&format!("{path}?filename=m%C3%BC%22.txt"), &[])
        .await;
    assert_eq!(named.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        named.header("content-disposition"),
        "inline; filename=\"m__.txt\"; filename*=UTF-8''m%C3%BC%22.txt"
    );
    let saved = storage.open(&format!("{path}?download=true"), &[]).await;
    let disposition = saved.header("content-disposition");
    assert!(
        disposition.starts_with(&format!("attachment; filename=\"{cid}\"")),
        "{disposition}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_files() {
    let storage = Storage::start().await;
    let bytes: Vec<u8> = (0..600_000u32).map(|n| (n % 251) as u8).collect();
    let path = format!("/ipfs/{}", storage.add(&bytes).await);
    for (range, first, end) in [
        ("bytes=0-9", 0, 10),
        ("bytes=262100-262200", 262_100, 262_201),
        ("bytes=-5", 599_995, 600_000),
        ("bytes=599999-", 599_999, 600_000),
    ] {
        let part = storage.open(&path, &[("range", range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == bytes[first..end], "{range}");
        let expected = format!("bytes {first}-{}/600000", end - 1);
        assert_eq!(part.header("content-range"), expected);
    }
    let beyond = storage.open(&path, &[("range", "bytes=600000-")]).await;
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), "bytes */600000");
    let several = storage.open(&path, &[("range", "bytes=0-1,10-12")]).await;
    assert_eq!(several.status, 206);
    assert!(
        several
            .header("content-type")
            .starts_with("multipart/byteranges")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_show_their_index_or_their_names() {
    let storage = Storage::start().await;
    assert_eq!(storage.add_car(SITE, SITE_ROOT).await.status, 200);
    let path = format!("/ipfs/{SITE_ROOT}");
    let moved = storage.open(&format!("{path}?a=b"), &[]).await;
    assert_eq!(moved.status, 301);
    assert_eq!(moved.header("location"), format!("{path}/?a=b"));

    let index = storage.open(&format!("{path}/"), &[]).await;
    assert_eq!(index.body, site()["index.html"]);
    assert_eq!(index.header("content-type"), "text/html; charset=utf-8");
    let style = storage.open(&format!("{path}/css/main.css"), &[]).await;
    assert_eq!(style.body, site()["css/main.css"]);
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(style.header("x-ipfs-roots").split(',').count(), 3);
    assert!(style.header("x-ipfs-roots").starts_with(SITE_ROOT));

    let list = storage.open(&format!("{path}/css/"), &[]).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.header("content-type"), "text/html; charset=utf-8");
    assert!(list.header("etag").starts_with("\"DirIndex-"));
    let text = list.text();
    for part in [
        "href=\"./deep/\"",
        "href=\"./main.css\"",
        "href=\"../\"",
        "21 B",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let nested = storage.open(&format!("{path}/css/deep"), &[]).await;
    assert_eq!(nested.header("location"), format!("{path}/css/deep/"));
    // A directory and a file in it have names of their own.
    let css = style.header("x-ipfs-roots").split(',').nth(1).unwrap();
    let same = storage.open(&format!("/ipfs/{css}/main.css"), &[]).await;
    assert_eq!(same.body, site()["css/main.css"]);
    for missing in [
        "nothing",
        "css/main.css/",
        "css/main.css/x",
        "..",
        "css/../nothing",
    ] {
        let answer = storage.open(&format!("{path}/{missing}"), &[]).await;
        assert_eq!(answer.status, 404, "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_over_several_blocks() {
    let storage = Storage::start().await;
    assert_eq!(storage.add_car(MANY, MANY_ROOT).await.status, 200);
    let list = storage
        .open(&format!("/ipfs/{MANY_ROOT}/"), &[])
        .await
        .text();
    assert_eq!(list.matches("href=\"./file-").count(), 300);
    assert!(list.find("file-0.txt") < list.find("file-299.txt"));
    let file = storage
        .open(&format!("/ipfs/{MANY_ROOT}/file-17.txt"), &[])
        .await;
    assert_eq!(file.text(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_and_archives_for_clients_that_check() {
    let storage = Storage::start().await;
    assert_eq!(storage.add_car(SITE, SITE_ROOT).await.status, 200);
    let path = format!("/ipfs/{SITE_ROOT}");
    for (query, accept) in [("?format=raw", "*/*"), ("", "application/vnd.ipld.raw")] {
        let block = storage
            .open(&format!("{path}{query}"), &[("accept", accept)])
            .await;
        assert_eq!(block.header("content-type"), "application/vnd.ipld.raw");
        assert_eq!(block.header("etag"), format!("\"{SITE_ROOT}.raw\""));
        let cid = [&[0x01, 0x70, 0x12, 0x20], &Sha256::digest(&block.body)[..]].concat();
        assert_eq!(format!("b{}", base32::encode(&cid)), SITE_ROOT);
    }
    let accept = [("accept", "application/vnd.ipld.car;version=1")];
    let archive = storage.open(&path, &accept).await;
    assert!(
        archive
            .header("content-type")
            .starts_with("application/vnd.ipld.car; version=1")
    );
    assert!(archive.header("etag").starts_with("W/"));
    // Another node takes what this one gives.
    let other = Storage::start().await;
    let taken = other.add_car(&archive.body, SITE_ROOT).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    for (name, bytes) in site() {
        assert_eq!(
            other.open(&format!("{path}/{name}"), &[]).await.body,
            bytes,
            "{name}"
        );
    }
    let again = other.open(&path, &accept).await;
    assert_eq!(again.body, archive.body, "its order depends on nothing");

    let one = storage
        .open(&format!("{path}?format=car&dag-scope=block"), &[])
        .await;
    assert!(one.body.len() < 1_000 && one.body.len() < archive.body.len());
    for wrong in ["?format=tar", "?format=car&dag-scope=much"] {
        assert_eq!(
            storage.open(&format!("{path}{wrong}"), &[]).await.status,
            400
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_as_an_archive() {
    let storage = Storage::start().await;
    let bytes: Vec<u8> = (0..700_000u32).map(|n| (n % 253) as u8).collect();
    let cid = storage.add(&bytes).await;
    let archive = storage.open(&format!("/ipfs/{cid}?format=car"), &[]).await;
    let other = Storage::start().await;
    let taken = other.add_car(&archive.body, &cid).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert!(other.open(&format!("/ipfs/{cid}"), &[]).await.body == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_here_or_is_no_name() {
    let storage = Storage::start().await;
    let absent = Cid::of_bytes(Layout::V0, b"nobody has this").to_string();
    let path = format!("/ipfs/{absent}");
    assert_eq!(storage.open(&path, &[]).await.status, 404);
    let cached = storage
        .open(&path, &[("cache-control", "only-if-cached")])
        .await;
    assert_eq!(cached.status, 412);
    for bad in [
        "nothing",
        "Qm",
        "bafyreihmggdxn2klvglydjd2ld3ahb7aorlksycslptkc4jlkjuvl5e7im",
        &"a".repeat(9_000),
    ] {
        let answer = storage.open(&format!("/ipfs/{bad}"), &[]).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
}

/// Blocks that nobody has checked as a whole: each came as a file.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_came_one_by_one() {
    let storage = Storage::start().await;
    let put = |block: &Made| {
        let request = Request::post("/api/v0/storage/add_file");
        let request = request.body(Body::from(block.bytes.clone())).unwrap();
        storage.node.ask(request)
    };
    let leaf = raw(b"a leaf");
    let whole = directory(&[("leaf", &leaf)]);
    for block in [&leaf, &whole] {
        assert_eq!(put(block).await.status, 200);
    }
    let path = format!("/ipfs/{}", whole.text());
    assert_eq!(
        storage.open(&format!("{path}/leaf"), &[]).await.text(),
        "a leaf"
    );
    assert!(
        storage
            .open(&format!("{path}/"), &[])
            .await
            .text()
            .contains("6 B")
    );

    // One leads to what is not here.
    let gone = raw(b"nobody sent this");
    let torn = directory(&[("gone", &gone)]);
    assert_eq!(put(&torn).await.status, 200);
    let path = format!("/ipfs/{}", torn.text());
    assert_eq!(storage.open(&format!("{path}/gone"), &[]).await.status, 404);
    assert!(
        storage
            .open(&format!("{path}/"), &[])
            .await
            .text()
            .contains("gone")
    );

    // Files that stand for more than there is: as many bytes as they say come
    // to nobody, and no archive of them goes on for ever.
    let mut level = file(&[]);
    level.file_bytes = 1 << 40;
    let mut blocks = vec![level.clone()];
    for _ in 0..12 {
        let above = file(&vec![&level; 100]);
        level = Made {
            file_bytes: 1 << 40,
            ..above
        };
        blocks.push(level.clone());
    }
    for block in &blocks {
        assert_eq!(put(block).await.status, 200);
    }
    let path = format!("/ipfs/{}", level.text());
    let archive = storage.open(&format!("{path}?format=car"), &[]).await;
    let once: usize = blocks.iter().map(|block| block.bytes.len() + 39).sum();
    assert!(archive.body.len() <= once + 100);
    let refused = storage.open(&path, &[("range", "bytes=5-10")]);
    let refused = std::panic::AssertUnwindSafe(refused);
    // The body breaks off, which a test can only see as an error of reading it.
    let read = futures::FutureExt::catch_unwind(refused).await;
    assert!(read.is_err() || read.unwrap().status != 206);
}
