//! What is said at one core node is found at the other.

use serde_json::json;

use crate::local::{Local, eventually, get, get_json, last_line, text};

#[test]
fn a_post_arrives() {
    let local = Local::shared();
    let posted = local.json(&[
        "post",
        "create",
        "--type",
        "note",
        "--content",
        r#"{"title":"%41 100% é"}"#,
    ]);
    let hash = posted["item_hash"].as_str().unwrap();
    let url = format!("{}/api/v0/messages/{hash}", local.core(1));
    eventually(|| get(&url).0, |status| *status == 200);
    let message = get_json(&url);
    assert_eq!(message["status"], "processed");
    assert_eq!(
        message["message"]["content"]["content"],
        json!({"title": "%41 100% é"})
    );
    let posts = get_json(&format!(
        "{}/api/v0/posts.json?hashes={hash}",
        local.core(1)
    ));
    assert_eq!(posts["posts"][0]["address"], local.address(0));
}

#[test]
fn an_aggregate_arrives_merged() {
    let local = Local::shared();
    local.json(&["aggregate", "set", "replicated", r#"{"a":1,"b":1}"#]);
    local.json(&["aggregate", "set", "replicated", r#"{"b":2}"#]);
    let url = format!(
        "{}/api/v0/aggregates/{}.json?keys=replicated",
        local.core(1),
        local.address(0)
    );
    eventually(
        || get(&url).1,
        |body| {
            serde_json::from_str(body).is_ok_and(|value: serde_json::Value| {
                value["data"]["replicated"] == json!({"a": 1, "b": 2})
            })
        },
    );
}

#[test]
fn a_file_arrives_and_is_read_from_either_node() {
    let local = Local::shared();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.bin");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i * 31 % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let put = local.json(&["file", "put", path.to_str().unwrap()]);
    let hash = put["file_hash"]
        .as_str()
        .or(put["hash"].as_str())
        .unwrap_or_else(|| panic!("{put}"));
    let url = format!("{}/api/v0/storage/raw/{hash}", local.core(1));
    eventually(|| get(&url).0, |status| *status == 200);
    let out = folder.path().join("out.bin");
    let output = local.verb_at(1, &["file", "get", hash, "-o", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(std::fs::read(out).unwrap(), bytes);
}

#[test]
fn message_get_tells_the_reason_of_a_refusal() {
    let local = Local::shared();
    // An amend of a post by somebody else is refused.
    let posted = local.json(&["post", "create", "--type", "mine", "--content", "{}"]);
    let hash = posted["item_hash"].as_str().unwrap();
    let output = crate::local::beth()
        .args([
            "post",
            "create",
            "--type",
            "amend",
            "--ref",
            hash,
            "--content",
            "{}",
            "--json",
        ])
        .args(["--node", local.core(0), "--key", local.key(1)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("owner"), "{}", text(&output));
}

#[test]
fn a_node_that_was_away_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start_in(&folder.path().join("net"), &[]);
    let state = folder.path().join("net");
    assert_eq!(local.stop(libc::SIGTERM).code(), Some(0));
    // The second node loses everything it had.
    let mut wiped = 0;
    for entry in walk(&state) {
        if entry
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("state.sqlite"))
            && entry.components().any(|part| part.as_os_str() == "core-2")
        {
            std::fs::remove_file(&entry).unwrap();
            wiped += 1;
        }
    }
    assert!(wiped > 0, "no state file found below {}", state.display());
    let local = Local::start_in(&state, &[]);
    let url = |core: usize| format!("{}/api/v0/messages.json?pagination=1", local.core(core));
    let total = |core: usize| get_json(&url(core))["pagination_total"].clone();
    eventually(
        || (total(0), total(1)),
        |(one, two)| one == two && *one != 0,
    );
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_last_line_is_json_also_for_a_message() {
    let local = Local::shared();
    let posted = local.json(&[
        "post",
        "create",
        "--type",
        "n",
        "--content",
        "[1]",
        "--channel",
        "TEST",
    ]);
    let output = local.verb(&[
        "message",
        "get",
        posted["item_hash"].as_str().unwrap(),
        "--json",
    ]);
    assert_eq!(last_line(&output)["status"], "processed");
}
