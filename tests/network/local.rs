//! A local network under test: `beth up` on free ports in a temporary folder.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest start of a network on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// Longest wait for anything to become visible.
pub const VISIBLE: Duration = Duration::from_secs(20);

pub fn beth() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beth"));
    // Nothing of the machine that runs the tests may leak in.
    for variable in ["BETH_NODE", "BETH_KEY", "BETH_LOG"] {
        command.env_remove(variable);
    }
    command
}

pub struct Local {
    pub said: Value,
    pub folder: PathBuf,
    child: Child,
    _temporary: Option<tempfile::TempDir>,
}

impl Local {
    pub fn start() -> Local {
        let temporary = tempfile::tempdir().unwrap();
        let mut local = Local::start_in(&temporary.path().join("net"), &[]);
        local._temporary = Some(temporary);
        local
    }

    pub fn start_in(folder: &Path, extra: &[&str]) -> Local {
        let mut child = beth()
            .args(["up", "--json", "--port-base", "0", "--dir"])
            .arg(folder)
            .args(extra)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (send, line) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = output.read_line(&mut text);
            let _ = send.send(text);
            // Keeps the pipe open until the child ends.
            let _ = output.read_line(&mut String::new());
        });
        let line = line.recv_timeout(READY).unwrap_or_default();
        assert!(!line.is_empty(), "`beth up` did not become ready");
        let said = serde_json::from_str(&line).unwrap();
        Local {
            said,
            folder: folder.to_owned(),
            child,
            _temporary: None,
        }
    }

    /// One network for tests that only add to it.
    pub fn shared() -> &'static Local {
        static SHARED: OnceLock<Local> = OnceLock::new();
        extern "C" fn stop() {
            if let Some(local) = SHARED.get() {
                signal(local.child.id(), libc::SIGTERM);
            }
        }
        SHARED.get_or_init(|| {
            let local = Local::start();
            // A static is never dropped.
            #[allow(unsafe_code)]
            // SAFETY: `stop` only sends a signal, which is allowed at exit.
            unsafe {
                libc::atexit(stop);
            }
            local
        })
    }

    pub fn core(&self, index: usize) -> &str {
        self.said["core_nodes"][index]["url"].as_str().unwrap()
    }

    pub fn compute(&self, index: usize) -> &str {
        self.said["compute_nodes"][index]["url"].as_str().unwrap()
    }

    pub fn key(&self, index: usize) -> &str {
        self.said["accounts"][index]["private_key"]
            .as_str()
            .unwrap()
    }

    pub fn address(&self, index: usize) -> &str {
        self.said["accounts"][index]["address"].as_str().unwrap()
    }

    /// Runs a client verb with the first account at the first core node.
    pub fn verb(&self, arguments: &[&str]) -> Output {
        self.verb_at(0, arguments)
    }

    pub fn verb_at(&self, core: usize, arguments: &[&str]) -> Output {
        beth()
            .args(arguments)
            .args(["--node", self.core(core), "--key", self.key(0)])
            .output()
            .unwrap()
    }

    /// Runs a verb that must succeed; the JSON object it ends with.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let output = self.verb(&arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        last_line(&output)
    }

    /// Asks for the end and waits for it.
    pub fn stop(mut self, with: i32) -> ExitStatus {
        self.end(with)
    }

    /// The same; the folder stays.
    pub fn end(&mut self, with: i32) -> ExitStatus {
        signal(self.child.id(), with);
        wait(&mut self.child)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.child.id(), libc::SIGTERM);
            wait(&mut self.child);
        }
    }
}

pub fn signal(pid: u32, with: i32) {
    #[allow(unsafe_code)]
    // SAFETY: kill(2) on a child we have not reaped yet.
    unsafe {
        libc::kill(pid as i32, with);
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > VISIBLE {
            let _ = child.kill();
            panic!("`beth up` did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub fn last_line(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .unwrap_or_else(|_| panic!("no JSON at the end of:\n{}", text(output)))
}

/// An HTTP answer: status and body. Status 0 when nobody answers.
pub fn get(url: &str) -> (u16, String) {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--max-time",
            "150",
            "--write-out",
            "\n%{http_code}",
            url,
        ])
        .output()
        .expect("curl is needed for this test: apt-get install curl");
    let body = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = body.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

pub fn get_json(url: &str) -> Value {
    let (status, body) = get(url);
    serde_json::from_str(&body).unwrap_or_else(|_| panic!("{url}: {status} {body}"))
}

/// Asks until the answer is accepted.
pub fn eventually<T: std::fmt::Debug>(ask: impl Fn() -> T, accept: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let answer = ask();
        if accept(&answer) {
            return answer;
        }
        assert!(
            began.elapsed() < VISIBLE,
            "still {answer:?} after {VISIBLE:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
