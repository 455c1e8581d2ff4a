//! Hostile programs in machines of their own. Each attack ends in an error that
//! says what happened, its machine ends when told to, and a neighbour that is
//! on the same node all the while answers after each.

use std::io::Write;

use beth_crn::executor::{Fault, Machine};

use crate::microvm::fixture::{Fixture, SMALL, call, get, run, until};

/// What is read of an answer that does not end, in bytes.
const ENOUGH: u64 = 32 << 20;

const HOSTILE: &str = r#"
import os

async def app(scope, receive, send):
    path = scope["path"]
    if path == "/loop":
        while True:
            pass
    if path == "/fork":
        while True:
            try:
                os.fork()
            except OSError:
                pass
    if path == "/memory":
        kept = []
        while True:
            kept.append(os.urandom(1 << 20))
    if path == "/disk":
        with open("/tmp/full", "wb", 0) as file:
            while True:
                file.write(b"x" * (1 << 20))
    if path == "/frames":
        for number in range(3, 64):
            try:
                os.write(number, b"\xff" * 4096)
            except OSError:
                pass
    if path == "/ports":
        os.system("for port in /dev/vport*; do head -c 100000 /dev/urandom > $port & done")
        while True:
            pass
    headers = []
    if path == "/headers":
        headers = [[b"x-%d" % number, b"y" * 1000] for number in range(20000)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while path == "/endless":
        await send({"type": "http.response.body", "body": b"x" * (1 << 20), "more_body": True})
    if path == "/lines":
        for number in range(200000):
            print("line", number, "x" * 100)
    await send({"type": "http.response.body", "body": b"hostile"})
"#;

fn hostile() -> Fixture {
    Fixture::zip("main:app", &[("main.py", HOSTILE)]).seconds(6)
}

/// What the attack came to: an answer's length, or what went wrong.
async fn attack(machine: &dyn Machine, path: &str) -> Result<usize, String> {
    let answer = machine.call(call("GET", path)).await;
    let answer = answer.map_err(|fault| match fault {
        Fault::Timeout => "timeout".to_owned(),
        fault => format!("{fault:?}"),
    })?;
    let body = answer.body.collect(ENOUGH).await;
    body.map(|body| body.len())
        .map_err(|error| format!("{error:?}"))
}

async fn attacks(paths: &[&str]) {
    let neighbour = Fixture::zip("main:app", &[("main.py", SMALL)]);
    let quiet = neighbour.start().await.unwrap();
    let fixture = hostile();
    let executor = fixture.executor();
    for path in paths {
        let machine = fixture.start_on(&executor).await.unwrap();
        let outcome = attack(&*machine, path).await;
        let text = outcome.expect_err(path);
        assert!(!text.is_empty(), "{path}");
        machine.stop().await;
        assert!(!machine.is_alive(), "{path}");
        until(|| fixture.qemu().is_none()).await;
        assert_eq!(get(&*quiet, "/").await.unwrap().body, "small", "{path}");
    }
    quiet.stop().await;
}

#[test]
fn programs_that_take_all_time_harm_only_themselves() {
    run(attacks(&["/loop", "/fork"]));
}

#[test]
fn programs_that_take_all_room_harm_only_themselves() {
    run(attacks(&["/memory", "/disk"]));
}

#[test]
fn programs_that_answer_nonsense_or_for_ever_harm_only_themselves() {
    run(attacks(&["/endless", "/headers"]));
}

/// Whatever the program writes to the descriptors and ports of its runner: the
/// node gets an error or the answer, in time.
#[test]
fn garbage_in_frames_is_survived() {
    run(async {
        let neighbour = Fixture::zip("main:app", &[("main.py", SMALL)]);
        let quiet = neighbour.start().await.unwrap();
        let fixture = hostile();
        let executor = fixture.executor();
        for path in ["/frames", "/ports"] {
            let machine = fixture.start_on(&executor).await.unwrap();
            let _ = attack(&*machine, path).await;
            machine.stop().await;
            until(|| fixture.qemu().is_none()).await;
            assert_eq!(get(&*quiet, "/").await.unwrap().body, "small");
        }
        quiet.stop().await;
    });
}

#[test]
fn thousands_of_lines_are_bounded() {
    run(async {
        let fixture = hostile().seconds(20);
        let machine = fixture.start().await.unwrap();
        let _ = attack(&*machine, "/lines").await;
        assert!(machine.logs().len() <= beth_crn::limits::LOG_LINES_MAX);
        machine.stop().await;
    });
}

/// QEMU runs as nobody in particular, with a root of its own.
#[test]
fn the_process_of_a_machine_is_jailed() {
    run(async {
        let fixture = hostile();
        let machine = fixture.start().await.unwrap();
        let process = format!("/proc/{}", fixture.qemu().unwrap());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
        };
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(field("Seccomp:"), "2");
        assert_eq!(field("CapBnd:"), "0000000000000000");
        let layers = fixture.layers();
        let has = |name: &str| {
            layers
                .iter()
                .any(|layer| layer.name == name && layer.state.is_ok())
        };
        if has("own user") {
            assert!(field("Uid:").parse::<u32>().unwrap() >= fixture.config.jail_first_user);
        }
        for (layer, namespace) in [
            ("own files", "mnt"),
            ("own network", "net"),
            ("own processes", "pid"),
        ] {
            let of =
                |process: &str| std::fs::read_link(format!("{process}/ns/{namespace}")).unwrap();
            assert!(
                !has(layer) || of(&process) != of("/proc/self"),
                "{namespace}"
            );
        }
        machine.stop().await;
    });
}

/// An archive made by Python, whose zip library writes what ours refuses to.
fn archive(code: &str) -> Fixture {
    let fixture = Fixture::zip("main:app", &[("main.py", SMALL)]);
    let script = format!(
        "import zipfile, sys\nwith zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:\n    archive.writestr('main.py', '')\n{code}"
    );
    let status = std::process::Command::new("python3")
        .args(["-c", &script])
        .arg(&fixture.program.code.path)
        .status();
    assert!(status.unwrap().success());
    fixture.measured()
}

async fn refusal(fixture: Fixture) -> String {
    match fixture.start().await.err() {
        Some(Fault::BadProgram(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bombs_and_links_in_archives_are_refused() {
    run(async {
        let bomb = "    archive.writestr('zeros', bytes(300 << 20))\n    [archive.writestr('zeros%d' % n, bytes(300 << 20)) for n in range(4)]\n";
        let text = refusal(archive(bomb)).await;
        assert!(text.contains("at most"), "{text}");
        let link = "    link = zipfile.ZipInfo('link'); link.external_attr = 0o120777 << 16; archive.writestr(link, '/etc/shadow')\n";
        let text = refusal(archive(link)).await;
        assert!(text.contains("symbolic link"), "{text}");
        let absolute = "    archive.writestr('/etc/cron.d/x', 'x')\n";
        let text = refusal(archive(absolute)).await;
        assert!(text.contains("leaves its folder"), "{text}");
    });
}

/// The directory of the archive says ten bytes, its data are many more.
#[test]
fn an_archive_that_lies_about_sizes_is_refused() {
    let fixture = archive("    archive.writestr('big', bytes(50 << 20))\n");
    let mut bytes = std::fs::read(&fixture.program.code.path).unwrap();
    let size = (50u32 << 20).to_le_bytes();
    while let Some(at) = bytes.windows(4).position(|window| window == size) {
        bytes[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
    }
    let mut file = std::fs::File::create(&fixture.program.code.path).unwrap();
    file.write_all(&bytes).unwrap();
    run(async {
        let text = refusal(fixture.measured()).await;
        assert!(text.contains("archive"), "{text}");
    });
}
