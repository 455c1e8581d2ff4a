//! A network of its own for a test: this process's namespace is the host,
//! others are the internet and the tenants.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use beth_crn::lan::Link;

/// Set in the process that a test starts in a namespace.
const INSIDE: &str = "BETH_TEST_NAMESPACE";

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/lan");

/// True inside of a fresh network namespace; else runs the named test in one,
/// and fails when it fails. Needs root, or namespaces for everybody.
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--include-ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    false
}

/// The host, the internet and what runs in them.
pub struct Bed {
    folder: tempfile::TempDir,
    children: Vec<Child>,
}

impl Bed {
    /// ```text
    /// host eth0 203.0.113.10 ── 203.0.113.1 internet (10.1.2.3, 10.0.0.2, 169.254.169.254)
    /// ```
    pub fn new() -> Bed {
        let bed = Bed {
            folder: tempfile::tempdir().unwrap(),
            children: Vec::new(),
        };
        run("mount", "-t tmpfs tmpfs /run");
        run("ip", "link set lo up");
        run("ip", "netns add internet");
        run(
            "ip",
            "link add eth0 type veth peer name eth0 netns internet",
        );
        run("ip", "address add 203.0.113.10/24 dev eth0");
        run("ip", "address add 2001:db8:1::10/64 dev eth0 nodad");
        run("ip", "link set eth0 up");
        run("ip", "route add default via 203.0.113.1");
        run("ip", "route add default via 2001:db8:1::1");
        let inside = |text: &str| run("ip", &format!("-n internet {text}"));
        inside("link set lo up");
        for address in [
            "203.0.113.1/24",
            "10.1.2.3/32",
            "10.0.0.2/32",
            "169.254.169.254/32",
        ] {
            inside(&format!("address add {address} dev eth0"));
        }
        for address in ["2001:db8:1::1/64", "fd00:ec2::254/128"] {
            inside(&format!("address add {address} dev eth0 nodad"));
        }
        inside("link set eth0 up");
        // The pool is on the link, as at many providers: who answers for an address gets it.
        inside("route add 2a01:4f8:171:787::/64 dev eth0");
        run("sysctl", "-qw net.ipv6.conf.eth0.accept_ra=1");
        bed
    }

    /// Where the test may write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts servers in a namespace; an empty name is the host.
    pub fn serve(&mut self, namespace: &str, tcp: &str, udp: &str) {
        let log = self.log(namespace);
        let mut command = within(namespace);
        command.arg("python3").arg(format!("{FOLDER}/serve.py"));
        command.arg(log).args([tcp, udp]);
        self.start(command);
    }

    /// The datagrams that the servers of a namespace got.
    pub fn datagrams(&self, namespace: &str) -> String {
        std::fs::read_to_string(self.log(namespace)).unwrap_or_default()
    }

    /// A tenant on the tap of a link, in a namespace of this name.
    pub fn tenant(&mut self, name: &str, link: &Link) {
        run("ip", &format!("netns add {name}"));
        self.cable(name, link);
    }

    /// Connects a tenant again, as a machine that restarts.
    pub fn cable(&mut self, name: &str, link: &Link) {
        let mut command = Command::new("python3");
        command.arg(format!("{FOLDER}/cable.py"));
        command.arg(format!("vmtap{}", link.vm_id));
        command.args([format!("/run/netns/{name}"), link.mac.to_string()]);
        self.start(command);
        let inside = |text: &str| run("ip", &format!("-n {name} {text}"));
        inside("link set lo up");
        inside(&format!("address add {}/24 dev eth0", link.ipv4));
        inside(&format!("route add default via {}", link.ipv4_gateway));
        let ipv6 = link.ipv6.unwrap();
        inside(&format!("address add {}/124 dev eth0 nodad", ipv6.address));
        inside(&format!("route add default via {}", ipv6.gateway));
    }

    fn log(&self, namespace: &str) -> PathBuf {
        self.folder.path().join(format!("datagrams-{namespace}"))
    }

    fn start(&mut self, mut command: Command) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        self.children.push(child);
        assert_eq!(line, "ready\n", "{command:?}");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in &mut self.children {
            // One that ended already is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a namespace hears when it connects, or sends a datagram.
pub fn probe(namespace: &str, arguments: &str) -> String {
    let mut command = within(namespace);
    command.arg("python3").arg(format!("{FOLDER}/probe.py"));
    command.args(arguments.split(' '));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    text.trim().to_owned()
}

/// Runs a program, which must succeed; its output.
pub fn run(program: &str, arguments: &str) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments.split(' ')).output().unwrap();
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{program} {arguments}: {wrong}");
    said.into_owned()
}

fn within(namespace: &str) -> Command {
    let mut command = Command::new("nsenter");
    if !namespace.is_empty() {
        command.arg(format!("--net=/run/netns/{namespace}"));
    }
    command.arg("--");
    command
}
