//! What microVMs need. Wasm functions need none of it.

use std::path::PathBuf;

use beth_crn::microvm::{MicroVm, MicroVmConfig, Report, default_guest_folder};

use super::Check;

/// Looks for QEMU, kernel and images, and tries KVM.
pub(super) async fn look(guest_dir: Option<PathBuf>) -> Vec<Check> {
    let folder = guest_dir.unwrap_or_else(default_guest_folder);
    let work = match tempfile::tempdir() {
        Ok(work) => work,
        Err(error) => {
            let found = format!("no temporary folder: {error}");
            return vec![Check::missing(
                "microVMs",
                found,
                "make /tmp writable, or set TMPDIR",
            )];
        }
    };
    let config = MicroVmConfig {
        guest_folder: folder.clone(),
        ..MicroVmConfig::new(work.path().to_owned())
    };
    let report = match MicroVm::new(config) {
        Ok(executor) => executor.report().await,
        Err(error) => return vec![Check::missing("microVMs", "not usable", error.to_string())],
    };
    let mut checks = vec![qemu(&report)];
    checks.push(image("guest kernel", report.kernel));
    checks.push(image("Python runtime", report.runtime));
    checks.push(manifest(&folder.join("manifest.json")));
    checks.push(match report.acceleration {
        Ok(choice) => Check::ok(
            "acceleration",
            format!(
                "{}: {}",
                if choice.kvm { "KVM" } else { "emulation (TCG)" },
                choice.reason
            ),
        ),
        Err(reason) => Check::missing("acceleration", "none", reason),
    });
    checks
}

fn qemu(report: &Report) -> Check {
    match (&report.qemu, &report.qemu_version) {
        (Some(path), Some(version)) => {
            Check::ok("QEMU", format!("{version} at {}", path.display()))
        }
        (Some(path), None) => Check::missing(
            "QEMU",
            format!("{} does not tell its version", path.display()),
            "install it again: apt-get install --reinstall qemu-system-x86",
        ),
        (None, _) => Check::missing(
            "QEMU",
            "not found",
            "for Python functions: apt-get install --no-install-recommends qemu-system-x86",
        ),
    }
}

fn image(name: &'static str, found: Result<PathBuf, String>) -> Check {
    match found {
        Ok(path) => Check::ok(name, path.display().to_string()),
        Err(advice) => Check::missing(name, "not found", advice),
    }
}

/// The manifest is written last: without it, the images may be half made.
fn manifest(path: &std::path::Path) -> Check {
    let text = std::fs::read_to_string(path).ok();
    let manifest = text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    match manifest {
        Some(manifest) => {
            let text = |name: &str| {
                manifest
                    .get(name)
                    .and_then(serde_json::Value::as_str)
                    .unwrap_or("unknown")
                    .to_owned()
            };
            Check::ok(
                "guest images",
                format!("{} on {}", text("kernel"), text("suite")),
            )
        }
        None => Check::missing(
            "guest images",
            format!("no manifest at {}", path.display()),
            "run `make guest` (scripts/guest.sh)",
        ),
    }
}
