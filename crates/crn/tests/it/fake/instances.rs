//! Virtual machines that are nothing but what is said of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use beth_crn::gpu::Gpu;
use beth_crn::reservation::Room;
use beth_crn::workloads::{
    Backup, Before, Demand, Done, Kind, Known, LogLine, Measurement, MovedDisk, Restored, Session,
    Steps, Volumes, WorkloadFault, Workloads,
};
use beth_protocol::ItemHash;
use beth_protocol::content::payment::Payment;
use beth_protocol::time::Timestamp;
use futures::future::BoxFuture;
use serde_json::{Value, json};

/// What the tests say, and what was asked of it.
#[derive(Default)]
pub struct FakeInstances {
    pub machines: Mutex<BTreeMap<ItemHash, Known>>,
    pub asked: Mutex<Vec<String>>,
    pub logs: Mutex<Vec<LogLine>>,
    pub backups: Mutex<BTreeMap<String, Backup>>,
    pub exports: Mutex<Vec<MovedDisk>>,
    pub payments: Mutex<BTreeMap<ItemHash, Payment>>,
}

/// A machine of an owner.
pub fn machine(item_hash: &ItemHash, owner: &str) -> Known {
    Known {
        item_hash: item_hash.clone(),
        owner: owner.to_owned(),
        kind: Kind::Instance,
        is_running: true,
        is_starting: false,
        awaits_secret: false,
        is_confidential: false,
        steps: Steps::default(),
        networking: None,
        demand: Demand {
            disk_mib: 1,
            ..Demand::default()
        },
        disk_used_mib: 0,
        payment: None,
    }
}

/// What a node has, so that tests do not depend on this computer.
pub fn room() -> Room {
    let gpu = |pci_host: &str| Gpu {
        vendor: "NVIDIA".into(),
        model: None,
        device_name: "AD102GL [L40S]".into(),
        device_class: "0302".into(),
        pci_host: pci_host.into(),
        device_id: "10de:26b9".into(),
        compatible: false,
    };
    Room {
        instance_memory_mib: 100_000,
        program_memory_mib: 8192,
        vcpus: 64,
        disk_free_mib: 1_000_000,
        disk_mib: None,
        gpus: vec![gpu("02:00.0")],
    }
}

/// A line that was printed at 11:00.
pub fn line(micros: i64, is_error: bool, text: &str) -> LogLine {
    let eleven = 1_772_362_800_000_000;
    LogLine {
        time: Timestamp::from_micros(eleven + micros),
        is_error,
        text: text.to_owned(),
    }
}

impl FakeInstances {
    pub fn new() -> Arc<FakeInstances> {
        Arc::default()
    }

    /// Has that machine from now on.
    pub fn put(&self, known: Known) {
        let mut machines = self.machines.lock().unwrap();
        machines.insert(known.item_hash.clone(), known);
    }

    /// Changes a machine.
    pub fn change(&self, item_hash: &ItemHash, change: impl FnOnce(&mut Known)) {
        change(self.machines.lock().unwrap().get_mut(item_hash).unwrap());
    }

    /// What was asked since the last look.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    fn set_running(&self, item_hash: &ItemHash, runs: bool) -> Before {
        let mut machines = self.machines.lock().unwrap();
        let known = machines.get_mut(item_hash).unwrap();
        match std::mem::replace(&mut known.is_running, runs) {
            true => Before::Running,
            false => Before::Stopped,
        }
    }
}

impl Workloads for FakeInstances {
    fn all(&self) -> BoxFuture<'_, Vec<Known>> {
        let all = self.machines.lock().unwrap().values().cloned().collect();
        Box::pin(async { all })
    }

    fn find<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Known>> {
        let found = self.machines.lock().unwrap().get(item_hash).cloned();
        Box::pin(async { found })
    }

    fn start<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        self.note(format!("start {item_hash}"));
        let mut machines = self.machines.lock().unwrap();
        let known = machines
            .entry(item_hash.clone())
            .or_insert_with(|| machine(item_hash, "0x0"));
        known.is_running = true;
        known.payment = self.payments.lock().unwrap().get(item_hash).cloned();
        Box::pin(async { Ok(()) })
    }

    fn stop<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>> {
        self.note(format!("stop {item_hash}"));
        let before = self.set_running(item_hash, false);
        Box::pin(async move { Ok(before) })
    }

    fn reboot<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Before>> {
        self.note(format!("reboot {item_hash}"));
        let before = self.set_running(item_hash, true);
        Box::pin(async move { Ok(before) })
    }

    fn reinstall<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        volumes: Volumes,
    ) -> BoxFuture<'a, Done<()>> {
        self.note(format!("reinstall {item_hash} {volumes:?}"));
        Box::pin(async { Ok(()) })
    }

    fn erase<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        self.note(format!("erase {item_hash}"));
        self.machines.lock().unwrap().remove(item_hash);
        Box::pin(async { Ok(()) })
    }

    fn forget<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<()>> {
        self.note(format!("forget {item_hash}"));
        self.machines.lock().unwrap().remove(item_hash);
        Box::pin(async { Ok(()) })
    }

    fn logs<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, Option<Vec<LogLine>>> {
        let lines = self.logs.lock().unwrap().clone();
        Box::pin(async { Some(lines) })
    }

    fn map_ports<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        ports: Option<Value>,
    ) -> BoxFuture<'a, Done<()>> {
        self.note(format!("ports {item_hash} {}", ports.unwrap_or_default()));
        Box::pin(async { Ok(()) })
    }

    fn backup_of_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Option<Backup>> {
        let found = self.backups.lock().unwrap().get(id).cloned();
        Box::pin(async { found })
    }

    fn delete_backup<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Done<bool>> {
        let is_there = self.backups.lock().unwrap().remove(id).is_some();
        Box::pin(async move { Ok(is_there) })
    }

    fn restore<'a>(&'a self, item_hash: &'a ItemHash, image: Restored) -> BoxFuture<'a, Done<()>> {
        let what = match image {
            Restored::Upload(path) => String::from_utf8(std::fs::read(path).unwrap()).unwrap(),
            Restored::Stored(hash) => hash.to_string(),
        };
        self.note(format!("restore {item_hash} {what}"));
        Box::pin(async { Ok(()) })
    }

    fn export<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Vec<MovedDisk>>> {
        self.note(format!("export {item_hash}"));
        self.set_running(item_hash, false);
        let disks = self.exports.lock().unwrap().clone();
        Box::pin(async { Ok(disks) })
    }

    fn discard_export<'a>(&'a self, item_hash: &'a ItemHash) -> BoxFuture<'a, ()> {
        self.note(format!("discard {item_hash}"));
        Box::pin(async {})
    }

    fn import<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        disks: Vec<MovedDisk>,
    ) -> BoxFuture<'a, Done<()>> {
        for disk in disks {
            let text = std::fs::read_to_string(disk.path).unwrap();
            self.note(format!("import {item_hash} {} {text}", disk.name));
        }
        self.put(machine(item_hash, "0x0"));
        Box::pin(async { Ok(()) })
    }

    fn initialize<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        session: Session,
    ) -> BoxFuture<'a, Done<()>> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (session, godh) = (text(session.session), text(session.godh));
        self.note(format!("initialize {item_hash} {session} {godh}"));
        self.set_running(item_hash, true);
        Box::pin(async { Ok(()) })
    }

    fn measurement<'a>(&'a self, _item_hash: &'a ItemHash) -> BoxFuture<'a, Done<Measurement>> {
        let text = include_str!("../../../../../vectors/crn/sev_vectors.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        let measured = Measurement {
            sev_info: vectors["sev_info"].clone(),
            launch_measure: vectors["launch_measure_b64"].as_str().unwrap().into(),
        };
        Box::pin(async { Ok(measured) })
    }

    fn inject_secret<'a>(
        &'a self,
        item_hash: &'a ItemHash,
        packet_header: String,
        secret: String,
    ) -> BoxFuture<'a, Done<Value>> {
        self.note(format!("secret {item_hash} {packet_header} {secret}"));
        Box::pin(async move {
            match secret.as_str() {
                "" => Err(WorkloadFault::Failed("no secret".into())),
                _ => Ok(json!({"status": "running", "singlestep": false, "running": true})),
            }
        })
    }
}
