//! Namespaces, the bridge between them, and rules about what passes.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where the test itself is.
pub const HUB: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

const PREFIX: &str = "beth";

/// `ip netns` prepares its folder once, and not for two at a time.
static BUILDING: Mutex<()> = Mutex::new(());

/// A bridge and what hangs on it. The thread that makes it moves into the hub,
/// and back when it is dropped; threads and processes it starts are there too.
pub struct Lan {
    name: String,
    home: File,
}

/// A namespace with one address.
#[derive(Clone)]
pub struct Host {
    name: String,
    pub address: Ipv4Addr,
}

impl Lan {
    pub fn new() -> Lan {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        sweep();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}", std::process::id());
        let hub = format!("{name}-hub");
        allowed(&["netns", "add", &hub]);
        ip(&format!("-n {hub} link set lo up"));
        ip(&format!("-n {hub} link add bridge type bridge"));
        ip(&format!("-n {hub} addr add {HUB}/24 dev bridge"));
        ip(&format!("-n {hub} link set bridge up"));
        let home = File::open("/proc/thread-self/ns/net").unwrap();
        enter(&namespace(&hub));
        Lan { name, home }
    }

    /// A host on the bridge: 10.0.0.`number`.
    pub fn host(&self, number: u8) -> Host {
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        self.plug(number)
    }

    /// A host behind a router that translates addresses: it reaches the others,
    /// none of them reaches it. Only the hub has a route to it.
    pub fn host_behind_nat(&self, number: u8) -> Host {
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let router = self.plug(number);
        let name = format!("{}-inner{number}", self.name);
        let [gateway, address] = [1, 2].map(|last| Ipv4Addr::new(10, 1, number, last));
        allowed(&["netns", "add", &name]);
        ip(&format!("-n {name} link set lo up"));
        ip(&format!(
            "link add eth0 netns {name} type veth peer name inside netns {}",
            router.name
        ));
        for (namespace, device, address) in
            [(&name, "eth0", address), (&router.name, "inside", gateway)]
        {
            ip(&format!(
                "-n {namespace} addr add {address}/24 dev {device}"
            ));
            ip(&format!("-n {namespace} link set {device} up"));
        }
        ip(&format!("-n {name} route add default via {gateway}"));
        ip(&format!(
            "-n {}-hub route add 10.1.{number}.0/24 via {}",
            self.name, router.address
        ));
        router.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        router.rules(
            "chain out { type nat hook postrouting priority srcnat; oifname \"eth0\" masquerade; }",
        );
        Host { name, address }
    }

    fn plug(&self, number: u8) -> Host {
        let name = format!("{}-{number}", self.name);
        let address = Ipv4Addr::new(10, 0, 0, number);
        allowed(&["netns", "add", &name]);
        ip(&format!("-n {name} link set lo up"));
        ip(&format!(
            "link add eth0 netns {name} type veth peer name port{number} netns {}-hub",
            self.name
        ));
        ip(&format!(
            "-n {}-hub link set port{number} master bridge up",
            self.name
        ));
        ip(&format!("-n {name} addr add {address}/24 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
        Host { name, address }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        enter(&self.home);
        for name in namespaces() {
            if name.starts_with(&format!("{}-", self.name)) {
                let _ = Command::new("ip").args(["netns", "del", &name]).status();
            }
        }
    }
}

impl Host {
    /// Does something in this namespace; what it starts stays there.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let here = File::open("/proc/thread-self/ns/net").unwrap();
        enter(&namespace(&self.name));
        let done = work();
        enter(&here);
        done
    }

    /// Replaces the rules of this host: the chains of one table.
    pub fn rules(&self, chains: &str) {
        let script = format!("flush ruleset\ntable ip beth {{\n{chains}\n}}\n");
        let output = self.within(|| {
            let mut child = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{}", needs(&format!("nft: {error}"))));
            child
                .stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            child.wait_with_output().unwrap()
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}",
            needs(&format!("{script}{said}"))
        );
    }

    /// Nothing comes in and nothing goes out any more, as `verdicts` say. They
    /// see packets from and to others than the hub, as `ip saddr` and `ip daddr`.
    pub fn filter(&self, incoming: &str, outgoing: &str) {
        self.rules(&format!(
            "chain in {{ type filter hook input priority filter; iifname \"lo\" accept; ip saddr {HUB} accept; {incoming} }}\n\
             chain out {{ type filter hook output priority filter; oifname \"lo\" accept; ip daddr {HUB} accept; {outgoing} }}"
        ));
    }

    /// No rules any more.
    pub fn open(&self) {
        self.rules("");
    }
}

/// Removes what runs that were killed left behind.
fn sweep() {
    for name in namespaces() {
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').nth(1));
        if pid.is_some_and(|pid| !pid.is_empty() && !Path::new("/proc").join(pid).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

fn namespaces() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn namespace(name: &str) -> File {
    File::open(Path::new("/run/netns").join(name)).unwrap()
}

fn enter(namespace: &File) {
    #[allow(unsafe_code)]
    // SAFETY: setns(2) with an open descriptor of a namespace; moves this thread only.
    let done = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(
        done,
        0,
        "{}",
        needs("this process may not enter a namespace")
    );
}

fn ip(arguments: &str) {
    allowed(&arguments.split(' ').collect::<Vec<_>>());
}

fn allowed(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}", needs(&format!("ip: {error}"))));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}",
        needs(&format!("ip {}: {}", arguments.join(" "), said.trim()))
    );
}

fn needs(reason: &str) -> String {
    format!(
        "tests in network namespaces need root, iproute2 and nftables: run them as root ({reason})"
    )
}
