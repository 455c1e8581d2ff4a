//! How machines end.

use std::sync::Arc;

use beth_crn::executor::{Executor, Fault, Phases};

use super::fixture::{Fixture, SMALL, get, run, until};

fn small() -> Fixture {
    Fixture::zip("main:app", &[("main.py", SMALL)])
}

#[test]
fn a_stopped_machine_leaves_nothing_behind() {
    run(async {
        let fixture = small();
        let machine = fixture.start().await.unwrap();
        assert_eq!(get(&*machine, "/").await.unwrap().body, "small");
        assert!(fixture.qemu().is_some());
        machine.stop().await;
        assert!(!machine.is_alive());
        assert!(fixture.qemu().is_none());
        assert!(matches!(get(&*machine, "/").await, Err(Fault::Died(_))));
    });
}

#[test]
fn a_program_that_exits_takes_its_machine_along() {
    run(async {
        let fixture = small();
        let machine = fixture.start().await.unwrap();
        match get(&*machine, "/exit").await {
            Err(Fault::Died(text)) => {
                assert!(text.contains("ended by itself with status 3"), "{text}")
            }
            other => panic!("{other:?}"),
        }
        assert!(!machine.is_alive());
    });
}

#[test]
fn a_killed_qemu_is_noticed_and_a_dropped_machine_is_killed() {
    run(async {
        let fixture = small();
        let machine = fixture.start().await.unwrap();
        let pid = fixture.qemu().unwrap();
        assert!(
            std::process::Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
        match get(&*machine, "/").await {
            Err(Fault::Died(text)) => assert!(text.contains("signal: 9"), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(!machine.is_alive());
    });
}

#[test]
fn giving_up_a_start_or_dropping_a_machine_kills_qemu() {
    run(async {
        let fixture = small();
        let executor = fixture.executor();
        let mut start = executor.start(Arc::new(fixture.program.clone()), Phases::default());
        tokio::select! {
            _ = &mut start => panic!("no machine boots that fast"),
            () = until(|| fixture.qemu().is_some()) => {}
        }
        drop(start);
        until(|| fixture.qemu().is_none()).await;
        let machine = fixture.start().await.unwrap();
        assert!(fixture.qemu().is_some());
        drop(machine);
        until(|| fixture.qemu().is_none()).await;
    });
}

/// Not a test: the victim of the next one. It boots a machine, says so and waits.
#[test]
#[ignore = "started by the next test"]
#[allow(clippy::print_stdout)]
fn a_node_that_will_be_killed() {
    run(async {
        let fixture = small();
        let executor = fixture.executor();
        let start = executor.start(Arc::new(fixture.program.clone()), Phases::default());
        let said = async {
            until(|| fixture.qemu().is_some()).await;
            println!("qemu {}", fixture.qemu().unwrap());
            std::future::pending::<()>().await;
        };
        let _ = futures::future::join(start, said).await;
    });
}

#[test]
fn a_node_that_is_killed_takes_qemu_along() {
    use std::io::BufRead;
    let mut node = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "microvm::life::a_node_that_will_be_killed",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(node.stdout.take().unwrap()).lines();
    let line = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("qemu ")?.1.to_owned()));
    let folder =
        std::path::PathBuf::from(format!("/proc/{}", line.expect("the node boots a machine")));
    assert!(folder.exists());
    node.kill().unwrap();
    node.wait().unwrap();
    run(until(|| !folder.exists()));
}
