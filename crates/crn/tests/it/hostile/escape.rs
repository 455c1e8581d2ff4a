//! A hostile process in a jail. It is a Python interpreter, so it can try
//! anything; it prints what it got.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use beth_crn::jail::{Cell, Jail, Jails, Limits, Mode};
use serde_json::Value;

const PYTHON: &str = "/usr/bin/python3";
/// Tries something and tells how it ended.
const PREAMBLE: &str = r#"
import os, sys, json, socket, ctypes, resource
def attempt(what):
    try:
        return what()
    except BaseException as error:
        return type(error).__name__ + ' ' + str(getattr(error, 'errno', ''))
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    return ctypes.get_errno() if result == -1 else 'done'
"#;

struct Tenant {
    folder: tempfile::TempDir,
    jails: Jails,
}

impl Tenant {
    fn new() -> Tenant {
        let folder = tempfile::tempdir().unwrap();
        let jails = Jails::open(Mode::Auto, 210_000, &folder.path().join("jails")).unwrap();
        Tenant { folder, jails }
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn own(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    fn jail(&self) -> Jail {
        let limits = Limits {
            file_bytes: 1 << 20,
            ..Limits::default()
        };
        self.jails.jail("probe").limits(limits)
    }

    /// True where the layer is: a report says so, so that a test tells what it
    /// did not see.
    fn has(&self, layer: &str) -> bool {
        let layers = self.jails.layers();
        let layer = layers.iter().find(|known| known.name == layer).unwrap();
        layer.state.is_ok()
    }
}

fn start(jail: &Jail, code: &str, arguments: &[&Path]) -> (std::process::Child, Cell) {
    let mut command = Command::new(PYTHON);
    command
        .args(["-I", "-S", "-c", &format!("{PREAMBLE}{code}")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut cell = jail.apply(&mut command).unwrap();
    let child = cell.start(|| command.spawn()).unwrap();
    (child, cell)
}

/// What the program printed, as JSON.
fn probe(jail: &Jail, code: &str, arguments: &[&Path]) -> Value {
    let (child, cell) = start(jail, code, arguments);
    let output = child.wait_with_output().unwrap();
    drop(cell);
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{} {said} {wrong}", output.status))
}

fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it did not come to pass"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_reads_what_it_was_given_and_nothing_else() {
    let tenant = Tenant::new();
    let (given, own) = (tenant.file("image", "image"), tenant.own("mine"));
    let others = tenant.own("others");
    std::fs::write(others.join("secret"), "secret").unwrap();
    let jail = tenant.jail().read(&given).write(&own);
    let code = r#"
given, own, secret = sys.argv[1:4]
read = lambda path: attempt(lambda: open(path).read())
def write(path):
    with open(path, 'w') as file:
        file.write('x')
    return 'done'
print(json.dumps([read(given), attempt(lambda: write(own + '/file')), read(secret), read('/etc/shadow'),
    read('/etc/passwd'), attempt(lambda: write(given)), attempt(lambda: write('/anywhere')),
    attempt(lambda: os.listdir('/proc')), attempt(lambda: os.listdir(os.path.dirname(given))),
    attempt(lambda: os.execv('/bin/sh', ['sh', '-c', 'true'])), attempt(lambda: os.listdir('/home'))]))
"#;
    let seen = probe(&jail, code, &[&given, &own, &others.join("secret")]);
    let seen: Vec<String> = seen
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    assert_eq!(seen[..2], [r#""image""#, r#""done""#], "{seen:?}");
    for refused in &seen[2..] {
        let known = ["PermissionError 13", "FileNotFoundError 2", "OSError 30"];
        assert!(
            known.iter().any(|error| refused.contains(error)),
            "{seen:?}"
        );
    }
}

#[test]
fn a_link_in_its_folder_leads_nowhere() {
    let tenant = Tenant::new();
    let own = tenant.own("mine");
    let link = tenant.folder.path().join("link");
    std::os::unix::fs::symlink("/etc/shadow", own.join("disk")).unwrap();
    std::os::unix::fs::symlink("/etc", &link).unwrap();
    let code = "print(json.dumps(attempt(lambda: open(sys.argv[1] + '/disk').read())))";
    let seen = probe(&tenant.jail().write(&own), code, &[&own]);
    assert!(seen.as_str().unwrap().contains("Error"), "{seen}");
    let mut command = Command::new(PYTHON);
    let refused = tenant.jail().write(&link).apply(&mut command).unwrap_err();
    assert!(refused.to_string().contains("symbolic link"), "{refused}");
}

#[test]
fn tenants_cannot_read_each_other() {
    let tenant = Tenant::new();
    let (first, second) = (tenant.own("first"), tenant.own("second"));
    let hold = "open(sys.argv[1] + '/key', 'w').write('k'); sys.stdout.write('here'); sys.stdout.flush(); import time; time.sleep(60)";
    let (mut holder, cell) = start(&tenant.jail().write(&first), hold, &[&first]);
    let mut word = [0; 4];
    holder.stdout.take().unwrap().read_exact(&mut word).unwrap();
    let read =
        "print(json.dumps([os.getuid(), attempt(lambda: open(sys.argv[1] + '/key').read())]))";
    let seen = probe(&tenant.jail().write(&second), read, &[&first]);
    assert!(seen[1].as_str().unwrap().contains("Error"), "{seen}");
    // Were it shown the other's folder by mistake, users would still differ.
    if let Some(user) = cell.user() {
        let seen = probe(&tenant.jail().share(&first), read, &[&first]);
        assert_ne!(seen[0], user, "{seen}");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn it_has_no_privileges_and_gains_none() {
    let tenant = Tenant::new();
    let code = r#"
header = (ctypes.c_uint32 * 2)(0x20080522, 0); sets = (ctypes.c_uint32 * 6)()
libc.capget(header, sets)
print(json.dumps({'capabilities': list(sets), 'no_new_privileges': libc.prctl(39, 0, 0, 0, 0),
    'groups': os.getgroups(), 'user': os.getuid(),
    'setuid': attempt(lambda: os.setuid(0)), 'mount': call(165, None, b'/', None, 0, None),
    'unshare': call(272, 0x10000000), 'clone': call(56, 0x10000000 | 17, 0, 0, 0, 0),
    'ptrace': call(101, 16, 1, 0, 0), 'module': call(175, 0, 0, 0), 'uring': call(425, 8, None),
    'chroot': attempt(lambda: os.chroot('/usr')), 'device': attempt(lambda: os.mknod('/dev/sda', 0o60600, 0x800))}))
"#;
    let seen = probe(&tenant.jail(), code, &[]);
    if tenant.has("own files") {
        assert_eq!(
            seen["capabilities"],
            serde_json::json!([0, 0, 0, 0, 0, 0]),
            "{seen}"
        );
        assert_eq!(seen["no_new_privileges"], 1);
        for refused in ["mount", "unshare", "clone", "ptrace", "module", "uring"] {
            assert_eq!(seen[refused], libc::EPERM, "{refused}: {seen}");
        }
        for refused in ["chroot", "device"] {
            assert!(seen[refused].as_str().unwrap().contains("Error"), "{seen}");
        }
    }
    if tenant.has("own user") {
        assert!(seen["user"].as_u64().unwrap() >= 210_000, "{seen}");
        assert_eq!(seen["groups"], serde_json::json!([]));
        assert!(
            seen["setuid"].as_str().unwrap().contains("PermissionError"),
            "{seen}"
        );
    }
}

#[test]
fn it_reaches_no_network_and_no_process() {
    let tenant = Tenant::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let code = format!(
        r#"
def tcp():
    return socket.create_connection(('127.0.0.1', {port}), 2) and 'connected'
def udp():
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return sender.sendto(b'x', ('127.0.0.1', {port}))
print(json.dumps([attempt(tcp), attempt(udp), attempt(lambda: [name for _, name in socket.if_nameindex()]),
    attempt(lambda: os.kill({}, 0)), os.getpid(), socket.gethostname()]))
"#,
        std::process::id()
    );
    let seen = probe(&tenant.jail(), &code, &[]);
    if tenant.has("own network") {
        assert!(seen[0].as_str().unwrap().contains("Error"), "{seen}");
        assert!(seen[1].as_str().unwrap().contains("Error"), "{seen}");
        assert_eq!(seen[2], serde_json::json!(["lo"]), "{seen}");
        assert_eq!(seen[5], "jail");
    }
    if tenant.has("own processes") {
        assert_eq!(seen[3], "ProcessLookupError 3", "{seen}");
        assert_eq!(seen[4], 1, "{seen}");
    }
}

#[test]
fn it_inherits_no_descriptor_and_no_environment() {
    let tenant = Tenant::new();
    let secret = std::fs::File::open("/etc/passwd").unwrap();
    let number = secret.as_raw_fd();
    let second = secret.try_clone().unwrap();
    let code = format!(
        "print(json.dumps([[attempt(lambda: os.read(fd, 4).decode()) for fd in ({number}, {})], dict(os.environ)]))",
        second.as_raw_fd()
    );
    let seen = probe(&tenant.jail(), &code, &[]);
    assert_eq!(
        seen[0],
        serde_json::json!(["OSError 9", "OSError 9"]),
        "{seen}"
    );
    assert!(
        seen[1].get("PATH").is_none() && seen[1].get("HOME").is_none(),
        "{seen}"
    );
}

#[test]
fn a_fork_bomb_ends_at_its_limit_and_harms_nobody() {
    let tenant = Tenant::new();
    let limits = Limits {
        processes: 24,
        ..Limits::default()
    };
    let code = r#"
import time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(600)
        count += 1
except OSError:
    pass
print(json.dumps([count, os.getuid()]))
"#;
    let seen = probe(&tenant.jail().limits(limits), code, &[]);
    let count = seen[0].as_u64().unwrap();
    assert!(count < 24, "{seen}");
    assert!(Command::new("/bin/true").status().unwrap().success());
    if tenant.has("own processes") {
        let user = seen[1].as_u64().unwrap();
        until(|| processes_of(user) == 0);
    }
}

#[test]
fn a_disk_filler_and_a_memory_hog_end_at_their_limits() {
    let tenant = Tenant::new();
    let own = tenant.own("mine");
    let limits = Limits {
        memory_mib: Some(1),
        file_bytes: 1 << 20,
        ..Limits::default()
    };
    let code = r#"
def fill():
    with open(sys.argv[1] + '/big', 'wb', 0) as file:
        while True:
            file.write(b'x' * 65536)
def hog():
    kept = bytearray(3 << 30)
    return len(kept)
print(json.dumps([attempt(fill), os.stat(sys.argv[1] + '/big').st_size, attempt(hog)]))
"#;
    let jail = tenant.jail().limits(limits).write(&own);
    let seen = probe(&jail, code, &[&own]);
    assert_eq!(seen[0], "OSError 27", "{seen}");
    assert_eq!(seen[1], 1 << 20, "{seen}");
    assert!(seen[2].as_str().unwrap().contains("MemoryError"), "{seen}");
}

#[test]
fn a_cell_leaves_nothing_behind() {
    let tenant = Tenant::new();
    let hold = "sys.stdout.write('here'); sys.stdout.flush(); import time; time.sleep(600)";
    let (mut child, cell) = start(&tenant.jail(), hold, &[]);
    let mut word = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut word).unwrap();
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let ours: Vec<String> = groups
        .lines()
        .filter_map(|line| Some(format!("beth-{}", line.split_once("/beth-")?.1)))
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let user = cell.user();
    drop(cell);
    let gone = |name: &String| {
        ["pids", "cpu", "unified", "."]
            .iter()
            .all(|place| !Path::new("/sys/fs/cgroup").join(place).join(name).exists())
    };
    until(|| ours.iter().all(gone));
    if let Some(user) = user {
        until(|| processes_of(u64::from(user)) == 0);
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(
        !mounts.contains(&*tenant.folder.path().to_string_lossy()),
        "{mounts}"
    );
}

#[test]
fn a_jail_that_cannot_be_is_an_error_that_says_why() {
    let tenant = Tenant::new();
    let mut command = Command::new(PYTHON);
    let missing = tenant.jail().read(Path::new("/no/such/image"));
    let error = missing.apply(&mut command).unwrap_err().to_string();
    assert!(error.contains("/no/such/image"), "{error}");
    if tenant.has("own user") {
        let hidden = tenant.file("hidden", "x");
        std::fs::set_permissions(&hidden, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let error = tenant.jail().read(&hidden).apply(&mut command).unwrap_err();
        assert!(error.to_string().contains("chmod a+rX"), "{error}");
    }
}

fn processes_of(user: u64) -> usize {
    let line = format!("Uid:\t{user}\t");
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("status")).ok())
        .filter(|status| status.contains(&line))
        .count()
}
