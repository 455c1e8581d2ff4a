//! Machines whose memory their node cannot read: AMD SEV (compute.md §19).
//!
//! ```text
//! allocated ─▶ awaits its owner ─ session ─▶ QEMU, paused ─▶ measurement ─▶ owner
//!                    ▲                                                       │
//!                    └───────────── it ended ◀── runs ◀─────────── secret ───┘
//! ```
//!
//! The node only carries what the owner and the processor say to each other.
//! A secret is good for one launch, so a machine that ended waits again.

use std::path::{Path, PathBuf};

use beth_protocol::ItemHash;
use beth_protocol::content::InstanceContent;
use serde_json::{Value, json};

use super::Instances;
use super::disks::Folders;
use super::fault::InstanceFault;
use super::keeper::{Command, Outcome};
use super::qmp::Qmp;
use crate::workloads::{Measurement, Session};

/// The firmware when a message names none: the one that clients measure.
const DEFAULT_FIRMWARE: &str = "ba5bb13f3abca960b101a759be162b229e2b7e93ecad9d1307e54de887f177ff";
/// Without debugging by the host.
const DEFAULT_POLICY: u64 = 1;
/// The driver of the processor's security unit.
pub(super) const DEVICE: &str = "/dev/sev";

/// How a processor marks hidden memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The bit of an address that says so.
    pub encryption_bit: u32,
    /// Bits that physical addresses lose.
    pub reduced_bits: u32,
}

/// What a launch needs.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Of this processor.
    pub geometry: Geometry,
    /// What the owner forbids, as bits of the processor's policy.
    pub policy: u64,
    /// The firmware's image.
    pub firmware: PathBuf,
    /// The owner's `vm_session.b64`.
    pub session: PathBuf,
    /// The owner's `vm_godh.b64`.
    pub godh: PathBuf,
}

impl Geometry {
    /// Of the processor of this computer; `None` when it hides no memory or its
    /// driver is not there.
    pub fn of_this_computer() -> Option<Geometry> {
        Path::new(DEVICE).exists().then(Geometry::of_processor)?
    }

    fn of_processor() -> Option<Geometry> {
        #[cfg(target_arch = "x86_64")]
        {
            const HIGHEST: u32 = 0x8000_0000;
            const ENCRYPTION: u32 = 0x8000_001f;
            const SEV: u32 = 1 << 1;
            use core::arch::x86_64::__cpuid;
            if __cpuid(HIGHEST).eax < ENCRYPTION {
                return None;
            }
            let told = __cpuid(ENCRYPTION);
            (told.eax & SEV != 0).then_some(Geometry {
                encryption_bit: told.ebx & 0x3f,
                reduced_bits: (told.ebx >> 6) & 0x3f,
            })
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

impl Launch {
    /// The object of QEMU's command line.
    pub fn object(&self) -> String {
        let path = |path: &Path| path.to_string_lossy().replace(',', ",,");
        format!(
            "sev-guest,id=sev0,policy={:#x},cbitpos={},reduced-phys-bits={},dh-cert-file={},session-file={}",
            self.policy,
            self.geometry.encryption_bit,
            self.geometry.reduced_bits,
            path(&self.godh),
            path(&self.session),
        )
    }
}

impl Instances {
    /// Begins a machine with hidden memory, with its owner's session; it stands
    /// still until it has its secret.
    pub async fn initialize(
        &self,
        item_hash: &ItemHash,
        session: Session,
    ) -> Result<(), InstanceFault> {
        self.order(item_hash, Command::Initialize(session))
            .await
            .map(drop)
    }

    /// What the processor measured of it.
    pub async fn measurement(&self, item_hash: &ItemHash) -> Result<Measurement, InstanceFault> {
        match self.order(item_hash, Command::Measure).await? {
            Outcome::Measured(measurement) => Ok(*measurement),
            _ => Err(InstanceFault::Closing),
        }
    }

    /// Hands over the owner's secret and lets it run; QEMU's word of its status.
    pub async fn inject_secret(
        &self,
        item_hash: &ItemHash,
        packet_header: String,
        secret: String,
    ) -> Result<Value, InstanceFault> {
        let command = Command::Inject {
            packet_header,
            secret,
        };
        match self.order(item_hash, command).await? {
            Outcome::Status(status) => Ok(status),
            _ => Err(InstanceFault::Closing),
        }
    }
}

/// STORE message of the firmware that a message wants.
pub fn firmware(content: &InstanceContent) -> Option<ItemHash> {
    let trusted = content.environment.trusted_execution.as_ref()?;
    let named = trusted.get("firmware").and_then(Value::as_str);
    ItemHash::parse(named.unwrap_or(DEFAULT_FIRMWARE)).ok()
}

/// What a message's owner forbids.
pub fn policy(content: &InstanceContent) -> u64 {
    let trusted = content.environment.trusted_execution.as_ref();
    let policy = trusted.and_then(|trusted| trusted.get("policy")?.as_u64());
    policy.unwrap_or(DEFAULT_POLICY)
}

/// Where the owner's session is kept while the machine runs.
pub fn session_files(folders: &Folders) -> (PathBuf, PathBuf) {
    let file = |name: &str| folders.own.join(name);
    (file("vm_session.b64"), file("vm_godh.b64"))
}

/// What the processor measured of a paused machine. The error is a sentence.
pub async fn measure(qmp: &mut Qmp) -> Result<Measurement, String> {
    let told = qmp.execute("query-sev", Value::Null).await?;
    let measured = qmp.execute("query-sev-launch-measure", Value::Null).await?;
    let launch_measure = measured["data"].as_str().ok_or("QEMU tells no measure")?;
    Ok(Measurement {
        sev_info: json!({
            "enabled": told["enabled"],
            "api_major": told["api-major"],
            "api_minor": told["api-minor"],
            "build_id": told["build-id"],
            "policy": told["policy"],
            "state": told["state"],
            "handle": told["handle"],
        }),
        launch_measure: launch_measure.to_owned(),
    })
}

/// Hands over the secret and lets the machine run; its status. The error is a
/// sentence.
pub async fn inject(qmp: &mut Qmp, packet_header: &str, secret: &str) -> Result<Value, String> {
    let packet = json!({"packet-header": packet_header, "secret": secret});
    qmp.execute("sev-inject-launch-secret", packet).await?;
    qmp.execute("cont", Value::Null).await?;
    qmp.execute("query-status", Value::Null).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../../vectors/crn/sev_vectors.json")).unwrap()
    }

    /// A monitor that answers as one with such a processor, and tells what it was
    /// asked.
    async fn monitor(listener: UnixListener) -> Vec<Value> {
        let vectors = vectors();
        let info = &vectors["sev_info"];
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let greeting = json!({"QMP": {"version": {}, "capabilities": []}});
        let mut answer = format!("{greeting}\n");
        let mut asked = Vec::new();
        loop {
            writer.write_all(answer.as_bytes()).await.unwrap();
            let Some(line) = lines.next_line().await.unwrap() else {
                return asked;
            };
            let request: Value = serde_json::from_str(&line).unwrap();
            let said = match request["execute"].as_str().unwrap() {
                "query-sev" => json!({
                    "enabled": info["enabled"], "api-major": info["api_major"],
                    "api-minor": info["api_minor"], "build-id": info["build_id"],
                    "policy": info["policy"], "state": info["state"], "handle": info["handle"],
                }),
                "query-sev-launch-measure" => json!({"data": vectors["launch_measure_b64"]}),
                "query-status" => {
                    json!({"status": "running", "singlestep": false, "running": true})
                }
                _ => json!({}),
            };
            answer = format!("{}\n", json!({"return": said, "id": request["id"]}));
            asked.push(request);
        }
    }

    #[tokio::test]
    async fn owner_and_processor_speak_through_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp.sock");
        let asked = tokio::spawn(monitor(UnixListener::bind(&path).unwrap()));
        let mut qmp = Qmp::connect(&path).await.unwrap();
        let vectors = vectors();
        let measured = measure(&mut qmp).await.unwrap();
        assert_eq!(measured.sev_info, vectors["sev_info"]);
        assert_eq!(measured.launch_measure, vectors["launch_measure_b64"]);
        let body = &vectors["inject_body"];
        let text = |name: &str| body[name].as_str().unwrap();
        let status = inject(&mut qmp, text("packet_header"), text("secret")).await;
        assert_eq!(status.unwrap()["running"], true);
        drop(qmp);
        let asked = asked.await.unwrap();
        let injected = asked
            .iter()
            .find(|request| request["execute"] == "sev-inject-launch-secret")
            .unwrap();
        assert_eq!(
            injected["arguments"]["packet-header"],
            body["packet_header"]
        );
        assert_eq!(injected["arguments"]["secret"], body["secret"]);
        let order: Vec<&str> = asked[3..]
            .iter()
            .map(|request| request["execute"].as_str().unwrap())
            .collect();
        assert_eq!(order, ["sev-inject-launch-secret", "cont", "query-status"]);
    }
}
