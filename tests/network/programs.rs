//! From a wallet to a running program: the six steps, with both executors.

use serde_json::Value;

use crate::local::{Local, get, get_json, last_line, text};

fn example(name: &str) -> String {
    format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn deploy(name: &str) -> (String, String) {
    let local = Local::shared();
    let deployed = local.json(&["program", "deploy", &example(name)]);
    let field = |key: &str| {
        deployed[key]
            .as_str()
            .unwrap_or_else(|| panic!("{deployed}"))
            .to_owned()
    };
    (field("item_hash"), field("url"))
}

#[test]
fn a_wasm_function_answers() {
    let (hash, url) = deploy("wasm-hello");
    let (status, body) = get(&url);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("Wasm"), "{body}");
    let local = Local::shared();
    // Steps 4 and 5: assigned to a core node, by it to its compute node.
    let placed = get_json(&format!("{}/api/v0/allocation/{hash}", local.core(0)));
    assert_eq!(
        placed["node"]["node_id"], local.said["compute_nodes"][0]["node_hash"],
        "{placed}"
    );
    // Step 3: known at both core nodes.
    for core in 0..2 {
        assert_eq!(
            get_json(&format!(
                "{}/api/v0/messages/{hash}/status",
                local.core(core)
            ))["status"],
            "processed"
        );
    }
    let called = local.verb(&["program", "call", &hash, "/", "--json"]);
    assert!(called.status.success(), "{}", text(&called));
    assert_eq!(last_line(&called)["status"], 200);
}

#[test]
fn a_fastapi_application_answers_from_a_microvm() {
    let (hash, url) = deploy("fastapi");
    let (status, body) = get(&url);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    // The kernel of the guest, not of this machine.
    let kernel = answer["kernel"].as_str().unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(
        kernel.contains("cloud-amd64") && kernel != host.trim(),
        "{kernel} {host}"
    );
    let (status, body) = get(&format!("{}/items/2?shout=true", url.trim_end_matches('/')));
    assert_eq!((status, body.contains("CAMEL")), (200, true), "{body}");
    let (status, _) = get(&format!("{}/items/9", url.trim_end_matches('/')));
    assert_eq!(status, 404);
    let (status, body) = get(&format!("{}/crash", url.trim_end_matches('/')));
    assert!(status == 500, "{body}");
    let local = Local::shared();
    let state = get_json(&format!("{}/beth/v1/programs/{hash}", local.compute(0)));
    assert_eq!(state["executor"], "microvm");
    // Booted once, ahead of the call or for it; what answers is a copy.
    let phases = |kind: &str| -> Vec<String> {
        let list = state[kind].as_array().unwrap().iter();
        list.map(|phase| phase["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let started = phases("phases");
    let booted = [phases("preparation"), started.clone()].concat();
    for phase in ["kernel", "python", "application", "freeze"] {
        assert!(booted.iter().any(|p| p == phase), "{booted:?}");
    }
    for phase in ["clone", "wake"] {
        assert!(started.iter().any(|p| p == phase), "{started:?}");
    }
}

#[test]
fn a_host_name_reaches_the_program() {
    let (hash, url) = deploy("wasm-hello");
    let bytes: Vec<u8> = (0..32)
        .map(|i| u8::from_str_radix(&hash[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let label = base32(&bytes);
    let base = url.split("/vm/").next().unwrap();
    let output = std::process::Command::new("curl")
        .args([
            "--silent",
            "-H",
            &format!("Host: {label}.example.org"),
            base,
        ])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("Wasm"),
        "{output:?}"
    );
}

fn base32(bytes: &[u8]) -> String {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    bits.chunks(5)
        .map(|chunk| {
            let value = (0..5).fold(0, |value, bit| {
                value << 1 | chunk.get(bit).copied().unwrap_or(0)
            });
            alphabet[usize::from(value)] as char
        })
        .collect()
}
