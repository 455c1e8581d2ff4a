//! The executor alone, without pool and HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beth_crn::body::Body;
use beth_crn::executor::{Call, Executor, LocalFile, Machine, Phases, Program};
use beth_crn::wasm::{Wasm, WasmConfig};
use beth_protocol::ItemHash;
use bytes::Bytes;

use crate::{account, ground, processor_time, report};

const INSTANCES: usize = 5000;
const SECONDS: u64 = 4;
const CALLERS: usize = 32;
const FUNCTIONS: u32 = 1000;

/// Instances one after the other, then calls by many callers at once.
pub async fn measure(component: Bytes) {
    let folder = tempfile::tempdir().unwrap();
    let wasm = Wasm::new(WasmConfig::default(), folder.path().join("compiled")).unwrap();
    let program = Arc::new(program(folder.path(), &component));
    let begun = Instant::now();
    let machine = start(&wasm, &program).await;
    println!("compile, load and link: {:.1?}", begun.elapsed());

    let instances = INSTANCES.min(100_000_000 / component.len());
    let mut times = Vec::new();
    for _ in 0..instances {
        times.push(wasm.instantiate(&program).await.unwrap());
    }
    report("instance, made and dropped", times);

    let mut times = Vec::new();
    for _ in 0..instances {
        let begun = Instant::now();
        answered(&machine).await;
        times.push(begun.elapsed());
    }
    report("call, one after the other", times);

    let before = processor_time(std::process::id());
    let begun = Instant::now();
    let until = begun + Duration::from_secs(SECONDS);
    let callers = (0..CALLERS).map(|_| {
        let machine = machine.clone();
        tokio::spawn(async move {
            let mut calls = 0u64;
            while Instant::now() < until {
                answered(&machine).await;
                calls += 1;
            }
            calls
        })
    });
    let mut calls = 0;
    for caller in callers.collect::<Vec<_>>() {
        calls += caller.await.unwrap();
    }
    let rate = calls as f64 / begun.elapsed().as_secs_f64();
    let took = processor_time(std::process::id()) - before;
    println!(
        "executor on one processor, {CALLERS} callers: {rate:.0} calls/s; {:.1} µs of processor time each: {:.0}/s of a processor it has for itself",
        took.as_secs_f64() * 1e6 / calls as f64,
        calls as f64 / took.as_secs_f64()
    );
}

/// Many functions that differ in one text, all called once and all kept.
pub async fn thousand(component: Bytes) {
    let folder = tempfile::tempdir().unwrap();
    let wasm = Wasm::new(WasmConfig::default(), folder.path().join("compiled")).unwrap();
    let before = memory_mib();
    let mut machines = Vec::new();
    let begun = Instant::now();
    for number in 0..FUNCTIONS {
        let mut component = component.to_vec();
        // A custom section of that number.
        component.extend_from_slice(&[0, 6, 1, b'n']);
        component.extend_from_slice(&number.to_le_bytes());
        let program = Arc::new(program(folder.path(), &component.into()));
        let machine = start(&wasm, &program).await;
        answered(&machine).await;
        machines.push(machine);
    }
    let took = begun.elapsed();
    let mut times = Vec::new();
    for machine in &machines {
        let begun = Instant::now();
        answered(machine).await;
        times.push(begun.elapsed());
    }
    let (resident, bytes) = wasm.resident();
    let (after, own) = memory_mib();
    println!(
        "{resident} functions compiled and called in {took:.1?}, {} MiB of code mapped; the process has {after} MiB ({own} MiB of its own), before {} MiB",
        bytes >> 20,
        before.0
    );
    report("a call of each", times);
}

fn program(folder: &Path, component: &Bytes) -> Program {
    let hash = ItemHash::of_bytes(component);
    let path = folder.join(hash.as_str());
    std::fs::write(&path, component).unwrap();
    let content = ground::content(&account(), &hash, "measured");
    Program {
        item_hash: hash.clone(),
        content: serde_json::from_value(content).unwrap(),
        code: LocalFile {
            path,
            size_bytes: component.len() as u64,
            hash,
        },
        runtime: None,
        data: None,
        volumes: Vec::new(),
    }
}

async fn start(wasm: &Wasm, program: &Arc<Program>) -> Arc<dyn Machine> {
    let started = wasm.start(program.clone(), Phases::default()).await;
    started.unwrap().into()
}

async fn answered(machine: &Arc<dyn Machine>) {
    let call = Call {
        method: "GET".into(),
        path: "/".into(),
        query: String::new(),
        headers: vec![(b"host".to_vec(), b"localhost".to_vec())],
        body: Body::empty(),
    };
    let answer = machine.call(call).await.unwrap();
    assert_eq!(answer.status, 200);
}

/// Resident memory of this process, and what of it is no file.
fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >> 10
    };
    (value("VmRSS"), value("RssAnon"))
}
