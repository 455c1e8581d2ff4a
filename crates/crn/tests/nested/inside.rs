//! In the outer machine, as process 1: brings it up, lets the executor run a
//! program on KVM, and switches it off.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beth_crn::body::Body;
use beth_crn::config::Acceleration;
use beth_crn::executor::{Call, Executor, Fault, LocalFile, Phases, Program};
use beth_crn::jail;
use beth_crn::microvm::{Firecracker, FirecrackerConfig, MicroVm, MicroVmConfig};
use beth_protocol::ItemHash;
use serde_json::json;

use crate::{DONE, MARK};

const HASH: &str = "63faf8b5db1cf8d965e6a464a0cb8062af8e7df131729e48738342d956f29ace";
const READY_SECONDS: u64 = 300;
/// The self-test has a second, which is little for a machine that is emulated
/// on a busy computer.
const ATTEMPTS: u32 = 10;
/// Says on which kind of hypervisor it runs, and that it did.
const PROGRAM: &str = r#"
async def app(scope, receive, send):
    flags = open("/proc/cpuinfo").read()
    said = b"answered on a hypervisor" if "hypervisor" in flags else b"answered on nothing"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})
"#;

/// Never returns: the machine ends with it.
pub fn run() -> ! {
    match all() {
        Ok(()) => say(DONE),
        Err(error) => say(&format!("failed: {error}")),
    }
    // SAFETY: no memory is involved.
    unsafe {
        libc::sync();
        libc::reboot(libc::LINUX_REBOOT_CMD_RESTART);
    }
    loop {
        std::thread::park();
    }
}

fn say(text: &str) {
    // Without a console nobody would see why.
    let _ = writeln!(std::io::stdout(), "{MARK}{text}");
}

fn all() -> Result<(), String> {
    for (kind, folder) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount(kind, folder)?;
    }
    load_modules(Path::new("/modules"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        micro_vm(0, "a machine that booted").await?;
        micro_vm(1024, "a clone of a template").await?;
        firecracker().await
    })
}

fn mount(kind: &str, folder: &str) -> Result<(), String> {
    let [kind, folder] = [kind, folder].map(|text| CString::new(text).unwrap());
    // SAFETY: both texts end in zero and outlive the call; there are no options.
    let done = unsafe {
        libc::mount(
            kind.as_ptr(),
            folder.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(format!(
            "mounting {folder:?}: {}",
            std::io::Error::last_os_error()
        )),
    }
}

fn load_modules(folder: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let file = File::open(&path).map_err(|error| error.to_string())?;
        // SAFETY: the descriptor is open and the parameters are an empty text.
        let done =
            unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
        if done != 0 {
            let error = std::io::Error::last_os_error();
            return Err(format!("loading {}: {error}", path.display()));
        }
    }
    Ok(())
}

/// The executor as a node has it, told to use KVM or nothing.
async fn micro_vm(templates_mib: u64, what: &str) -> Result<(), String> {
    let mut config = MicroVmConfig::new("/work".into());
    config.guest_folder = "/guest".into();
    config.acceleration = Acceleration::Kvm;
    config.qemu = Some("/usr/bin/qemu-system-x86_64".into());
    config.ready_timeout_seconds = READY_SECONDS;
    // An initial filesystem cannot be left for another root.
    config.jail = jail::Mode::Off;
    config.templates_mib = templates_mib;
    let program = Arc::new(program(&config.runtime())?);
    let mut attempt = 1;
    loop {
        // What the self-test said is kept in the folder.
        config.work_folder = format!("/work/{templates_mib}/{attempt}").into();
        let executor = MicroVm::new(config.clone()).map_err(|error| error.to_string())?;
        if let Ok(choice) = executor.report().await.acceleration
            && attempt == 1
        {
            say(&format!("KVM: {}, since {}", choice.kvm, choice.reason));
        }
        match answers(&executor, &program, what).await {
            Err(Fault::NotHere(error)) if attempt < ATTEMPTS => {
                say(&format!("attempt {attempt}: {error}"));
                attempt += 1;
            }
            done => return done.map_err(|fault| fault.to_string()),
        }
    }
}

async fn firecracker() -> Result<(), String> {
    let binary = Path::new("/firecracker/binary");
    if !binary.exists() {
        say("Firecracker: not run, BETH_FIRECRACKER names no program");
        return Ok(());
    }
    let config = FirecrackerConfig {
        binary: binary.into(),
        kernel: "/firecracker/kernel".into(),
    };
    let executor = Firecracker::new(config, "/work/firecracker".into(), READY_SECONDS);
    let executor = executor.map_err(|error| error.to_string())?;
    let program = Arc::new(program(Path::new("/firecracker/runtime"))?);
    let answered = answers(&executor, &program, "Firecracker").await;
    answered.map_err(|fault| fault.to_string())
}

/// Starts a machine of the program and calls it.
async fn answers(executor: &dyn Executor, program: &Arc<Program>, what: &str) -> Result<(), Fault> {
    let begun = Instant::now();
    let machine = executor.start(program.clone(), Phases::default()).await?;
    let ready = begun.elapsed();
    let call = Call {
        method: "GET".into(),
        path: "/".into(),
        query: String::new(),
        headers: vec![(b"host".to_vec(), b"nested".to_vec())],
        body: Body::empty(),
    };
    let answer = machine.call(call).await?;
    let status = answer.status;
    let body = answer.body.collect(1 << 20).await;
    let body = body.map_err(|fault| Fault::Died(fault.to_string()))?;
    machine.stop().await;
    if (status, &*body) != (200, b"answered on a hypervisor") {
        return Err(Fault::Died(format!("{what} answered {status} {body:?}")));
    }
    let whole = begun.elapsed();
    say(&format!(
        "{what} was ready after {}, answered after {}",
        in_seconds(ready),
        in_seconds(whole)
    ));
    Ok(())
}

fn in_seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn program(runtime: &Path) -> Result<Program, String> {
    let code = Path::new("/work/code.zip");
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    let written = archive.start_file("main.py", options);
    written.map_err(|error| error.to_string())?;
    archive.write_all(PROGRAM.as_bytes()).unwrap();
    let bytes = archive.finish().map_err(|error| error.to_string())?;
    std::fs::write(code, bytes.into_inner()).map_err(|error| error.to_string())?;
    let content = json!({
        "address": "0x0", "time": 1.0, "allow_amend": false, "type": "vm-function",
        "environment": {}, "resources": {"vcpus": 1, "memory": 128, "seconds": 120},
        "code": {"encoding": "zip", "entrypoint": "main:app", "ref": HASH},
        "runtime": {"ref": HASH, "comment": ""}, "on": {"http": true},
    });
    Ok(Program {
        item_hash: ItemHash::parse(HASH).unwrap(),
        code: file(code)?,
        runtime: Some(file(runtime)?),
        data: None,
        volumes: Vec::new(),
        content: serde_json::from_value(content).map_err(|error| error.to_string())?,
    })
}

fn file(path: &Path) -> Result<LocalFile, String> {
    let metadata = std::fs::metadata(path);
    let metadata = metadata.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(LocalFile {
        path: path.into(),
        size_bytes: metadata.len(),
        hash: ItemHash::parse(HASH).unwrap(),
    })
}
