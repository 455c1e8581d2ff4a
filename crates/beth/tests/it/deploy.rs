//! `beth program deploy` against a network that behaves, or does not.

use beth_protocol::content::ProgramContent;
use beth_protocol::{Content, Message, signature};
use serde_json::json;

use crate::beth::{Run, beth};
use crate::network::{Behaviour, Network};

const FUNCTION: &str = "(component (component $c) (instance $i (instantiate $c)) (export \"wasi:http/incoming-handler@0.2.0\" (instance $i)))";

fn folder(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}

async fn deploy(network: &Network, folder: &tempfile::TempDir, more: &[&str]) -> Run {
    let mut arguments = vec![
        "program",
        "deploy",
        folder.path().to_str().unwrap(),
        "--node",
        &network.url,
    ];
    arguments.extend(more);
    beth(&arguments).await
}

fn program(message: &Message) -> ProgramContent {
    assert_eq!(signature::verify(message), Ok(()));
    match message.inline_content().unwrap().unwrap().typed {
        Content::Program(content) => *content,
        other => panic!("no PROGRAM: {other:?}"),
    }
}

#[tokio::test]
async fn a_function_gets_its_url() {
    let network = Network::start(Behaviour::default()).await;
    let run = deploy(&network, &folder("function.wat", FUNCTION), &["--json"]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    let [store, published] = network.messages().try_into().unwrap();
    let report = run.object();
    assert_eq!(report["item_hash"], published.item_hash.as_str());
    assert_eq!(
        report["url"],
        format!("{}/vm/{}/", network.url, published.item_hash)
    );
    assert_eq!(
        (&report["executor"], &report["status_code"]),
        (&json!("wasm"), &json!(200))
    );
    let steps: Vec<&str> = run
        .stderr
        .lines()
        .skip(1)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        steps,
        [
            "packed", "stored", "accepted", "placed", "prepared", "started"
        ]
    );

    let content = program(&published);
    assert!(content.code.is_wasm());
    assert_eq!(content.code.reference, store.item_hash);
    assert_eq!(content.runtime.reference, store.item_hash);
}

#[tokio::test]
async fn options_reach_the_message() {
    let network = Network::start(Behaviour::default()).await;
    let folder = folder("server.py", "application = None\n");
    let options = [
        "--name",
        "shop",
        "--memory",
        "512",
        "--vcpus",
        "2",
        "--timeout",
        "7",
        "--entrypoint",
        "server:application",
        "--variable",
        "A=b=c",
        "--channel",
        "C",
        "--no-wait",
    ];
    let run = deploy(&network, &folder, &options).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("started"), "{}", run.stderr);
    let published = network.messages().pop().unwrap();
    assert_eq!(
        run.stdout,
        format!("{}/vm/{}/\n", network.url, published.item_hash)
    );
    let content = program(&published);
    assert_eq!(published.channel.as_deref(), Some("C"));
    let resources = &content.resources;
    assert_eq!(
        (resources.memory, resources.vcpus, resources.seconds),
        (512, 2, 7)
    );
    assert_eq!(content.code.entrypoint, "server:application");
    assert_eq!(content.variables.unwrap()["A"], "b=c");
    assert_eq!(content.metadata.unwrap()["name"], "shop");
}

#[tokio::test]
async fn a_program_that_does_not_start_shows_its_traceback() {
    let fault = (
        "the program failed to start: ModuleNotFoundError: No module named 'numpy'",
        "Traceback\n  File main.py\nModuleNotFoundError",
    );
    let network = Network::start(Behaviour {
        fault: Some(fault),
        ..Behaviour::default()
    })
    .await;
    let run = deploy(
        &network,
        &folder("main.py", "import numpy\napp = 1\n"),
        &["--json"],
    )
    .await;
    assert_eq!(run.code, 1);
    let report = run.object();
    let sentence = report["error"].as_str().unwrap();
    assert!(
        sentence.contains("pip install --target DIR numpy"),
        "{sentence}"
    );
    assert_eq!(report["traceback"], fault.1);
    assert_eq!(
        report["item_hash"],
        network.messages().pop().unwrap().item_hash.as_str()
    );
    assert!(run.stderr.contains("File main.py"), "{}", run.stderr);
}

#[tokio::test]
async fn too_little_balance_is_a_sentence() {
    let details = json!({"errors": [{"required_balance": "200.0", "account_balance": "3"}]});
    let network = Network::start(Behaviour {
        rejection: Some((5, details)),
        ..Behaviour::default()
    })
    .await;
    let run = deploy(&network, &folder("function.wat", FUNCTION), &["--json"]).await;
    assert_eq!(run.code, 1);
    let report = run.object();
    assert_eq!(report["error_code"], 5);
    assert!(
        report["error"]
            .as_str()
            .unwrap()
            .contains("holds 3 ALEPH and needs 200 "),
        "{report}"
    );
}

#[tokio::test]
async fn a_compute_node_may_be_named() {
    let network = Network::start(Behaviour {
        unplaced: Some("none has room"),
        ..Behaviour::default()
    })
    .await;
    let run = deploy(
        &network,
        &folder("function.wat", FUNCTION),
        &["--compute-node", &network.url],
    )
    .await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("placed"), "{}", run.stderr);
}
