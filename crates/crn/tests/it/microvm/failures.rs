//! Programs that are none, and nodes that lack something.

use beth_crn::executor::{Executor, Fault, Phases};

use super::fixture::{Fixture, SMALL, run, until};

fn failure(fixture: Fixture) -> Fault {
    run(async {
        fixture
            .start()
            .await
            .err()
            .expect("the program must not start")
    })
}

fn setup(fixture: Fixture) -> (String, String) {
    match failure(fixture) {
        Fault::Setup { error, traceback } => (error, traceback),
        other => panic!("{other:?}"),
    }
}

fn bad(fixture: Fixture) -> String {
    match failure(fixture) {
        Fault::BadProgram(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_syntax_error_names_file_and_line() {
    let (error, traceback) = setup(Fixture::zip(
        "main:app",
        &[("main.py", "x = 1\ndef app(:\n")],
    ));
    assert_eq!(error, "SyntaxError: invalid syntax (main.py, line 2)");
    assert!(traceback.contains("def app(:"), "{traceback}");
}

#[test]
fn an_import_error_names_the_module() {
    let (error, traceback) = setup(Fixture::zip(
        "main:app",
        &[("main.py", "import nothing_like_it\n")],
    ));
    assert_eq!(
        error,
        "ModuleNotFoundError: No module named 'nothing_like_it'"
    );
    assert!(
        traceback.contains("File \"/opt/main.py\", line 1"),
        "{traceback}"
    );
}

#[test]
fn a_start_up_that_raises_is_told() {
    let code = r#"
from fastapi import FastAPI
app = FastAPI()
@app.on_event("startup")
async def startup():
    raise RuntimeError("no database")
"#;
    let (error, traceback) = setup(Fixture::zip("main:app", &[("main.py", code)]));
    assert_eq!(error, "RuntimeError: no database");
    assert!(traceback.contains("raise RuntimeError"), "{traceback}");
}

#[test]
fn a_program_that_exits_while_loading_is_told() {
    let (error, _) = setup(Fixture::zip(
        "main:app",
        &[("main.py", "import os\nos._exit(7)\n")],
    ));
    assert_eq!(error, "the program ended by itself with status 7");
}

#[test]
fn a_missing_module_or_attribute_is_named() {
    let text = bad(Fixture::zip("main:app", &[("other.py", SMALL)]));
    assert!(
        text.contains("no module 'main'") && text.contains("other.py"),
        "{text}"
    );
    let text = bad(Fixture::zip("main:application", &[("main.py", SMALL)]));
    assert!(text.contains("'main' has no 'application'"), "{text}");
}

#[test]
fn an_archive_that_is_none_or_wants_out_is_refused() {
    let text = bad(Fixture::new(
        "zip",
        "main:app",
        b"PK\x03\x04 but nothing else",
    ));
    assert!(text.contains("no valid zip archive"), "{text}");
    let text = bad(Fixture::zip(
        "main:app",
        &[("main.py", SMALL), ("../etc/passwd", "root")],
    ));
    assert!(text.contains("leaves its folder"), "{text}");
}

#[test]
fn images_are_checked_before_anything_boots() {
    let mut fixture = Fixture::zip("main:app", &[("main.py", SMALL)]);
    fixture.program.runtime = Some(fixture.program.code.clone());
    assert!(bad(fixture).contains("the runtime is no squashfs image"));
    let fixture = Fixture::zip("main:app", &[("main.py", SMALL)]);
    let image = fixture.folder.path().join("image");
    std::fs::write(&image, "hsqs and then nothing that makes sense").unwrap();
    let text = bad(fixture.volume(&image, "/mnt"));
    assert!(text.contains("mounting /mnt"), "{text}");
}

#[test]
fn a_guest_that_cannot_boot_is_given_with_its_last_words() {
    let mut fixture = Fixture::zip("main:app", &[("main.py", SMALL)]);
    let broken = fixture.folder.path().join("broken.squashfs");
    std::fs::write(&broken, "hsqs and then nothing that makes sense").unwrap();
    fixture.program.runtime = Some(super::fixture::file(&broken));
    match failure(fixture) {
        Fault::Died(text) => assert!(text.contains("mounting /image"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_machine_that_takes_too_long_is_given_up() {
    let mut fixture = Fixture::zip("main:app", &[("main.py", "import time\ntime.sleep(600)\n")]);
    fixture.config.ready_timeout_seconds = 10;
    run(async {
        match fixture.start().await.err() {
            Some(Fault::NotReady { seconds: 10, phase }) => assert!(!phase.is_empty()),
            other => panic!("{other:?}"),
        }
        until(|| fixture.qemu().is_none()).await;
    });
}

#[test]
fn without_qemu_or_kernel_the_node_says_what_to_do() {
    let mut fixture = Fixture::zip("main:app", &[("main.py", SMALL)]);
    fixture.config.qemu = Some("/does/not/exist".into());
    run(async {
        for fault in [
            fixture
                .executor()
                .prepare(&fixture.program, Phases::default())
                .await
                .err(),
            fixture.start().await.err(),
        ] {
            match fault {
                Some(Fault::NotHere(text)) => {
                    assert!(text.contains("QEMU is not installed"), "{text}")
                }
                other => panic!("{other:?}"),
            }
        }
        let report = fixture.executor().report().await;
        assert!(
            report.qemu.is_none() && report.kernel.is_ok() && !report.acceleration.unwrap().kvm
        );
    });
    fixture.config.qemu = Some("/bin/false".into());
    fixture.config.guest_folder = fixture.folder.path().to_owned();
    match failure(fixture) {
        Fault::NotHere(text) => assert!(
            text.contains("no guest kernel") && text.contains("guest.sh"),
            "{text}"
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_qemu_that_refuses_is_quoted() {
    let mut fixture = Fixture::zip("main:app", &[("main.py", SMALL)]);
    let qemu = fixture.folder.path().join("qemu");
    // Another process writes it: what a descriptor of ours is open for, be it in
    // a child that some other test starts now, cannot be executed.
    let write = r#"printf '#!/bin/sh\necho "cannot set up guest memory" >&2\nexit 1\n' > "$1""#;
    let written = std::process::Command::new("sh")
        .args(["-c", &format!("{write} && chmod 755 \"$1\""), "sh"])
        .arg(&qemu)
        .status();
    assert!(written.unwrap().success());
    fixture.config.qemu = Some(qemu);
    // In a jail there is no shell.
    fixture.config.jail = beth_crn::jail::Mode::Off;
    match failure(fixture) {
        Fault::NotHere(text) => assert!(text.contains("cannot set up guest memory"), "{text}"),
        other => panic!("{other:?}"),
    }
}
