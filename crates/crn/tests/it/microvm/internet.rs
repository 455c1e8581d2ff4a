//! Programs that may reach the internet, on a host of their own.

use std::sync::Arc;

use beth_crn::executor::{Executor, Machine, Phases};
use beth_crn::lan::{Lan, LanConfig, Mode, Wishes};
use beth_crn::microvm::MicroVm;
use beth_protocol::ItemHash;
use serde_json::{Value, json};

use super::fixture::{Fixture, get_json, run, until};
use crate::lan::bed::{self, Bed, inside};

const CALLER: &str = r#"
import json, os, socket
from urllib.parse import parse_qsl

def probe(host, port):
    try:
        with socket.create_connection((host, int(port)), timeout=3) as connection:
            return connection.recv(100).decode().strip()
    except TimeoutError:
        return "silence"
    except OSError as error:
        return error.strerror

imported = probe("203.0.113.1", 80)

async def app(scope, receive, send):
    assert scope["type"] == "http"
    query = dict(parse_qsl(scope["query_string"].decode()))
    answer = {"heard": probe(**query)} if query else {
        "imported": imported,
        "cards": sorted(os.listdir("/sys/class/net")),
        "resolvers": open("/etc/resolv.conf").read() if os.path.exists("/etc/resolv.conf") else None,
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
"#;

fn caller(internet: bool) -> Fixture {
    let mut fixture = Fixture::zip("main:app", &[("main.py", CALLER)]);
    fixture.program.content.environment.internet = internet;
    fixture
}

async fn start(executor: &MicroVm, fixture: &Fixture) -> (Box<dyn Machine>, Vec<&'static str>) {
    let phases = Phases::default();
    let program = Arc::new(fixture.program.clone());
    let machine = executor.start(program, phases.clone()).await.unwrap();
    let names = phases.list().into_iter().map(|(name, _)| name).collect();
    (machine, names)
}

async fn probe(machine: &dyn Machine, to: &str) -> String {
    let (host, port) = to.split_once(' ').unwrap();
    let answer = get_json(machine, &format!("/?host={host}&port={port}")).await;
    answer["heard"].as_str().unwrap().to_owned()
}

async fn lan(bed: &Bed) -> Lan {
    let config = LanConfig {
        mode: Mode::Tap,
        ipv6_pool: "2a01:4f8:171:787::/64".parse().unwrap(),
        dns: vec!["10.0.0.2".parse().unwrap()],
        ..LanConfig::default()
    };
    Lan::start(&config, &bed.folder().join("lan"))
        .await
        .unwrap()
}

#[test]
fn programs_reach_the_internet_and_neither_the_host_nor_its_neighbours() {
    if !inside(
        "microvm::internet::programs_reach_the_internet_and_neither_the_host_nor_its_neighbours",
    ) {
        return;
    }
    run(async {
        let mut bed = Bed::new();
        bed.serve("internet", "53,80", "");
        bed.serve("", "4020", "");
        let lan = lan(&bed).await;
        let fixture = caller(true);
        let name = &fixture.program.item_hash;
        let executor = fixture.executor();
        executor.use_network(&lan);
        let (first, phases) = start(&executor, &fixture).await;
        assert!(phases.contains(&"freeze"), "{phases:?}");
        let expected = json!({
            "imported": "203.0.113.10", "cards": ["eth0", "lo"], "resolvers": "nameserver 10.0.0.2\n",
        });
        assert_eq!(get_json(&*first, "/").await, expected);
        let link = lan.link_of(name).unwrap();
        assert_eq!(link.ipv4.to_string(), "172.16.4.2");
        let own6 = link.ipv6.unwrap().address.to_string();
        for (to, expected) in [
            ("203.0.113.1 80", "203.0.113.10"),
            ("2001:db8:1::1 80", own6.as_str()),
            ("10.0.0.2 53", "203.0.113.10"),
            ("10.1.2.3 80", "silence"),
            ("169.254.169.254 80", "silence"),
            ("fd00:ec2::254 80", "silence"),
            ("172.16.4.1 4020", "silence"),
            ("203.0.113.10 4020", "silence"),
        ] {
            assert_eq!(probe(&*first, to).await, expected, "{to}");
        }
        // The address that scorers compute answers: nobody listens there, but
        // somebody is there.
        let refused = bed::probe("internet", &format!("tcp {own6} 22 -"));
        assert!(refused.contains("refused"), "{refused}");

        // One machine has the card.
        let program = Arc::new(fixture.program.clone());
        let second = executor.start(program, Phases::default()).await;
        let fault = second.map(drop).unwrap_err().to_string();
        assert!(fault.contains("another machine"), "{fault}");
        first.stop().await;
        until(|| lan.attached().is_empty()).await;

        // A clone has the addresses of now, not those of its template.
        let other = ItemHash::of_bytes(b"other");
        lan.attach(&other, Wishes::default()).await.unwrap();
        let (third, phases) = start(&executor, &fixture).await;
        assert_eq!(phases, ["turn", "clone", "wake"]);
        let link = lan.link_of(name).unwrap();
        assert_eq!(link.ipv4.to_string(), "172.16.5.2");
        assert_eq!(probe(&*third, "203.0.113.1 80").await, "203.0.113.10");
        assert_eq!(probe(&*third, "2001:db8:1::1 80").await, own6);
        drop(third);
        until(|| lan.attached().len() == 1).await;

        // What another node left is not for ever.
        lan.forget_programs().await.unwrap();
        assert_eq!(lan.attached().len(), 1, "instances stay");
    });
}

#[test]
fn who_did_not_ask_for_the_internet_has_no_card() {
    if !inside("microvm::internet::who_did_not_ask_for_the_internet_has_no_card") {
        return;
    }
    run(async {
        let bed = Bed::new();
        let lan = lan(&bed).await;
        let fixture = caller(false);
        let executor = fixture.executor();
        executor.use_network(&lan);
        let (machine, _) = start(&executor, &fixture).await;
        let expected = json!({
            "imported": "Network is unreachable", "cards": ["lo"], "resolvers": Value::Null,
        });
        assert_eq!(get_json(&*machine, "/").await, expected);
        assert!(lan.attached().is_empty());
    });
}
