//! Persistent volumes: what is written stays, whoever ends.

use std::sync::Arc;

use beth_crn::executor::{Executor, Fault, Machine, Phases};
use beth_crn::microvm::MicroVm;
use beth_protocol::content::machine::Volume;
use serde_json::{Value, json};

use super::fixture::{Fixture, get_json, run, until};

const WRITER: &str = r#"
import json, os

def fill():
    written = 0
    try:
        with open("/data/large", "wb", buffering=0) as file:
            while True:
                written += file.write(bytes(1 << 20))
    except OSError as error:
        os.unlink("/data/large")
        return [written >> 20, error.strerror]

async def app(scope, receive, send):
    assert scope["type"] == "http"
    path = scope["path"]
    if path == "/write":
        with open("/data/notes", "a") as file:
            file.write("x")
    if path == "/fsync":
        with open("/data/notes", "a") as file:
            file.write("y")
            file.flush()
            os.fsync(file.fileno())
    answer = {"filled": fill()} if path == "/fill" else {}
    answer["notes"] = open("/data/notes").read() if os.path.exists("/data/notes") else None
    answer["mounts"] = [line.split()[1:3] for line in open("/proc/mounts") if line.startswith("/dev/vd") and "ext4" in line]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"#;

fn writer(volumes: Value) -> Fixture {
    let mut fixture = Fixture::zip("main:app", &[("main.py", WRITER)]);
    fixture.program.content.volumes = serde_json::from_value(volumes).unwrap();
    fixture
}

fn data(size_mib: u64) -> Value {
    json!([
        {"persistence": "host", "name": "data", "mount": "/data", "size_mib": size_mib},
        {"persistence": "host", "name": "more", "size_mib": 1},
    ])
}

async fn start(executor: &MicroVm, fixture: &Fixture) -> Result<Box<dyn Machine>, Fault> {
    let program = Arc::new(fixture.program.clone());
    executor.start(program, Phases::default()).await
}

#[test]
fn files_outlive_machines_and_the_node_until_they_are_erased() {
    run(async {
        let fixture = writer(data(16));
        let executor = fixture.executor();
        let prepared = executor.prepare(&fixture.program, Phases::default()).await;
        prepared.unwrap();
        let first = start(&executor, &fixture).await.unwrap();
        let seen = get_json(&*first, "/").await;
        let mounts = json!([["/data", "ext4"], ["/mnt/more", "ext4"]]);
        assert_eq!(seen, json!({"notes": null, "mounts": mounts}));
        get_json(&*first, "/write").await;

        // One machine writes; the next one waits for its end, and not for ever.
        let refused = start(&executor, &fixture).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("another machine"), "{refused}");
        let (second, ()) = futures::join!(start(&executor, &fixture), first.stop());
        let second = second.unwrap();
        assert_eq!(get_json(&*second, "/").await["notes"], "x");

        // The size is what the message says, and a full disk is an error that
        // the program survives.
        let filled = get_json(&*second, "/fill").await["filled"].clone();
        assert_eq!(filled[1], "No space left on device");
        assert!((8..16).contains(&filled[0].as_u64().unwrap()), "{filled}");

        // What is on the disk stays even when the node and QEMU are killed.
        assert_eq!(get_json(&*second, "/fsync").await["notes"], "xy");
        let pid = fixture.qemu().unwrap().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-9", &pid])
            .status();
        assert!(kill.unwrap().success());
        until(|| !second.is_alive()).await;
        drop((second, executor));
        let executor = fixture.executor();
        let third = start(&executor, &fixture).await.unwrap();
        assert_eq!(get_json(&*third, "/").await["notes"], "xy");

        third.stop().await;
        executor.forget(&fixture.program.item_hash);
        let shelf = fixture
            .config
            .volumes_folder
            .join(fixture.program.item_hash.as_str());
        assert!(shelf.join("data.ext4").is_file(), "forgotten is not erased");
        executor.erase(&fixture.program.item_hash).await.unwrap();
        assert!(!shelf.exists());
    });
}

#[test]
fn names_that_lead_elsewhere_and_sizes_that_fit_nowhere_are_refused() {
    run(async {
        let fixture = writer(json!([{"persistence": "host", "name": "../x", "size_mib": 1}]));
        let executor = fixture.executor();
        let admitted = executor.admit(&fixture.program.content);
        assert!(
            matches!(admitted, Err(Fault::BadProgram(_))),
            "{admitted:?}"
        );
        let started = start(&executor, &fixture).await.map(drop);
        assert!(matches!(started, Err(Fault::BadProgram(_))), "{started:?}");
        let mut fixture = writer(data(16));
        for volume in &mut fixture.program.content.volumes {
            if let Volume::Persistent(volume) = volume {
                volume.size_mib = 1 << 40;
            }
        }
        let started = start(&fixture.executor(), &fixture).await.map(drop);
        let fault = started.unwrap_err().to_string();
        assert!(fault.contains("no room"), "{fault}");
    });
}
