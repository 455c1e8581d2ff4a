//! Programs to boot, and the executor that boots them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use beth_crn::body::Body;
use beth_crn::config::Acceleration;
use beth_crn::executor::{
    Call, Executor, Fault, LocalFile, Machine, MountedVolume, Phases, Program,
};
use beth_crn::microvm::{MicroVm, MicroVmConfig};
use beth_protocol::ItemHash;
use bytes::Bytes;
use serde_json::{Value, json};

const HASH: &str = "63faf8b5db1cf8d965e6a464a0cb8062af8e7df131729e48738342d956f29ace";

pub static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Runs a test on the runtime of the machines.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// Waits until something is so, for half a minute at most.
pub async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not come to pass");
}

/// A program, its files, and the executor's own folder.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub program: Program,
    pub config: MicroVmConfig,
}

impl Fixture {
    /// Files of the code archive, by name.
    pub fn zip(entrypoint: &str, files: &[(&str, &str)]) -> Fixture {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in files {
            archive
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        Fixture::new("zip", entrypoint, &archive.finish().unwrap().into_inner())
    }

    /// Code as one blob.
    pub fn new(encoding: &str, entrypoint: &str, code: &[u8]) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let mut config = MicroVmConfig::new(folder.path().join("work"));
        config.acceleration = Acceleration::Tcg;
        config.ready_timeout_seconds = 180;
        assert!(
            config.runtime().is_file(),
            "the guest files are missing: run scripts/guest.sh"
        );
        std::fs::write(folder.path().join("code"), code).unwrap();
        let content = json!({
            "address": "0x0", "time": 1.0, "allow_amend": false, "type": "vm-function",
            "environment": {}, "resources": {"vcpus": 1, "memory": 128, "seconds": 20},
            "variables": {"COLOUR": "green"},
            "code": {"encoding": encoding, "entrypoint": entrypoint, "ref": HASH},
            "runtime": {"ref": HASH, "comment": ""}, "on": {"http": true},
        });
        let program = Program {
            item_hash: ItemHash::parse(HASH).unwrap(),
            code: file(&folder.path().join("code")),
            runtime: Some(file(&config.runtime())),
            data: None,
            volumes: Vec::new(),
            content: serde_json::from_value(content).unwrap(),
        };
        Fixture {
            folder,
            program,
            config,
        }
    }

    /// Packs files as a squashfs image.
    pub fn squash(folder: &Path, files: &[(&str, &str)]) -> PathBuf {
        let tree = folder.join("tree");
        let image = folder.join("image.squashfs");
        std::fs::create_dir_all(&tree).unwrap();
        for (name, text) in files {
            std::fs::write(tree.join(name), text).unwrap();
        }
        let status = std::process::Command::new("mksquashfs")
            .args([&tree, &image])
            .args(["-noappend", "-quiet", "-no-progress", "-all-root"])
            .status();
        assert!(
            status
                .expect("mksquashfs is installed by scripts/guest.sh")
                .success()
        );
        image
    }

    pub fn volume(mut self, image: &Path, mount: &str) -> Fixture {
        self.program.volumes.push(MountedVolume {
            file: file(image),
            mount: mount.to_owned(),
        });
        self
    }

    pub fn seconds(mut self, seconds: u64) -> Fixture {
        self.program.content.resources.seconds = seconds;
        self
    }

    pub fn executor(&self) -> MicroVm {
        MicroVm::new(self.config.clone()).unwrap()
    }

    /// The code as it is on the disk now.
    pub fn measured(mut self) -> Fixture {
        self.program.code = file(&self.program.code.path);
        self
    }

    pub fn layers(&self) -> Vec<beth_crn::jail::Layer> {
        self.executor().layers()
    }

    pub async fn start_on(&self, executor: &MicroVm) -> Result<Box<dyn Machine>, Fault> {
        let program = Arc::new(self.program.clone());
        executor.start(program, Phases::default()).await
    }

    pub async fn start(&self) -> Result<Box<dyn Machine>, Fault> {
        self.executor()
            .start(Arc::new(self.program.clone()), Phases::default())
            .await
    }

    /// Process id of the QEMU that runs this program.
    pub fn qemu(&self) -> Option<u32> {
        let code = self.program.code.path.to_string_lossy().into_owned();
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .find(|pid: &u32| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line);
                line.starts_with("qemu-system") | line.contains("/qemu-system")
                    && line.contains(&code)
            })
    }
}

pub fn file(path: &Path) -> LocalFile {
    let size_bytes = std::fs::metadata(path).unwrap().len();
    LocalFile {
        path: path.to_owned(),
        size_bytes,
        hash: ItemHash::parse(HASH).unwrap(),
    }
}

pub fn call(method: &str, path: &str) -> Call {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let headers = vec![(b"host".to_vec(), b"program.example.org".to_vec())];
    Call {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        headers,
        body: Body::empty(),
    }
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Whole {
    pub status: u16,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Bytes,
}

pub async fn send(machine: &dyn Machine, call: Call) -> Result<Whole, Fault> {
    let answer = machine.call(call).await?;
    Ok(Whole {
        status: answer.status,
        headers: answer.headers,
        body: answer.body.collect(64 << 20).await.unwrap(),
    })
}

pub async fn get(machine: &dyn Machine, path: &str) -> Result<Whole, Fault> {
    send(machine, call("GET", path)).await
}

pub async fn get_json(machine: &dyn Machine, path: &str) -> Value {
    let answer = get(machine, path).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    serde_json::from_slice(&answer.body).unwrap()
}

/// A smallest ASGI application: says "small" to everything.
pub const SMALL: &str = r#"
async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/exit":
        import os
        os._exit(3)
    await send({"type": "http.response.start", "status": 200, "headers": [[b"content-type", b"text/plain"]]})
    await send({"type": "http.response.body", "body": b"small"})
"#;
