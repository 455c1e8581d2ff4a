//! Machines that are clones of a frozen one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use beth_crn::executor::{Executor, Fault, Machine, Phases};
use beth_crn::microvm::MicroVm;
use futures::future::join_all;
use serde_json::Value;

use super::fixture::{Fixture, get, get_json, run, until};

/// Says what no two machines may have in common, what they have, and the time.
const DIFFERENT: &str = r#"
import json, os, random, ssl, time, uuid
from hashlib import sha256

print("loading")
started = uuid.uuid4().hex
warm = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            print(kind)
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    warm.append(scope["path"])
    if scope["path"] == "/fill":
        warm.append(os.urandom(64 << 20))
    answer = {
        "different": [os.urandom(16).hex(), str(random.random()), str(uuid.uuid4()), ssl.RAND_bytes(16).hex()],
        "same": started, "time": time.time(), "calls": [each for each in warm if isinstance(each, str)],
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/warm":
        for _ in range(40):
            await send({"type": "http.response.body", "body": bytes(20_000), "more_body": True})
        print("warmed up")
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"#;

fn different() -> Fixture {
    Fixture::zip("main:app", &[("main.py", DIFFERENT)])
}

async fn start(executor: &MicroVm, fixture: &Fixture) -> (Box<dyn Machine>, Vec<&'static str>) {
    let phases = Phases::default();
    let program = Arc::new(fixture.program.clone());
    let machine = executor.start(program, phases.clone()).await.unwrap();
    let names = phases.list().into_iter().map(|(name, _)| name).collect();
    (machine, names)
}

fn templates(fixture: &Fixture) -> Vec<PathBuf> {
    let folder = fixture.config.work_folder.join("templates");
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

#[test]
fn clones_differ_in_what_is_random_and_know_the_time() {
    run(async {
        let fixture = different();
        let executor = fixture.executor();
        executor
            .prepare(&fixture.program, Phases::default())
            .await
            .unwrap();
        assert_eq!(templates(&fixture).len(), 1);
        assert!(fixture.qemu().is_none(), "a template needs no QEMU");
        let (first, phases) = start(&executor, &fixture).await;
        assert_eq!(phases, ["turn", "clone", "wake"]);
        let (second, _) = start(&executor, &fixture).await;
        let (third, _) = start(&executor, &fixture).await;
        let mut seen = Vec::new();
        for machine in [&first, &second, &third] {
            let answer = get_json(&**machine, "/").await;
            let late = now() - answer["time"].as_f64().unwrap();
            assert!(late.abs() < 2.0, "its clock is {late} seconds late");
            seen.push(answer);
        }
        for number in 0..4 {
            let values: std::collections::HashSet<String> = seen
                .iter()
                .map(|answer| answer["different"][number].to_string())
                .collect();
            assert_eq!(values.len(), 3, "{number}: {values:?}");
        }
        assert!(seen.iter().all(|answer| answer["same"] == seen[0]["same"]));
        first.stop().await;
        let logs = first.logs();
        for line in ["loading", "lifespan.startup", "lifespan.shutdown"] {
            assert_eq!(logs.iter().filter(|logged| *logged == line).count(), 1);
        }
    });
}

#[test]
fn many_at_once_wait_for_one_boot() {
    run(async {
        let mut fixture = different();
        fixture.program.content.resources.vcpus = 2;
        let executor = fixture.executor();
        let started = join_all((0..5).map(|_| start(&executor, &fixture))).await;
        let boots = started
            .iter()
            .filter(|(_, phases)| phases.contains(&"kernel"));
        assert_eq!(boots.count(), 1);
        let answers = join_all(started.iter().map(|(machine, _)| get_json(&**machine, "/"))).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer["same"] == answers[0]["same"])
        );
        assert_eq!(templates(&fixture).len(), 1);
    });
}

#[test]
fn a_paused_machine_stands_still_and_goes_on_with_the_next_call() {
    run(async {
        let fixture = different();
        let (machine, _) = start(&fixture.executor(), &fixture).await;
        get_json(&*machine, "/first").await;
        machine.pause().await;
        assert!(machine.is_paused() && machine.is_alive());
        let (clock, before) = (now(), processor_time(&fixture));
        until(|| now() > clock + 2.0).await;
        assert_eq!(processor_time(&fixture), before);
        let answer = get_json(&*machine, "/second").await;
        assert_eq!(answer["calls"], serde_json::json!(["/first", "/second"]));
        assert!((now() - answer["time"].as_f64().unwrap()).abs() < 1.0);
        assert!(!machine.is_paused());
        machine.pause().await;
        machine.stop().await;
        assert!(machine.logs().contains(&"lifespan.shutdown".to_owned()));
    });
}

#[test]
fn a_machine_that_answers_is_not_paused() {
    run(async {
        let fixture = Fixture::zip("main:app", &[("main.py", SLOW)]);
        let (machine, _) = start(&fixture.executor(), &fixture).await;
        let calling = get(&*machine, "/wait");
        let pausing = async {
            until(|| machine.logs().contains(&"waiting".to_owned())).await;
            machine.pause().await;
            assert!(!machine.is_paused());
            get(&*machine, "/go").await.unwrap();
        };
        let (answer, ()) = futures::future::join(calling, pausing).await;
        assert_eq!(answer.unwrap().status, 200);
        // Whoever gives up a call lets it be paused.
        let given_up = tokio::time::timeout(Duration::from_millis(50), get(&*machine, "/wait"));
        assert!(given_up.await.is_err());
        machine.pause().await;
        assert!(machine.is_paused());
    });
}

const SLOW: &str = r#"
import asyncio
go = asyncio.Event()

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/wait":
        go.clear()
        print("waiting")
        await go.wait()
    go.set()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"#;

#[test]
fn another_node_takes_templates_over_and_a_change_makes_another() {
    run(async {
        let mut fixture = different();
        let prepared = fixture
            .executor()
            .prepare(&fixture.program, Phases::default())
            .await;
        prepared.unwrap();
        let before = templates(&fixture);
        let (machine, phases) = start(&fixture.executor(), &fixture).await;
        assert_eq!(phases, ["turn", "clone", "wake"]);
        drop(machine);
        let mut content = serde_json::to_value(&fixture.program.content).unwrap();
        content["variables"]["BETH_WARM_UP"] = "/warm?up=yes".into();
        fixture.program.content = serde_json::from_value(content).unwrap();
        let executor = fixture.executor();
        let (machine, phases) = start(&executor, &fixture).await;
        assert!(phases.contains(&"kernel"), "{phases:?}");
        let calls = get_json(&*machine, "/").await["calls"].clone();
        assert_eq!(calls, serde_json::json!(["/warm", "/"]));
        let logs = machine.logs();
        assert!(logs.contains(&"warmed up".to_owned()), "{logs:?}");
        assert!(
            !logs.iter().any(|line| line.contains("warming up")),
            "{logs:?}"
        );
        drop(machine);
        let after = templates(&fixture);
        assert!(after.len() == 1 && after != before, "{after:?}");
        executor.forget(&fixture.program.item_hash);
        assert!(templates(&fixture).is_empty());
    });
}

#[test]
fn a_broken_template_is_replaced_by_a_boot() {
    run(async {
        let fixture = different();
        let executor = fixture.executor();
        executor
            .prepare(&fixture.program, Phases::default())
            .await
            .unwrap();
        let state = templates(&fixture)[0].join("state");
        std::fs::write(state, "nonsense").unwrap();
        let (machine, phases) = start(&executor, &fixture).await;
        assert!(phases.contains(&"kernel"), "{phases:?}");
        get_json(&*machine, "/").await;
        assert!(templates(&fixture).is_empty());
    });
}

#[test]
fn without_room_for_templates_machines_boot() {
    run(async {
        let mut fixture = different();
        fixture.config.templates_mib = 0;
        let (machine, phases) = start(&fixture.executor(), &fixture).await;
        assert!(!phases.contains(&"freeze"), "{phases:?}");
        get_json(&*machine, "/").await;
        fixture.config.templates_mib = 10;
        let (machine, phases) = start(&fixture.executor(), &fixture).await;
        assert!(phases.contains(&"clone"), "it was frozen, but is not kept");
        get_json(&*machine, "/").await;
        assert!(templates(&fixture).is_empty());
    });
}

#[test]
fn clones_share_their_memory_and_what_one_writes_no_other_sees() {
    run(async {
        let fixture = different();
        let executor = fixture.executor();
        executor
            .prepare(&fixture.program, Phases::default())
            .await
            .unwrap();
        let (machine, _) = start(&executor, &fixture).await;
        get_json(&*machine, "/").await;
        let own_mib = memory_mib(&fixture, "RssAnon:");
        assert!(own_mib < 45, "{own_mib} MiB");
        get_json(&*machine, "/fill").await;
        assert!(memory_mib(&fixture, "RssAnon:") > own_mib + 50);
        drop(machine);
        until(|| fixture.qemu().is_none()).await;
        let (machine, _) = start(&executor, &fixture).await;
        let calls = get_json(&*machine, "/").await["calls"].clone();
        assert_eq!(calls, serde_json::json!(["/"]));
    });
}

#[test]
fn an_executable_begins_in_the_clone() {
    const SERVER: &str = r#"#!/usr/bin/python3
import http.server, random
number = random.random()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(number).encode())
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"#;
    run(async {
        let fixture = Fixture::zip("serve", &[("serve", SERVER)]);
        let executor = fixture.executor();
        let (first, _) = start(&executor, &fixture).await;
        let (second, phases) = start(&executor, &fixture).await;
        assert_eq!(phases, ["turn", "clone", "wake"]);
        let (first, second) = (get(&*first, "/").await, get(&*second, "/").await);
        assert_ne!(first.unwrap().body, second.unwrap().body);
    });
}

#[test]
fn a_program_that_fails_leaves_no_template() {
    run(async {
        let fixture = Fixture::zip("main:app", &[("main.py", "raise RuntimeError('no')")]);
        let executor = fixture.executor();
        let failed = executor.prepare(&fixture.program, Phases::default()).await;
        assert!(matches!(failed, Err(Fault::Setup { .. })), "{failed:?}");
        assert!(templates(&fixture).is_empty());
        until(|| fixture.qemu().is_none()).await;
    });
}

#[test]
fn giving_up_a_template_leaves_nothing_behind() {
    run(async {
        let fixture = different();
        let executor = fixture.executor();
        let mut prepare = executor.prepare(&fixture.program, Phases::default());
        tokio::select! {
            _ = &mut prepare => panic!("no machine boots that fast"),
            () = until(|| fixture.qemu().is_some()) => {}
        }
        drop(prepare);
        until(|| fixture.qemu().is_none()).await;
        until(|| templates(&fixture).is_empty()).await;
        let answer = async { get_json(&*start(&executor, &fixture).await.0, "/").await };
        assert_ne!(answer.await, Value::Null);
    });
}

/// In ticks of 10 ms.
fn processor_time(fixture: &Fixture) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", fixture.qemu().unwrap()));
    let stat = stat.unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn memory_mib(fixture: &Fixture, name: &str) -> u64 {
    let pid = fixture.qemu().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}
