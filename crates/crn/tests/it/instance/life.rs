//! One Debian through its life.

use beth_crn::instance::{InstanceFault, Phase};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::fixture::{BOOT, Person, Ship, is_alive, qemu_pid, reaches, ssh_address};

/// Ends guests whose test failed.
struct Reaper(std::path::PathBuf);

impl Drop for Reaper {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.0.join("instances"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(bytes) = std::fs::read(entry.path().join("instance.json")) else {
                continue;
            };
            let record: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if let Some(pid) = record["process"]["pid"].as_i64() {
                kill(pid as i32);
            }
        }
    }
}

fn kill(pid: i32) {
    // Usually it is gone already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debian_boots_lets_its_owner_in_and_survives() {
    let began = std::time::Instant::now();
    #[allow(clippy::print_stdout)]
    let say = |what: &str| println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    let (mut ship, person) = (Ship::new().await, Person::new());
    let _reaper = Reaper(ship.folder.path().to_owned());
    let debian = ship.debian();
    let hash = ship.instance(
        &debian,
        json!({
            "authorized_keys": [person.public_key()],
            "volumes": [{"name": "data", "mount": "/mnt/data", "persistence": "host", "size_mib": 64}],
        }),
    );
    let node = ship.node();
    node.allocate(&hash).await.unwrap();
    say("QEMU runs");
    let state = node.state(&hash).unwrap();
    assert_eq!((state.vm_id, state.phase), (4, Phase::Running));
    assert!(state.times.started_at > state.times.starting_at);
    let at = ssh_address(&node, &hash);
    let told = person
        .run(at, "hostname; id -u; df -m / | tail -n 1; mount /dev/vdc /mnt && echo kept > /mnt/file && umount /mnt; echo there > /root/file; sync")
        .await;
    say("first command");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], beth_crn::api::label_of(&hash).unwrap());
    assert_eq!(lines[1], "0");
    let size_mib: u64 = lines[2].split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(size_mib > 3000, "the root disk did not grow: {told}");
    let logs = node.logs(&hash).await.unwrap();
    assert!(
        logs.iter()
            .any(|line| line.text.contains("Debian GNU/Linux 12")),
        "{logs:?}"
    );

    // The node ends and comes back: the same QEMU.
    let pid = qemu_pid(ship.folder.path(), &hash);
    node.close().await;
    assert!(is_alive(pid));
    let node = ship.node();
    reaches(&node, &hash, Phase::Running).await;
    assert_eq!(qemu_pid(ship.folder.path(), &hash), pid);
    assert_eq!(ssh_address(&node, &hash), at);
    assert_eq!(person.run(at, "cat /root/file").await, "there\n");
    say("adopted");

    node.stop(&hash).await.unwrap();
    say("stopped");
    assert!(!is_alive(pid));
    let state = node.state(&hash).unwrap();
    assert!(state.times.stopped_at.is_some() && !state.wanted);
    node.run(&hash).await.unwrap();
    let told = person
        .run(at, "cat /root/file; mount /dev/vdc /mnt && cat /mnt/file")
        .await;
    assert_eq!(told, "there\nkept\n");
    say("started again");

    // QEMU is killed: it is started again.
    let pid = qemu_pid(ship.folder.path(), &hash);
    kill(pid);
    reaches(&node, &hash, Phase::Failed).await;
    reaches(&node, &hash, Phase::Running).await;
    assert_ne!(qemu_pid(ship.folder.path(), &hash), pid);
    say("restarted");

    node.erase(&hash).await.unwrap();
    assert!(matches!(
        node.run(&hash).await,
        Err(InstanceFault::Unknown(_))
    ));
    assert!(
        !ship
            .folder
            .path()
            .join("instances")
            .join(hash.as_str())
            .exists()
    );
    node.close().await;
    assert!(began.elapsed() < 3 * BOOT);
}
