//! Measures the FastAPI example in microVMs, from a boot to a warm call:
//! `cargo run --release -p beth-crn --example measure_microvm [-- STARTS [CLONES]]`.
//!
//! ```text
//! boots (no template) ─▶ making the template ─▶ clones, one after the other
//!   ─▶ warm calls, appetite when unused ─▶ calls of a paused machine ─▶ CLONES clones at once
//! ```
//!
//! Prints medians and extremes; run it on a quiet machine.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beth_crn::body::Body;
use beth_crn::executor::{Call, Executor, LocalFile, Machine, Phases, Program};
use beth_crn::microvm::{MicroVm, MicroVmConfig, kvm_self_test_main};
use beth_protocol::ItemHash;
use serde_json::json;

const APPLICATION: &str = include_str!("../../../examples/fastapi/main.py");
const HASH: &str = "63faf8b5db1cf8d965e6a464a0cb8062af8e7df131729e48738342d956f29ace";
const WARM_CALLS: usize = 500;
const PAUSES: usize = 30;
const IDLE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("kvm-self-test") {
        std::process::exit(kvm_self_test_main());
    }
    let starts: usize = argument.map_or(5, |text| text.parse().unwrap());
    let clones = std::env::args().nth(2);
    let clones: usize = clones.map_or(50, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut config = MicroVmConfig::new(folder.path().join("work"));
    let program = Arc::new(program(folder.path(), &config));
    config.templates_mib = 0;
    let executor = MicroVm::new(config.clone()).unwrap();
    let report = executor.report().await;
    println!(
        "QEMU: {}",
        report.qemu_version.as_deref().unwrap_or("not installed")
    );
    match &report.acceleration {
        Ok(choice) => println!(
            "acceleration: {}, {}",
            if choice.kvm { "KVM" } else { "TCG" },
            choice.reason
        ),
        Err(error) => println!("acceleration: {error}"),
    }
    several("boot", &executor, &program, starts.div_ceil(3)).await;
    config.templates_mib = 4096;
    let executor = MicroVm::new(config).unwrap();
    let began = Instant::now();
    executor.prepare(&program, Phases::default()).await.unwrap();
    let took = began.elapsed().as_secs_f64();
    println!("\ntemplate made in {took:.1} s");
    several("clone", &executor, &program, starts * 2).await;
    warm(&executor, &program).await;
    paused(&executor, &program).await;
    crowd(&executor, &program, clones).await;
}

async fn several(what: &str, executor: &MicroVm, program: &Arc<Program>, count: usize) {
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(cold(executor, program).await);
    }
    println!("\n{what} and first call, ms ({count} runs)   median      min      max");
    for index in 0..runs[0].len() {
        let times = runs.iter().map(|run| run[index].1).collect();
        row(runs[0][index].0, times);
    }
}

/// The first call after a pause.
async fn paused(executor: &MicroVm, program: &Arc<Program>) {
    let machine = executor.start(Arc::clone(program), Phases::default());
    let machine = machine.await.unwrap();
    let mut times = Vec::new();
    for _ in 0..PAUSES {
        answer(&*machine).await;
        machine.pause().await;
        assert!(machine.is_paused());
        let began = Instant::now();
        answer(&*machine).await;
        times.push(began.elapsed());
    }
    println!("\ncall of a paused machine, ms ({PAUSES} calls)   median      min      max");
    row("all", times);
    machine.stop().await;
}

/// Many clones at once: from nothing to the first answer of each.
async fn crowd(executor: &MicroVm, program: &Arc<Program>, count: usize) {
    let began = Instant::now();
    let starting = (0..count).map(|_| async {
        let machine = executor.start(Arc::clone(program), Phases::default());
        let machine = machine.await.unwrap();
        answer(&*machine).await;
        (machine, began.elapsed())
    });
    let (machines, times): (Vec<_>, Vec<_>) = futures::future::join_all(starting)
        .await
        .into_iter()
        .unzip();
    println!("\n{count} clones at once, first answers, ms   median      min      max");
    row("all", times);
    let memory = |name| children().map(|pid| memory_mib(pid, name)).sum::<u64>() / count as u64;
    let (own, resident) = (memory("RssAnon:"), memory("VmRSS:"));
    println!("each has {own} MiB of its own ({resident} MiB with what they share)");
    let again = Instant::now();
    futures::future::join_all(machines.iter().map(|machine| answer(&**machine))).await;
    println!(
        "all answer again in {:.0} ms",
        again.elapsed().as_secs_f64() * 1e3
    );
    drop(machines);
}

/// From nothing to the first answer, by phase.
async fn cold(executor: &MicroVm, program: &Arc<Program>) -> Vec<(&'static str, Duration)> {
    let (phases, began) = (Phases::default(), Instant::now());
    let machine = executor
        .start(Arc::clone(program), phases.clone())
        .await
        .unwrap();
    let ready = Instant::now();
    answer(&*machine).await;
    let mut list = phases.list();
    list.push(("response", ready.elapsed()));
    list.push(("all", began.elapsed()));
    machine.stop().await;
    list
}

/// Calls of a running machine, then its appetite when nobody calls.
async fn warm(executor: &MicroVm, program: &Arc<Program>) {
    let machine = executor
        .start(Arc::clone(program), Phases::default())
        .await
        .unwrap();
    let mut times = Vec::new();
    for _ in 0..WARM_CALLS {
        let began = Instant::now();
        answer(&*machine).await;
        times.push(began.elapsed());
    }
    times.sort();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e3;
    println!(
        "\nwarm call, ms ({WARM_CALLS} calls): p50 {:.2}  p90 {:.2}  p99 {:.2}",
        at(50),
        at(90),
        at(99)
    );
    let before = processor_time();
    tokio::time::sleep(IDLE).await;
    let share = (processor_time() - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let memory = children()
        .map(|pid| memory_mib(pid, "RssAnon:"))
        .sum::<u64>();
    println!("idle machine: {share:.2} % of a processor, {memory} MiB of its own");
    machine.stop().await;
}

async fn answer(machine: &dyn Machine) {
    let call = Call {
        method: "GET".into(),
        path: "/".into(),
        query: String::new(),
        headers: Vec::new(),
        body: Body::empty(),
    };
    assert_eq!(machine.call(call).await.unwrap().status, 200);
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |index: usize| times[index].as_secs_f64() * 1e3;
    println!(
        "{name:>36}   {:>8.1} {:>8.1} {:>8.1}",
        ms(times.len() / 2),
        ms(0),
        ms(times.len() - 1)
    );
}

fn program(folder: &Path, config: &MicroVmConfig) -> Program {
    let path = folder.join("code.zip");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    archive
        .start_file("main.py", zip::write::SimpleFileOptions::default())
        .unwrap();
    archive.write_all(APPLICATION.as_bytes()).unwrap();
    archive.finish().unwrap();
    let hash = ItemHash::parse(HASH).unwrap();
    let file = |path: &Path| {
        let metadata = std::fs::metadata(path);
        let size_bytes = metadata
            .unwrap_or_else(|_| panic!("{} is missing: run scripts/guest.sh", path.display()))
            .len();
        LocalFile {
            path: path.to_owned(),
            size_bytes,
            hash: hash.clone(),
        }
    };
    let content = json!({
        "address": "0x0", "time": 1.0, "allow_amend": false, "type": "vm-function",
        "environment": {}, "resources": {"vcpus": 1, "memory": 128, "seconds": 10},
        "code": {"encoding": "zip", "entrypoint": "main:app", "ref": HASH},
        "runtime": {"ref": HASH, "comment": ""}, "on": {"http": true},
    });
    Program {
        item_hash: hash.clone(),
        content: serde_json::from_value(content).unwrap(),
        code: file(&path),
        runtime: Some(file(&config.runtime())),
        data: None,
        volumes: Vec::new(),
    }
}

/// Process ids of our children: the one QEMU.
fn children() -> impl Iterator<Item = u32> {
    let ours = std::process::id().to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(move |entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat
                .rsplit(')')
                .next()?
                .split_whitespace()
                .nth(1)?
                .to_owned();
            (parent == ours).then_some(pid)
        })
}

/// What the children have used, in steps of 10 ms.
fn processor_time() -> Duration {
    let ticks = children().map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        [11, 12]
            .iter()
            .map(|&index| {
                fields
                    .get(index)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0)
            })
            .sum::<u64>()
    });
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn memory_mib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
