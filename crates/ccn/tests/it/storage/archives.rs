//! Directories: from the tools of others, and made by hand.

use std::collections::BTreeMap;

use axum::body::Body;
use beth_ccn::pipeline::now;
use beth_protocol::MessageType;
use beth_protocol::time::Timestamp;
use http::{Request, StatusCode};
use serde_json::json;

use super::car::{car, directory, file, raw, shard, symlink};
use super::{Storage, form};
use crate::api::exchange::Answer;

pub const SITE: &[u8] = include_bytes!("fixtures/site.car");
pub const SITE_ROOT: &str = "bafybeigjchi7zinvusjoses2j7zogl6dzwsoq4cl2pym2hemsgr37p6e7m";
pub const MANY: &[u8] = include_bytes!("fixtures/many.car");
pub const MANY_ROOT: &str = "bafybeibzo2bvqy2n3pjgqff5jqzggca2ikpvjqwyc5v7ybp53gze3yrg5i";

impl Storage {
    pub async fn add_car(&self, car: &[u8], root: &str) -> Answer {
        let metadata = self.metadata("ipfs", root);
        self.upload("/api/v0/ipfs/add_car", form(car, Some(&metadata)))
            .await
    }

    async fn raw(&self, path: &str) -> Answer {
        self.node.get(&format!("/api/v0/storage/raw/{path}")).await
    }
}

pub fn site() -> BTreeMap<String, Vec<u8>> {
    let long: String = (0..400).map(|n| format!("line {n}\n")).collect();
    let style = "<!doctype html><title>Beth</title><link rel=stylesheet href=css/main.css>\n";
    [
        ("css/deep/er/print.css", "@page { margin: 2cm }\n"),
        ("css/main.css", "body { color: #222 }\n"),
        ("dated.txt", "with a time\n"),
        ("empty.txt", ""),
        ("index.html", style),
        ("long.txt", &long),
        ("tool.sh", "#!/bin/sh\necho hello\n"),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
    .collect()
}

/// Files of a tape archive, without the directory on top.
fn untar(bytes: &[u8], top: &str) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut at, mut long) = (BTreeMap::new(), 0, None);
    let text = |field: &[u8]| {
        let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
        String::from_utf8(field[..end].to_vec()).unwrap()
    };
    while bytes[at] != 0 {
        let record = &bytes[at..at + 512];
        let sum: u64 = (0..512)
            .map(|n| {
                u64::from(if (148..156).contains(&n) {
                    b' '
                } else {
                    record[n]
                })
            })
            .sum();
        assert_eq!(
            u64::from_str_radix(&text(&record[148..155]), 8).unwrap(),
            sum
        );
        assert_eq!(&record[257..263], b"ustar\0");
        let size = u64::from_str_radix(&text(&record[124..136]), 8).unwrap() as usize;
        let body = bytes[at + 512..at + 512 + size].to_vec();
        at += 512 + size.next_multiple_of(512);
        let path = long.take().unwrap_or_else(|| text(&record[..100]));
        match record[156] {
            b'x' => {
                let extra = String::from_utf8(body).unwrap();
                let (length, value) = extra.trim_end().split_once(" path=").unwrap();
                assert_eq!(length, extra.len().to_string());
                long = Some(value.to_owned());
            }
            kind => {
                let below = path.strip_prefix(top).unwrap();
                if let Some(name) = below.strip_prefix('/').filter(|_| kind != b'5') {
                    let body = match kind {
                        b'2' => format!("-> {}", text(&record[157..257])).into_bytes(),
                        _ => body,
                    };
                    assert!(found.insert(name.to_owned(), body).is_none());
                }
            }
        }
    }
    assert_eq!(bytes.len(), at + 1024, "two empty records end it");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_kept_and_served() {
    let storage = Storage::start().await;
    let answer = storage.add_car(SITE, SITE_ROOT).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The size is the one that the tools of others compute.
    assert_eq!(
        answer.json(),
        json!({"status": "success", "hash": SITE_ROOT, "size": 6304})
    );
    let about = format!("/api/v0/storage/metadata/{SITE_ROOT}");
    let about = storage.node.get(&about).await.json();
    assert_eq!(
        (&about["type"], &about["size"]),
        (&json!("dir"), &json!(6304))
    );
    let tar = storage.raw(SITE_ROOT).await;
    assert_eq!(tar.header("content-type"), "application/x-tar");
    assert_eq!(tar.header("content-length"), "");
    assert_eq!(untar(&tar.body, SITE_ROOT), site());
    for (path, bytes) in site() {
        let file = storage.raw(&format!("{SITE_ROOT}/{path}")).await;
        assert_eq!(file.header("content-type"), "application/octet-stream");
        assert_eq!(file.header("content-length"), bytes.len().to_string());
        assert_eq!(file.body, bytes, "{path}");
    }
    let below = storage.raw(&format!("{SITE_ROOT}/css/deep")).await;
    assert_eq!(untar(&below.body, "deep").len(), 1);
    for path in ["nothing", "css/nothing", "index.html/x", "css//main.css"] {
        let answer = storage.raw(&format!("{SITE_ROOT}/{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let encoded = format!("/api/v0/storage/{SITE_ROOT}");
    assert_eq!(storage.node.get(&encoded).await.status, 404);
    let head = Request::head(format!("/api/v0/storage/raw/{SITE_ROOT}"));
    let head = storage.node.ask(head.body(Body::empty()).unwrap()).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), "application/x-tar");
    assert_eq!(head.header("content-length"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_file_in_a_directory() {
    let storage = Storage::start().await;
    assert_eq!(storage.add_car(SITE, SITE_ROOT).await.status, 200);
    let path = format!("/api/v0/storage/raw/{SITE_ROOT}/long.txt");
    let long = site().remove("long.txt").unwrap();
    for (first, last) in [(0, 0), (99, 100), (250, 1_999), (3_000, long.len() - 1)] {
        let request = Request::get(&path)
            .header("range", format!("bytes={first}-{last}"))
            .body(Body::empty());
        let part = storage.node.ask(request.unwrap()).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.body, long[first..=last], "{first}-{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_over_several_blocks() {
    let storage = Storage::start().await;
    let answer = storage.add_car(MANY, MANY_ROOT).await;
    assert_eq!(answer.json()["size"], json!(24071), "{}", answer.text());
    let files = untar(&storage.raw(MANY_ROOT).await.body, MANY_ROOT);
    assert_eq!(files.len(), 300);
    for number in [0, 1, 17, 299] {
        let name = format!("file-{number}.txt");
        let text = (number % 7).to_string();
        assert_eq!(files[&name], text.as_bytes());
        let file = storage.raw(&format!("{MANY_ROOT}/{name}")).await;
        assert_eq!(file.text(), text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_looked_for_where_its_hash_leads() {
    let storage = Storage::start().await;
    let leaf = raw(b"here");
    // The hash of `a` begins with 85 55, that of `b` with something else.
    let (right, wrong) = (shard(&[("55a", &leaf)]), shard(&[("55b", &leaf)]));
    let root = shard(&[("84", &wrong), ("85", &right)]);
    let name = root.text();
    let blocks = car(&root, &[&root, &right, &wrong, &leaf]);
    let answer = storage.add_car(&blocks, &name).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(storage.raw(&format!("{name}/a")).await.text(), "here");
    let lost = storage.raw(&format!("{name}/b")).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_links_and_files_in_blocks_of_blocks() {
    let storage = Storage::start().await;
    let leaves: Vec<_> = (0..9u8)
        .map(|n| raw(&vec![n; 70 + usize::from(n)]))
        .collect();
    let middle: Vec<_> = leaves
        .chunks(3)
        .map(|three| file(&three.iter().collect::<Vec<_>>()))
        .collect();
    let top = file(&middle.iter().collect::<Vec<_>>());
    let (long, link) = ("n".repeat(180), symlink("big"));
    let below = directory(&[(&long, &top)]);
    let root = directory(&[
        ("big", &top),
        ("same", &top),
        ("link", &link),
        ("below", &below),
    ]);
    let mut blocks: Vec<_> = leaves.iter().chain(&middle).collect();
    blocks.extend([&top, &link, &below, &root]);
    let answer = storage.add_car(&car(&root, &blocks), &root.text()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.bytes.clone()).collect();
    let files = untar(&storage.raw(&root.text()).await.body, &root.text());
    assert_eq!(files.len(), 4);
    for path in ["big", "same", &format!("below/{long}")] {
        assert_eq!(files[path], bytes);
    }
    assert_eq!(files["link"], b"-> big");
    let once: usize = blocks.iter().map(|block| block.bytes.len()).sum();
    let of_top = once
        - [&link, &below, &root]
            .map(|b| b.bytes.len())
            .iter()
            .sum::<usize>();
    assert_eq!(answer.json()["size"], json!(once + 2 * of_top));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_others_have_cut_is_a_file() {
    let storage = Storage::start().await;
    let leaves = [raw(b"one "), raw(b"two "), raw(b"three")];
    let root = file(&leaves.iter().collect::<Vec<_>>());
    let archive = car(&root, &[&leaves[2], &root, &leaves[0], &leaves[1]]);
    let answer = storage.add_car(&archive, &root.text()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let file = storage.raw(&root.text()).await;
    assert_eq!(
        (file.text().as_str(), file.header("content-length")),
        ("one two three", "13")
    );
    let about = format!("/api/v0/storage/metadata/{}", root.text());
    assert_eq!(storage.node.get(&about).await.json()["type"], "file");
    let encoded = storage
        .node
        .get(&format!("/api/v0/storage/{}", root.text()))
        .await;
    assert_eq!(encoded.json()["content"], "b25lIHR3byB0aHJlZQ==\n");
}

/// What is not part of the graph takes no room, and what nobody keeps goes.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_graph_is_kept_and_only_while_it_is_wanted() {
    let storage = Storage::start().await;
    let (wanted, waste) = (raw(b"wanted"), raw(&[7; 100_000]));
    let root = directory(&[("a", &wanted)]);
    let archive = car(&root, &[&waste, &wanted, &wanted, &waste, &root]);
    assert_eq!(storage.add_car(&archive, &root.text()).await.status, 200);
    let blobs = &storage.node.context.blobs;
    let path = blobs.path(&root.text()).unwrap().with_extension("dag");
    assert!(path.metadata().unwrap().len() < 1_000);
    let name = format!("{}/a", root.text());
    assert_eq!(storage.raw(&name).await.text(), "wanted");

    let list = storage
        .node
        .get("/api/v0/messages.json?msgType=STORE")
        .await;
    let store = &list.json()["messages"][0]["item_hash"];
    let forget = storage.sign(MessageType::Forget, json!({"hashes": [store]}));
    let request = json!({"message": forget, "sync": true});
    let answer = storage.node.post("/api/v0/messages", &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let later = Timestamp::from_micros(now().micros() + 30 * 3_600_000_000);
    let jobs = &storage.node.context.jobs;
    jobs.run("garbage_collector", later).await.unwrap();
    assert!(!path.exists());
    assert_eq!(storage.raw(&name).await.status, 404);
}
