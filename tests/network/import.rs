//! `beth ccn import` and `beth ccn export`: real files, real nodes, kills.

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use beth_ccn::CcnConfig;
use beth_ccn::node::Node;
use beth_sdk::workload::{Profile, Workload};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::local::{VISIBLE, beth, last_line, text};

/// A node that does not run: its folder and its config file.
struct Resting {
    folder: tempfile::TempDir,
}

impl Resting {
    fn new() -> Resting {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[ccn]\nfolder = {:?}\nlisten = \"127.0.0.1:0\"\n[ccn.p2p]\nlisten = \"/ip4/127.0.0.1/tcp/0\"\n",
            folder.path().join("node")
        );
        std::fs::write(folder.path().join("beth.toml"), config).unwrap();
        Resting { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, verb: &str, what: &str) -> std::process::Command {
        let mut command = beth();
        command
            .args(["ccn", verb, what, "--config"])
            .arg(self.path("beth.toml"));
        command
    }

    fn import(&self, source: &str) -> Output {
        let mut command = self.command("import", source);
        command.arg("--json").output().unwrap()
    }

    /// An import that must succeed; its result.
    fn imported(&self, source: &str) -> Value {
        let output = self.import(source);
        assert!(output.status.success(), "{}", text(&output));
        last_line(&output)
    }

    /// The hashes of everything that is in force.
    fn hashes(&self) -> BTreeSet<String> {
        let output = self.command("export", "-").output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        let hash = |line: &str| {
            let message: Value = serde_json::from_str(line).unwrap();
            message["item_hash"].as_str().unwrap().to_owned()
        };
        lines.lines().map(hash).collect()
    }

    /// The digest of its state, which is that of its rows.
    fn digest(&self) -> String {
        let store = beth_store::Store::open(&self.path("node/state.sqlite")).unwrap();
        let read = |state: &beth_store::State<'_>| {
            let kept = state.digest()?;
            assert_eq!(kept, state.recompute_digest()?);
            Ok::<_, beth_store::Error>(kept.whole)
        };
        store.readers.read(read).unwrap()
    }

    async fn start(&self, cancel: &CancellationToken) -> Running {
        let mut config = CcnConfig::in_folder(self.path("node"));
        config.listen = ([127, 0, 0, 1], 0).into();
        config.p2p.listen = "/ip4/127.0.0.1/tcp/0".to_owned();
        let node = Node::start(config, cancel.clone()).await.unwrap();
        let url = format!("http://{}", node.address);
        let context = node.context.clone();
        let task = tokio::spawn(node.serve(Router::new()));
        Running { url, context, task }
    }
}

struct Running {
    url: String,
    context: Arc<beth_ccn::Context>,
    task: tokio::task::JoinHandle<Result<(), beth_ccn::Error>>,
}

fn lines(workload: &Workload, count: u64) -> Vec<String> {
    let mut bytes = Vec::new();
    workload.write(0..count, &mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn write(path: &Path, lines: &[String]) -> String {
    let mut file = std::fs::File::create(path).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_dump_in_any_order_with_faults_in_it() {
    let straight = Resting::new();
    let dump = lines(&Workload::of_senders(Profile::Network, 11, 20), 4_000);
    let path = write(&straight.path("dump.jsonl"), &dump);
    let result = straight.imported(&path);
    assert_eq!(
        (
            &result["processed"],
            &result["waiting"],
            &result["rejected"]
        ),
        (&json!(4_000), &json!(0), &json!([])),
        "{result}"
    );
    assert_eq!(straight.imported(&path)["known"], 4_000);

    let reversed = Resting::new();
    let mut spoilt: Value = serde_json::from_str(&dump[1]).unwrap();
    spoilt["signature"] = json!(format!("0x{}1b", "11".repeat(64)));
    let mut faulty: Vec<String> = dump.iter().rev().cloned().collect();
    // As lists show it: more than the envelope.
    let mut listed: Value = serde_json::from_str(&faulty[7]).unwrap();
    listed["confirmed"] = json!(false);
    listed["size"] = json!(12);
    listed["content"] = json!({"address": "x"});
    faulty[7] = listed.to_string();
    faulty.insert(100, "{\"cut".into());
    faulty.insert(0, spoilt.to_string());
    faulty.push("[]".into());
    let path = write(&reversed.path("dump.jsonl"), &faulty);
    let result = reversed.imported(&path);
    assert_eq!(
        (&result["processed"], &result["waiting"], &result["skipped"]),
        (&json!(4_000), &json!(0), &json!(2)),
        "{result}"
    );
    assert_eq!(
        result["first_skipped"],
        json!([{"line": 102, "fault": "no JSON"}, {"line": 4_003, "fault": "no JSON object"}])
    );
    let rejected = &result["rejected"][0];
    assert_eq!(
        (&rejected["code"], &rejected["count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(rejected["item_hash"], spoilt["item_hash"]);
    assert_eq!(straight.hashes(), reversed.hashes());
    assert_eq!(straight.digest(), reversed.digest());
    assert!(straight.hashes().len() > 3_900);
}

#[test]
fn an_import_that_is_killed_goes_on() {
    let count = 30_000;
    let dump = lines(&Workload::of_senders(Profile::Network, 12, 20), count);
    let whole = Resting::new();
    let path = write(&whole.path("dump.jsonl"), &dump);
    let straight = Resting::new();
    straight.imported(&path);

    let killed = Resting::new();
    let checkpoint = killed.path("node/import.json");
    let mut import = killed
        .command("import", &path)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !checkpoint.exists() {
        assert!(began.elapsed() < VISIBLE, "no checkpoint");
        assert!(
            import.try_wait().unwrap().is_none(),
            "too fast to be killed"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    import.kill().unwrap();
    import.wait().unwrap();
    assert!(killed.hashes().len() < straight.hashes().len());
    let result = killed.imported(&path);
    assert_eq!(result["resumed"], true, "{result}");
    assert!(result["processed"].as_u64().unwrap() < count, "{result}");
    assert_eq!(
        (&result["waiting"], &result["rejected"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(killed.hashes(), straight.hashes());
    assert_eq!(killed.digest(), straight.digest());
    assert!(!checkpoint.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_another_node() {
    let cancel = CancellationToken::new();
    let source = Resting::new();
    let running = source.start(&cancel).await;
    let workload = Workload::of_senders(Profile::NetworkWithFiles, 13, 20);
    let offers = (0..3_000).map(|index| {
        if let Some(file) = workload.file(index) {
            running.context.blobs.put(&file).unwrap();
        }
        let message = serde_json::to_value(workload.message(index)).unwrap();
        running.context.pipeline.offer(message)
    });
    let mut outcomes = futures::stream::iter(offers).buffered(64);
    while let Some(outcome) = outcomes.next().await {
        assert_eq!(outcome.unwrap(), beth_store::rows::Outcome::Processed);
    }
    drop(outcomes);
    let url = running.url.clone();
    let copy = Resting::new();
    let (result, refused, copied, exported) = tokio::task::spawn_blocking(move || {
        let result = copy.imported(&format!("{url}/api/v0/messages.json"));
        let refused = source.import(&url);
        (result, refused, copy.hashes(), source.hashes())
    })
    .await
    .unwrap();
    // Forgotten messages are in no list, so what forgets them waits for them.
    assert_eq!(result["rejected"], json!([]), "{result}");
    assert_eq!(
        result["processed"].as_u64().unwrap() + result["waiting"].as_u64().unwrap(),
        exported.len() as u64
    );
    let missing: Vec<&String> = exported.difference(&copied).collect();
    assert_eq!(json!(missing.len()), result["waiting"]);
    assert!(copied.is_subset(&exported));
    assert!(!refused.status.success());
    assert!(text(&refused).contains("is in use by a running core node"));
    drop(running.context);
    cancel.cancel();
    running.task.await.unwrap().unwrap();
}

/// A node of an older version: pages, no cursors; every third answer fails.
struct Older {
    lines: Vec<Value>,
    asked: AtomicU64,
    /// From this page on it refuses for good.
    refuses_from: AtomicU64,
}

async fn page(
    State(older): State<Arc<Older>>,
    Query(query): Query<Vec<(String, String)>>,
) -> axum::response::Response {
    let of = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let (page, size) = (of("page").unwrap_or(1), of("pagination").unwrap_or(20));
    if page as u64 >= older.refuses_from.load(Ordering::Relaxed) {
        return (StatusCode::FORBIDDEN, "no more").into_response();
    }
    if older.asked.fetch_add(1, Ordering::Relaxed) % 3 == 1 {
        return (StatusCode::BAD_GATEWAY, "busy").into_response();
    }
    let messages: Vec<&Value> = older
        .lines
        .iter()
        .skip((page - 1) * size)
        .take(size)
        .collect();
    let answer = json!({
        "messages": messages, "pagination_page": page, "pagination_per_page": size,
        "pagination_total": older.lines.len(), "pagination_item": "messages",
    });
    answer.to_string().into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_node_that_fails_now_and_then() {
    let workload = Workload::of_senders(Profile::Posts, 14, 5);
    let items = lines(&workload, 900).into_iter().map(|line| {
        let mut item: Value = serde_json::from_str(&line).unwrap();
        item["_id"] = json!({"$oid": "1"});
        item["confirmations"] = json!([]);
        item
    });
    let older = Arc::new(Older {
        lines: items.collect(),
        asked: AtomicU64::new(0),
        refuses_from: AtomicU64::new(3),
    });
    let router = Router::new()
        .route("/api/v0/messages.json", get(page))
        .with_state(older.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let verdict = tokio::task::spawn_blocking(move || {
        let copy = Resting::new();
        let cut = copy.import(&url);
        assert_eq!(cut.status.code(), Some(1), "{}", text(&cut));
        let result = last_line(&cut);
        assert_eq!(result["processed"], 400, "{result}");
        let error = result["error"].as_str().unwrap();
        assert!(
            error.contains("403") && error.contains("no more"),
            "{error}"
        );
        older.refuses_from.store(u64::MAX, Ordering::Relaxed);
        copy.imported(&url)
    });
    let result = verdict.await.unwrap();
    assert_eq!(
        (&result["resumed"], &result["processed"], &result["known"]),
        (&json!(true), &json!(500), &json!(0)),
        "{result}"
    );
    server.abort();
}

#[test]
fn sources_that_are_not_there() {
    let node = Resting::new();
    for (source, sentence) in [
        ("/nonexistent/dump", "cannot be read"),
        ("http://127.0.0.1:1", "does not give its messages"),
    ] {
        let output = node.import(source);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains(sentence), "{}", text(&output));
    }
    let output = node
        .command("export", "/nonexistent/folder/file")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}
