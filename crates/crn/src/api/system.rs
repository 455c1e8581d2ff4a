//! What the machine has and uses, read from the kernel (compute.md §6.6, §25).

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use beth_protocol::time::Timestamp;
use serde_json::{Value, json};

use crate::config::AdmissionConfig;
use crate::gpu::{self, Gpu};
use crate::reservation::Room;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) processors: u64,
    pub(super) load: [f64; 3],
    pub(super) frequencies_mhz: [f64; 2],
    pub(super) memory_bytes: u64,
    pub(super) memory_available_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) disk_available_bytes: u64,
    pub(super) minute: String,
    pub(super) processor: Processor,
}

/// What kind of processor it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Processor {
    pub(super) vendor: String,
    pub(super) model: String,
    pub(super) features: Vec<&'static str>,
}

/// Measures; `folder` is on the disk that is measured.
pub(super) fn measure(folder: &Path) -> Measured {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut averages = load
        .split(' ')
        .map(|number| number.parse().unwrap_or_default());
    let mut average = || averages.next().unwrap_or_default();
    let (disk_bytes, disk_available_bytes) = disk_bytes(folder).unwrap_or_default();
    let now_mhz = field(&cpu, "cpu MHz").and_then(|text| text.parse().ok());
    let bound = |name: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_{name}_freq");
        let khz = std::fs::read_to_string(path)
            .ok()?
            .trim()
            .parse::<f64>()
            .ok()?;
        (khz > 0.0).then_some(khz / 1000.0)
    };
    let frequency = |name| bound(name).or(now_mhz).unwrap_or_default();
    Measured {
        processors: cpu
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count()
            .max(1) as u64,
        load: [average(), average(), average()],
        frequencies_mhz: [frequency("min"), frequency("max")],
        memory_bytes: memory_bytes(&memory, "MemTotal"),
        memory_available_bytes: memory_bytes(&memory, "MemAvailable"),
        disk_bytes,
        disk_available_bytes,
        minute: this_minute(),
        processor: Processor {
            vendor: field(&cpu, "vendor_id").unwrap_or_default(),
            model: field(&cpu, "model name").unwrap_or_default(),
            features: secure_features(),
        },
    }
}

/// The body of `/about/usage/system`.
pub(super) fn usage(measured: &Measured, cards: &[Gpu], free_cards: &[Gpu]) -> Value {
    let [load1, load5, load15] = measured.load;
    let [min, max] = measured.frequencies_mhz;
    json!({
        "cpu": {
            "count": measured.processors,
            "load_average": {"load1": load1, "load5": load5, "load15": load15},
            "core_frequencies": {"min": min, "max": max},
        },
        "mem": {
            "total_kB": measured.memory_bytes.div_ceil(1000),
            "available_kB": measured.memory_available_bytes / 1000,
        },
        "disk": {
            "total_kB": measured.disk_bytes / 1000,
            "available_kB": measured.disk_available_bytes / 1000,
        },
        "period": {"start_timestamp": measured.minute, "duration_seconds": 60.0},
        "properties": {"cpu": {
            "architecture": std::env::consts::ARCH,
            "vendor": measured.processor.vendor,
            "features": measured.processor.features,
        }},
        "gpu": {"devices": cards, "available_devices": free_cards},
        "active": true,
    })
}

/// What kind of memory there is.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryKind {
    pub(super) size_bytes: u64,
    pub(super) kind: Option<String>,
    pub(super) clock_hz: Option<u64>,
}

impl MemoryKind {
    /// From the `memory` of `lshw -sanitize -json`.
    pub(super) fn of_lshw(memory: &Value) -> Option<MemoryKind> {
        let modules = memory.get("children").and_then(Value::as_array);
        let mut modules = modules.into_iter().flatten();
        let module = modules.find(|module| module.get("clock").is_some());
        let words = module.and_then(|module| module.get("description")?.as_str());
        let mut words = words.into_iter().flat_map(|text| text.split(' '));
        Some(MemoryKind {
            size_bytes: memory.get("size")?.as_u64()?,
            kind: words
                .find(|word| word.starts_with("DDR"))
                .map(str::to_owned),
            clock_hz: module.and_then(|module| module.get("clock")?.as_u64()),
        })
    }
}

/// The body of `/about/capability`.
pub(super) fn capability(measured: &Measured, memory: &MemoryKind) -> Value {
    let frequency_hz = (measured.frequencies_mhz[1] * 1e6).round() as u64;
    json!({
        "cpu": {
            "architecture": std::env::consts::ARCH,
            "vendor": measured.processor.vendor,
            "features": measured.processor.features,
            "model": measured.processor.model,
            "frequency": frequency_hz,
            "count": measured.processors,
        },
        "memory": {
            "size": memory.size_bytes, "units": "bytes", "type": memory.kind,
            "clock": memory.clock_hz, "clock_units": null,
        },
    })
}

/// What the memory of this machine is, as far as `lshw` is here and says so.
pub(super) async fn memory_kind(measured: &Measured) -> MemoryKind {
    let mut command = tokio::process::Command::new("lshw");
    command.args(["-sanitize", "-json"]).kill_on_drop(true);
    command.stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(crate::limits::QUERY_DEADLINE, command.output()).await;
    let told = output.ok().and_then(Result::ok).and_then(|output| {
        let tree = serde_json::from_slice::<Value>(&output.stdout).ok()?;
        MemoryKind::of_lshw(find(&tree, "memory")?)
    });
    told.unwrap_or(MemoryKind {
        size_bytes: measured.memory_bytes,
        ..MemoryKind::default()
    })
}

/// The first node of that class in the tree of `lshw`.
fn find<'a>(tree: &'a Value, id: &str) -> Option<&'a Value> {
    if let Value::Array(trees) = tree {
        return trees.iter().find_map(|tree| find(tree, id));
    }
    if tree.get("id").and_then(Value::as_str) == Some(id) {
        return Some(tree);
    }
    let children = tree.get("children").and_then(Value::as_array);
    children
        .into_iter()
        .flatten()
        .find_map(|tree| find(tree, id))
}

/// What this node may promise to others. Small machines keep back a part of
/// what they have, large ones what the operator says.
pub(super) fn room(folder: &Path, policy: &AdmissionConfig) -> Room {
    let measured = measure(folder);
    let memory_mib = measured.memory_bytes >> 20;
    let host_mib = policy.host_memory_reserved_mib.min(memory_mib / 8);
    let program_memory_mib = policy.program_memory_reserved_mib.min(memory_mib / 2);
    Room {
        instance_memory_mib: memory_mib.saturating_sub(host_mib + program_memory_mib),
        program_memory_mib,
        vcpus: (measured.processors as f64 * policy.vcpu_overcommit) as u64,
        disk_free_mib: measured.disk_available_bytes >> 20,
        disk_mib: policy.disk_mib,
        gpus: free_cards(),
    }
}

/// Graphics cards that are held for guests; blocks.
pub(crate) fn free_cards() -> Vec<Gpu> {
    let lspci = std::process::Command::new("lspci").arg("-mmnnn").output();
    let lspci = lspci.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    gpu::parse(&lspci.unwrap_or_default(), is_held_for_guests)
}

fn is_held_for_guests(place: &str) -> bool {
    let place = match place.matches(':').count() {
        1 => format!("0000:{place}"),
        _ => place.to_owned(),
    };
    let driver = std::fs::read_link(format!("/sys/bus/pci/devices/{place}/driver"));
    driver.is_ok_and(|driver| driver.ends_with("vfio-pci"))
}

/// Memory that is free, in MiB; 0 when the kernel does not say.
pub(crate) fn available_memory_mib() -> u64 {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_bytes(&memory, "MemAvailable") >> 20
}

fn secure_features() -> Vec<&'static str> {
    if !Path::new("/dev/sev").exists() {
        return Vec::new();
    }
    let is_on = |name: &&str| {
        let path = format!("/sys/module/kvm_amd/parameters/{name}");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        matches!(text.trim(), "Y" | "1")
    };
    ["sev", "sev_es", "sev_snp"]
        .into_iter()
        .filter(is_on)
        .collect()
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
        let usage = usage(&measure(Path::new("/")), &[], &[]);
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
        let minute = usage["period"]["start_timestamp"].as_str().unwrap();
        assert!(minute.ends_with(":00Z"));
        let room = room(Path::new("/"), &AdmissionConfig::default());
        assert!(room.vcpus >= 4 && room.instance_memory_mib > 0 && room.program_memory_mib > 0);
    }

    #[test]
    fn figures_of_the_vectors() {
        let text = include_str!("../../../../vectors/crn/usage_capability.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let inputs = &vectors["inputs"];
        let number = |pointer: &str| inputs.pointer(pointer).unwrap().as_f64().unwrap();
        let recorded = |path: &str| vectors["responses"][path]["body"].clone();
        let measured = Measured {
            processors: number("/cpu_count") as u64,
            load: [
                number("/loadavg/0"),
                number("/loadavg/1"),
                number("/loadavg/2"),
            ],
            frequencies_mhz: [number("/cpu_freq/1"), number("/cpu_freq/2")],
            memory_bytes: number("/psutil.virtual_memory/total") as u64,
            memory_available_bytes: number("/psutil.virtual_memory/available") as u64,
            disk_bytes: number("/disk_usage.total") as u64,
            disk_available_bytes: number("/calculate_available_disk") as u64,
            minute: "2026-11-22T14:25:00Z".into(),
            processor: Processor {
                vendor: "AuthenticAMD".into(),
                model: inputs["lshw"]["cpu"]["product"].as_str().unwrap().into(),
                features: vec!["sev", "sev_es"],
            },
        };
        let body = recorded("/about/usage/system");
        let cards = vec![Gpu {
            vendor: "NVIDIA".into(),
            model: Some("L40S".into()),
            device_name: "AD102GL [L40S]".into(),
            device_class: "0302".into(),
            pci_host: "02:00.0".into(),
            device_id: "10de:26b9".into(),
            compatible: true,
        }];
        let ours = usage(&measured, &cards, &cards);
        assert_eq!(
            super::super::json::text(&ours),
            super::super::json::text(&body)
        );
        let memory = MemoryKind::of_lshw(&inputs["lshw"]["memory"]).unwrap();
        let ours = capability(&measured, &memory);
        let body = recorded("/about/capability");
        assert_eq!(
            super::super::json::text(&ours),
            super::super::json::text(&body)
        );
    }
}
