//! The program's surroundings (compute.md §14.3), and the runner that holds it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use beth_guest::frame::{VERSION, member};
use rmpv::Value;

use crate::boot::{find_drive, make_folder};
use crate::sys::{self, Mount};

const FOLDER: &str = "/run/beth";
const INTERPRETERS: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];
const RUNNER: [(&str, &str); 6] = [
    ("beth_runner.py", include_str!("python/runner.py")),
    ("beth_flow.py", include_str!("python/flow.py")),
    ("beth_network.py", include_str!("python/network.py")),
    ("beth_wake.py", include_str!("python/wake.py")),
    ("beth_asgi.py", include_str!("python/asgi.py")),
    ("beth_executable.py", include_str!("python/executable.py")),
];
/// Where upstream's images keep the libraries of their own init.
const STOCK_LIBRARIES: &str = "/opt/aleph/libs";

/// Where the runner talks and where it prints.
pub struct Ends<'a> {
    pub port: &'a File,
    pub log: File,
}

/// Clock, name, network, volumes.
pub fn set_up(config: &Value) -> Result<(), String> {
    if let Some(now) = member(config, "unix_ns").as_u64() {
        sys::set_clock(now);
    }
    sys::set_hostname(member(config, "hostname").as_str().unwrap_or("beth"));
    sys::raise_loopback().map_err(|error| format!("raising the loopback interface: {error}"))?;
    for volume in member(config, "volumes")
        .as_array()
        .map_or(&[][..], Vec::as_slice)
    {
        let (Some(target), Some(serial)) = (
            member(volume, "mount").as_str(),
            member(volume, "device").as_str(),
        ) else {
            return Err("a volume has no mount or no device".to_owned());
        };
        make_folder(target)?;
        if serial.is_empty() {
            let options = format!(
                "mode=0755,size={}m",
                member(volume, "size_mib").as_u64().unwrap_or(1)
            );
            sys::mount(&Mount {
                source: "volume",
                target,
                kind: "tmpfs",
                options: &options,
                flags: 0,
            })?;
            continue;
        }
        let source = find_drive(serial)?;
        let (kind, flags) = match member(volume, "read_only").as_bool() {
            Some(false) => ("ext4", libc::MS_NOATIME),
            _ => ("squashfs", libc::MS_RDONLY),
        };
        sys::mount(&Mount {
            source: &source,
            target,
            kind,
            options: "",
            flags,
        })?;
    }
    Ok(())
}

/// Runs the program until it ends: its exit status, or minus its signal.
pub fn run(config: &Value, raw: &[u8], ends: Ends<'_>) -> Result<i32, String> {
    make_folder(FOLDER)?;
    write("config", raw)?;
    for (name, source) in RUNNER {
        write(name, source.as_bytes())?;
    }
    let drive = match member(config, "code_device").as_str() {
        Some(serial) => find_drive(serial)?,
        None => String::new(),
    };
    let data = match member(config, "data_device").as_str() {
        Some(serial) => find_drive(serial)?,
        None => String::new(),
    };
    let port = sys::make_inheritable(ends.port).map_err(|error| format!("the port: {error}"))?;
    let interpreter = INTERPRETERS
        .into_iter()
        .find(|path| Path::new(path).exists());
    let interpreter =
        interpreter.ok_or("the runtime has no python3 in /usr/bin or /usr/local/bin")?;
    let output = || {
        ends.log
            .try_clone()
            .map(Stdio::from)
            .map_err(|error| format!("the log port: {error}"))
    };
    let mut command = Command::new(interpreter);
    command
        .arg("-B")
        .arg(format!("{FOLDER}/beth_runner.py"))
        .args([port.to_string(), drive, data, sys::uptime_ms().to_string()]);
    command
        .env_clear()
        .envs(environment(config))
        .current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?);
    let child = command
        .spawn()
        .map_err(|error| format!("starting {interpreter}: {error}"))?;
    while let Some((pid, status)) = sys::wait_any() {
        if pid == child.id() {
            return Ok(status);
        }
    }
    Err("the runner was lost".to_owned())
}

fn write(name: &str, bytes: &[u8]) -> Result<(), String> {
    fs::write(format!("{FOLDER}/{name}"), bytes).map_err(|error| format!("writing {name}: {error}"))
}

fn environment(config: &Value) -> Vec<(String, String)> {
    let socket = "/tmp/socat-socket";
    let address = member(config, "hostname").as_str().unwrap_or_default();
    let fixed = [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("PYTHONPATH", STOCK_LIBRARIES),
        ("ALEPH_INIT_VERSION", VERSION),
        ("ALEPH_API_HOST", "http://localhost"),
        ("ALEPH_API_UNIX_SOCKET", socket),
        ("ALEPH_REMOTE_CRYPTO_HOST", "http://localhost"),
        ("ALEPH_REMOTE_CRYPTO_UNIX_SOCKET", socket),
        ("ALEPH_ADDRESS_TO_USE", address),
    ];
    let mut all: Vec<(String, String)> = fixed
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    if !Path::new(STOCK_LIBRARIES).exists() {
        all.retain(|(name, _)| name != "PYTHONPATH");
    }
    for (name, value) in member(config, "variables")
        .as_map()
        .map_or(&[][..], Vec::as_slice)
    {
        let (Some(name), Some(value)) = (name.as_str(), value.as_str()) else {
            continue;
        };
        let legal = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        if legal {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    all
}
