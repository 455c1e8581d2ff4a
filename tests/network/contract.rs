//! What scripts may rely on: `beth up`, its one line, its end, its state.

use std::collections::BTreeSet;

use crate::local::{Local, beth, get_json, signal, text};

#[test]
fn says_what_the_contract_says() {
    let local = Local::shared();
    let said = &local.said;
    let keys: BTreeSet<&str> = said
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        BTreeSet::from(["accounts", "compute_nodes", "core_nodes", "images", "pid"])
    );
    assert_eq!(said["core_nodes"].as_array().unwrap().len(), 2);
    assert_eq!(said["compute_nodes"].as_array().unwrap().len(), 1);
    assert_eq!(said["pid"], local.pid());
    assert_eq!(said["accounts"].as_array().unwrap().len(), 10);
    assert_eq!(
        said["accounts"][0]["address"],
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    );
    assert_eq!(said["accounts"][0]["chain"], "ETH");
    for node in said["core_nodes"].as_array().unwrap() {
        assert!(node["peer_id"].as_str().unwrap().len() > 40);
        let version = get_json(&format!("{}/api/v0/version", node["url"].as_str().unwrap()));
        assert!(version["version"].is_string());
    }
    assert_eq!(
        said["compute_nodes"][0]["node_hash"]
            .as_str()
            .unwrap()
            .len(),
        64
    );
    let balance = get_json(&format!(
        "{}/api/v0/addresses/{}/balance",
        local.core(1),
        local.address(9)
    ));
    assert!(balance["balance"].as_f64().unwrap() > 100_000.0);
}

#[test]
fn ends_with_zero_and_comes_back_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    let local = Local::start_in(&path, &[]);
    let posted = local.json(&[
        "post",
        "create",
        "--type",
        "memory",
        "--content",
        r#"{"kept":true}"#,
    ]);
    let hash = posted["item_hash"].as_str().unwrap().to_owned();
    let peer = local.said["core_nodes"][0]["peer_id"].clone();
    assert_eq!(local.stop(libc::SIGTERM).code(), Some(0));

    let local = Local::start_in(&path, &[]);
    assert_eq!(local.said["core_nodes"][0]["peer_id"], peer);
    let message = get_json(&format!("{}/api/v0/messages/{hash}", local.core(0)));
    assert_eq!(message["status"], "processed");
    assert_eq!(local.stop(libc::SIGINT).code(), Some(0));

    let local = Local::start_in(&path, &["--fresh"]);
    let (status, _) = crate::local::get(&format!("{}/api/v0/messages/{hash}", local.core(0)));
    assert_eq!(status, 404, "--fresh wipes the state");
}

#[test]
fn a_second_network_in_the_same_folder_is_refused() {
    let local = Local::shared();
    let output = beth()
        .args(["up", "--json", "--port-base", "0", "--dir"])
        .arg(&local.folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("another `beth up`"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // The first core node listens four above the base.
    let base = taken.local_addr().unwrap().port() - 4;
    let folder = tempfile::tempdir().unwrap();
    let output = beth()
        .args(["up", "--json", "--port-base", &base.to_string(), "--dir"])
        .arg(folder.path().join("net"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains(&(base + 4).to_string()),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("--port-base"), "{}", text(&output));
}

#[test]
fn nobody_survives_a_killed_parent() {
    let local = Local::start();
    let url = local.core(0).to_owned();
    signal(local.pid(), libc::SIGKILL);
    crate::local::eventually(
        || crate::local::get(&format!("{url}/api/v0/version")).0,
        |status| *status == 0,
    );
}
