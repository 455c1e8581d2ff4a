//! The Firecracker executor against a stand-in that says what recorded guests
//! said: no Firecracker can be had from package registries. The bytes are those
//! of the vectors on both sides; what a real one does with them is not shown here.

use std::path::PathBuf;
use std::sync::Arc;

use beth_crn::core_node::CoreNode;
use beth_crn::executor::{Executor, Fault, Machine, Phases};
use beth_crn::guest_api::GuestApi;
use beth_crn::microvm::{Firecracker, FirecrackerConfig};

use crate::microvm::fixture::{Fixture, get, until};

/// A stand-in in place of Firecracker, and a program for it.
struct Bench {
    fixture: Fixture,
    executor: Firecracker,
    machines: PathBuf,
}

impl Bench {
    fn new(entrypoint: &str) -> Bench {
        let mut fixture = Fixture::zip(entrypoint, &[("main.py", "app = None")]);
        fixture.program.content.resources.seconds = 2;
        let folder = fixture.folder.path();
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/firecracker/stand_in.py"
        );
        let words = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../vectors/crn/host_guest.json"
        );
        let binary = folder.join("firecracker");
        // Written by another process: a child of a sibling test may hold an open
        // descriptor of what this one writes, and it could not be executed then.
        let script = format!(
            "printf '#!/bin/sh\\nBETH_WORDS={words} exec python3 {source} \"$@\"\\n' > {0} && chmod 755 {0}",
            binary.display()
        );
        let status = std::process::Command::new("sh")
            .args(["-c", &script])
            .status();
        assert!(status.unwrap().success());
        let kernel = folder.join("vmlinux");
        std::fs::write(&kernel, "a kernel").unwrap();
        let machines = folder.join("machines");
        let config = FirecrackerConfig { binary, kernel };
        let executor = Firecracker::new(config, machines.clone(), 20).unwrap();
        Bench {
            fixture,
            executor,
            machines,
        }
    }

    async fn start(&self) -> Result<Box<dyn Machine>, Fault> {
        let program = Arc::new(self.fixture.program.clone());
        self.executor.start(program, Phases::default()).await
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.machines).unwrap().next().is_none()
    }
}

#[tokio::test]
async fn a_program_answers_and_is_halted() {
    let bench = Bench::new("main:app");
    let machine = bench.start().await.unwrap();
    let answer = get(&*machine, "/hello").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[1], (b"x-a".to_vec(), b"1".to_vec()));
    let raised = get(&*machine, "/raise").await;
    assert!(
        matches!(&raised, Err(Fault::Raised { traceback }) if traceback.contains("ValueError: boom")),
        "{raised:?}"
    );
    assert!(matches!(
        get(&*machine, "/never").await,
        Err(Fault::Timeout)
    ));
    assert!(machine.is_alive(), "a call that took too long ends nothing");
    machine.stop().await;
    assert!(!machine.is_alive());
    assert_eq!(machine.logs().last().unwrap(), "halted");
    drop(machine);
    assert!(bench.is_empty(), "its folder is gone");
}

#[tokio::test]
async fn programs_ask_their_node_over_the_virtual_socket() {
    let mut bench = Bench::new("main:app");
    let core = CoreNode::new("http://127.0.0.1:1").unwrap();
    let folder = bench.fixture.folder.path().join("guests");
    let api = GuestApi::open(&folder, core).unwrap();
    bench.executor = bench.executor.clone().with_guest_api(api);
    let machine = bench.start().await.unwrap();
    get(&*machine, "/ask").await.unwrap();
    let said = |count: usize| {
        let logs = machine.logs();
        let asked = logs.iter().filter_map(|line| line.strip_prefix("asked: "));
        let asked: Vec<String> = asked.map(str::to_owned).collect();
        (asked.len() == count).then_some(asked)
    };
    until(|| said(4).is_some()).await;
    let expected = [
        "200 true",
        "200 42",
        "413 the body broke off, or is longer than 1 MiB",
        "400 ",
    ];
    assert_eq!(said(4).unwrap(), expected);
    machine.stop().await;
}

#[tokio::test]
async fn nonsense_and_silence_end_the_machine() {
    for (path, cause) in [
        ("/nothing", "No response from VM"),
        ("/garbage", "Invalid response from VM"),
        ("/leave", "exit status: 3"),
    ] {
        let bench = Bench::new("main:app");
        let machine = bench.start().await.unwrap();
        let answer = get(&*machine, path).await;
        assert!(
            matches!(&answer, Err(Fault::Died(text)) if text.contains(cause)),
            "{path}: {answer:?}"
        );
        until(|| !machine.is_alive()).await;
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_imported_says_so_and_leaves_nothing() {
    let bench = Bench::new("missing:app");
    let Err(Fault::Setup { error, traceback }) = bench.start().await else {
        panic!("it started");
    };
    assert_eq!(error, "No module named 'main'");
    assert!(traceback.starts_with("Traceback"));
    assert!(bench.is_empty());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let mut bench = Bench::new("main:app");
    let config = FirecrackerConfig {
        binary: "/nowhere/firecracker".into(),
        kernel: "/nowhere/vmlinux".into(),
    };
    bench.executor = Firecracker::new(config, bench.machines.clone(), 20).unwrap();
    let Err(Fault::NotHere(text)) = bench.start().await else {
        panic!("it started");
    };
    assert!(text.contains("`firecracker.binary`"), "{text}");
}
