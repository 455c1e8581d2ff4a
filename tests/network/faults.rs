//! Bad input: each ends in a sentence that says what happened and what to do.

use std::path::Path;

use crate::local::{Local, beth, get, get_json, text};

fn refused(arguments: &[&str], sentence: &[&str]) {
    let local = Local::shared();
    let output = local.verb(arguments);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in sentence {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn path(folder: &tempfile::TempDir) -> &str {
    Path::to_str(folder.path()).unwrap()
}

#[test]
fn a_missing_folder() {
    refused(
        &["program", "deploy", "/nowhere/at/all"],
        &["/nowhere/at/all"],
    );
}

#[test]
fn an_empty_folder() {
    let empty = folder(&[]);
    refused(&["program", "deploy", path(&empty)], &["main.py"]);
}

#[test]
fn a_syntax_error() {
    let broken = folder(&[(
        "main.py",
        "from fastapi import FastAPI\napp = FastAPI(\ndef broken(:\n",
    )]);
    refused(
        &["program", "deploy", path(&broken)],
        &["syntax error", "main.py, line 3"],
    );
}

#[test]
fn an_import_error() {
    let broken = folder(&[("main.py", "import a_module_that_nobody_has\napp = None\n")]);
    refused(
        &["program", "deploy", path(&broken)],
        &["a_module_that_nobody_has"],
    );
}

#[test]
fn a_broken_component() {
    let broken = folder(&[("function.wasm", "this is no component")]);
    refused(&["program", "deploy", path(&broken)], &["component"]);
}

#[test]
fn too_little_balance() {
    let local = Local::shared();
    let poor = "0x".to_owned() + &"77".repeat(32);
    let output = beth()
        .args([
            "program",
            "deploy",
            &format!("{}/../../examples/wasm-hello", env!("CARGO_MANIFEST_DIR")),
        ])
        .args(["--node", local.core(0), "--key", &poor])
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("tokens") || said.contains("balance"),
        "{said}"
    );
}

#[test]
fn a_node_that_is_not_there() {
    let output = beth()
        .args([
            "message",
            "get",
            &"0".repeat(64),
            "--node",
            "http://127.0.0.1:9",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("http://127.0.0.1:9"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_program_that_nobody_published() {
    let local = Local::shared();
    let (status, body) = get(&format!("{}/vm/{}/", local.compute(0), "1".repeat(64)));
    assert!(status >= 400 && body.contains("error"), "{status} {body}");
    let (status, body) = get(&format!("{}/vm/nonsense/", local.compute(0)));
    assert_eq!(status, 400, "{body}");
}

#[test]
fn a_program_whose_file_is_missing_waits_and_says_for_what() {
    let local = Local::shared();
    let content = serde_json::json!({
        "address": local.address(0), "time": 1_790_000_000.0, "type": "vm-function", "allow_amend": false,
        "code": {"encoding": "zip", "entrypoint": "main:app", "ref": "a".repeat(64), "use_latest": false},
        "runtime": {"ref": "b".repeat(64), "use_latest": true, "comment": ""}, "on": {"http": true},
        "environment": {"reproducible": false, "internet": false, "aleph_api": false, "shared_cache": false},
        "resources": {"vcpus": 1, "memory": 128, "seconds": 10}, "volumes": [],
    });
    let account = beth_protocol::Account::ethereum(local.key(0)).unwrap();
    let time = beth_protocol::time::Timestamp::from_seconds(1_790_000_000);
    let message = account.sign_message(
        beth_protocol::MessageType::Program,
        &content,
        Some("TEST"),
        time,
    );
    let body = serde_json::json!({"sync": true, "message": message}).to_string();
    let output = std::process::Command::new("curl")
        .args([
            "--silent",
            "-H",
            "Content-Type: application/json",
            "--data",
            &body,
        ])
        .arg(format!("{}/api/v0/messages", local.core(0)))
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("pending"),
        "{output:?}"
    );
    let output = local.verb(&["message", "get", message.item_hash.as_str()]);
    let said = text(&output);
    assert!(said.contains("pending"), "{said}");
    let status = get_json(&format!(
        "{}/api/v0/messages/{}",
        local.core(0),
        message.item_hash
    ));
    assert_eq!(status["waits"]["error_code"], 301, "{status}");
    let missing = status["waits"]["details"]["errors"].as_array().unwrap();
    assert_eq!(missing.len(), 2, "{status}");
    assert!(
        status["waits"]["advice"]
            .as_str()
            .unwrap()
            .contains("store the file first")
    );
}
