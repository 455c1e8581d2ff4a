//! What the machine has and uses, read from the kernel (compute.md §6.6).

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use beth_protocol::time::Timestamp;
use serde_json::{Value, json};

/// The body of `/about/usage/system`; `folder` is on the disk that is measured.
pub(super) fn usage(folder: &Path) -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<f64> = load
        .split(' ')
        .take(3)
        .filter_map(|number| number.parse().ok())
        .collect();
    let average = |index: usize| load.get(index).copied().unwrap_or_default();
    let (disk_total, disk_available) = disk_bytes(folder).unwrap_or_default();
    let frequency = field(&cpu, "cpu MHz")
        .and_then(|text| text.parse::<f64>().ok())
        .unwrap_or_default();
    json!({
        "cpu": {
            "count": cpu.lines().filter(|line| line.starts_with("processor")).count().max(1),
            "load_average": {"load1": average(0), "load5": average(1), "load15": average(2)},
            "core_frequencies": {"min": frequency, "max": frequency},
        },
        "mem": {
            "total_kB": memory_bytes(&memory, "MemTotal").div_ceil(1000),
            "available_kB": memory_bytes(&memory, "MemAvailable") / 1000,
        },
        "disk": {"total_kB": disk_total / 1000, "available_kB": disk_available / 1000},
        "period": {"start_timestamp": this_minute(), "duration_seconds": 60.0},
        "properties": {"cpu": {
            "architecture": std::env::consts::ARCH,
            "vendor": field(&cpu, "vendor_id").unwrap_or_default(),
            "features": [],
        }},
        "gpu": {"devices": [], "available_devices": []},
        "active": true,
    })
}

/// Memory that is free, in MiB; 0 when the kernel does not say.
pub(crate) fn available_memory_mib() -> u64 {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_bytes(&memory, "MemAvailable") >> 20
}

/// The first value of a `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':')
        .map(|(_, value)| value.trim().to_owned())
}

/// A line of `/proc/meminfo` in bytes.
fn memory_bytes(meminfo: &str, name: &str) -> u64 {
    let kibibytes =
        field(meminfo, name).and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

fn this_minute() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let minute = i64::try_from(seconds - seconds % 60).unwrap_or_default();
    Timestamp::from_seconds(minute).to_iso("Z")
}

/// Total and available bytes of the disk that `path` is on.
#[allow(unsafe_code)]
fn disk_bytes(path: &Path) -> Option<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in a zero byte and `stat` has room for the answer.
    let failed = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) };
    if failed != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it has filled in `stat`.
    let stat = unsafe { stat.assume_init() };
    Some((
        stat.f_blocks.saturating_mul(stat.f_frsize),
        stat.f_bavail.saturating_mul(stat.f_frsize),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn measures_this_machine() {
        let usage = usage(Path::new("/"));
        for pointer in [
            "/cpu/count",
            "/mem/total_kB",
            "/mem/available_kB",
            "/disk/total_kB",
        ] {
            assert!(
                usage.pointer(pointer).unwrap().as_u64().unwrap() > 0,
                "{pointer}"
            );
        }
        assert!(
            usage["period"]["start_timestamp"]
                .as_str()
                .unwrap()
                .ends_with(":00Z")
        );
    }
}
