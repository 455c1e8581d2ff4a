//! What operators ask a node of theirs: who is there, and whether everything is.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::local::{Local, beth, eventually, last_line, text};

/// Runs a verb of the first core node: exit code, the object it ends with, all
/// that it said.
fn ask(local: &Local, verb: &str, extra: &[&str]) -> (i32, Value, String) {
    let config = local.folder.join("core-1").join("beth.toml");
    let output = beth()
        .args(["ccn", verb, "--config"])
        .arg(config)
        .args(extra)
        .output()
        .unwrap();
    let said = text(&output);
    let object = match extra.contains(&"--json") {
        true => last_line(&output),
        false => Value::Null,
    };
    (output.status.code().unwrap(), object, said)
}

#[test]
fn operators_see_peers_and_repair_what_rots() {
    let mut local = Local::start();
    let (code, peers, _) = eventually(
        || ask(&local, "peers", &["--json"]),
        |(_, peers, _)| peers["connected"][0]["visit"].is_object(),
    );
    assert_eq!((code, &peers["connected"][1]), (0, &Value::Null));
    let (code, _, said) = ask(&local, "peers", &[]);
    assert_eq!(code, 0);
    assert!(
        said.contains("1 connected") && said.contains("COMPARED"),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(
        said.lines().all(|line| line.chars().count() <= 100),
        "{said}"
    );

    let file = local.folder.join("some file");
    std::fs::write(&file, b"what both nodes keep").unwrap();
    let stored = local.json(&["file", "put", file.to_str().unwrap()]);
    let hash = stored["file_hash"].as_str().unwrap().to_owned();
    let path = blob(&local, "core-1", &hash);
    eventually(
        || blob(&local, "core-2", &hash).is_file(),
        |is_here| *is_here,
    );
    let (code, report, said) = ask(&local, "repair", &["--json"]);
    assert_eq!((code, &report["is_whole"]), (0, &true.into()), "{said}");

    let rotten = std::fs::File::options().write(true).open(&path).unwrap();
    rotten.write_all_at(b"WHAT", 0).unwrap();
    let (code, report, said) = ask(&local, "repair", &["--check", "--json"]);
    assert_eq!((code, &report["rotten"]), (1, &1.into()), "{said}");
    assert!(said.contains("without --check"), "{said}");
    let (code, _, said) = ask(&local, "repair", &["--deep"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("rotten   mended") && said.contains(&hash),
        "{said}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"what both nodes keep");
    assert_eq!(ask(&local, "repair", &["--deep", "--json"]).0, 0);

    local.end(libc::SIGTERM);
    let (code, _, said) = ask(&local, "peers", &[]);
    assert_eq!(code, 1);
    assert!(said.contains("no core node runs in"), "{said}");
    assert!(said.contains("start it with `beth ccn --config"), "{said}");
    std::fs::remove_file(&path).unwrap();
    let (code, report, said) = ask(&local, "repair", &["--json"]);
    assert_eq!((code, &report["missing"]), (1, &1.into()), "{said}");
    assert!(said.contains("start the node and run"), "{said}");
}

fn blob(local: &Local, node: &str, hash: &str) -> PathBuf {
    let tail = &hash[hash.len() - 4..];
    let blobs = local.folder.join(node).join("blobs");
    blobs.join(&tail[..2]).join(&tail[2..]).join(hash)
}
