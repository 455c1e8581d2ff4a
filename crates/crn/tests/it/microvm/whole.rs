//! A whole node, called over HTTP: what the network's diagnostic program asks of
//! one (compute.md §31.1) works together and over a restart.

use std::cell::OnceCell;
use std::path::Path;

use beth_crn::CrnConfig;
use beth_crn::config::Acceleration;
use beth_crn::lan::{LanConfig, Mode};
use beth_crn::microvm::default_guest_folder;
use beth_crn::node;
use beth_protocol::{ItemHash, MessageType};
use serde_json::json;

use super::fixture::run;
use crate::fake::{FakeCore, TestNode};
use crate::lan::bed::{Bed, inside};

const DIAGNOSTIC: &str = r#"
import http.client, json, os, socket

class Node(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["ALEPH_API_UNIX_SOCKET"])

def ask(method, path, body=None):
    node = Node("localhost")
    node.request(method, path, body)
    return node.getresponse().read().decode()

def internet():
    with socket.create_connection(("203.0.113.1", 80), timeout=5) as connection:
        return connection.recv(100).decode().strip()

def increment():
    path = "/var/lib/example/counter"
    count = int(open(path).read()) + 1 if os.path.exists(path) else 1
    with open(path, "w") as file:
        file.write(str(count))
        file.flush()
        os.fsync(file.fileno())
    return count

def message(name):
    return json.loads(ask("GET", f"/api/v0/messages.json?hashes={name}"))["messages"][0]["item_hash"]

async def app(scope, receive, send):
    assert scope["type"] == "http"
    name, _, word = scope["path"].strip("/").partition("/")
    answer = {
        "internet": internet,
        "increment": increment,
        "set": lambda: ask("PUT", "/cache/word", word),
        "word": lambda: ask("GET", "/cache/word"),
        "message": lambda: message(word),
    }[name]()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(answer).encode()})
"#;

fn zipped(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("main.py", options).unwrap();
    archive.write_all(text.as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}

async fn start(core: &FakeCore, folder: &Path, runtime: &ItemHash) -> TestNode {
    let changed: OnceCell<CrnConfig> = OnceCell::new();
    let change = |config: &mut CrnConfig| {
        let image = default_guest_folder().join("python.squashfs");
        config.folder = folder.to_owned();
        config.well_known_files = [(runtime.clone(), image)].into();
        config.acceleration = Acceleration::Tcg;
        config.ready_timeout_seconds = 180;
        config.instances.enabled = true;
        config.lan = LanConfig {
            mode: Mode::Tap,
            ipv6_pool: "2a01:4f8:171:787::/64".parse().unwrap(),
            dns: vec!["10.0.0.2".parse().unwrap()],
            ..LanConfig::default()
        };
        changed.set(config.clone()).unwrap();
    };
    TestNode::start_given(core, None, change, |given| {
        given.executors = node::executors(changed.get().unwrap()).unwrap();
    })
    .await
}

#[test]
fn a_diagnostic_program_finds_what_it_needs_before_and_after_a_restart() {
    if !inside(
        "microvm::whole::a_diagnostic_program_finds_what_it_needs_before_and_after_a_restart",
    ) {
        return;
    }
    run(async {
        let mut bed = Bed::new();
        bed.serve("internet", "80", "");
        let core = FakeCore::start().await;
        let runtime = ItemHash::of_bytes(b"runtime");
        let content = json!({
            "address": core.address(), "time": 2.5, "type": "vm-function", "allow_amend": false,
            "code": {"encoding": "zip", "entrypoint": "main:app", "ref": core.store(zipped(DIAGNOSTIC).into())},
            "runtime": {"ref": runtime, "comment": ""}, "on": {"http": true},
            "environment": {"internet": true, "aleph_api": true, "shared_cache": true},
            "resources": {"vcpus": 1, "memory": 128, "seconds": 30},
            "volumes": [{"persistence": "host", "name": "example", "mount": "/var/lib/example", "size_mib": 4}],
        });
        let program = core.publish(MessageType::Program, &content);
        let message = format!("/message/{program}");
        for before in [0, 2] {
            let node = start(&core, bed.folder(), &runtime).await;
            let count = |more: u64| (before + more).to_string();
            for (path, expected) in [
                ("/internet", "203.0.113.10".to_owned()),
                ("/increment", count(1)),
                ("/increment", count(2)),
                ("/set/blue", "true".to_owned()),
                ("/word", "blue".to_owned()),
                (message.as_str(), program.to_string()),
            ] {
                let answer = node.call(&program, path).await;
                assert_eq!(answer, (200, expected), "{path}");
            }
            node.stop().await;
            assert!(!std::fs::read_dir("/sys/class/net").unwrap().any(|card| {
                card.unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with("vmtap")
            }));
        }
    });
}
