//! Tables of what fits.

use super::*;
use crate::workloads::Steps;

fn demand(vcpus: u64, memory_mib: u64, disk_mib: u64) -> Demand {
    Demand {
        vcpus,
        memory_mib,
        disk_mib,
        gpus: Vec::new(),
    }
}

fn known(name: &str, kind: Kind, is_running: bool, demand: Demand) -> Known {
    Known {
        item_hash: ItemHash::of_bytes(name.as_bytes()),
        owner: "0xA".into(),
        kind,
        is_running,
        is_starting: false,
        awaits_secret: false,
        is_confidential: false,
        steps: Steps::default(),
        networking: None,
        demand,
        disk_used_mib: 0,
        payment: None,
    }
}

fn gpu(pci_host: &str) -> Gpu {
    Gpu {
        vendor: "NVIDIA".into(),
        model: None,
        device_name: "AD102GL [L40S]".into(),
        device_class: "0302".into(),
        pci_host: pci_host.into(),
        device_id: "10de:26b9".into(),
        compatible: true,
    }
}

fn room() -> Room {
    Room {
        instance_memory_mib: 10_000,
        program_memory_mib: 1_000,
        vcpus: 8,
        disk_free_mib: 50_000,
        disk_mib: None,
        gpus: vec![gpu("01:00.0"), gpu("02:00.0")],
    }
}

#[test]
fn declared_resources_decide() {
    let known = [
        known("a", Kind::Instance, true, demand(4, 6_000, 20_000)),
        known("b", Kind::Instance, false, demand(4, 6_000, 10_000)),
        known("c", Kind::Microvm, true, demand(1, 900, 0)),
    ];
    let nothing = Reservations::default();
    let admit = |kind, demand: Demand| {
        let wanted = Wanted {
            item_hash: None,
            kind,
            demand: &demand,
            owner: "0xB",
        };
        nothing.admit(&room(), &known, 5_000, &wanted)
    };
    assert_eq!(admit(Kind::Instance, demand(3, 4_000, 25_000)), Ok(()));
    assert_eq!(admit(Kind::Microvm, demand(1, 100, 0)), Ok(()));
    let lack = admit(Kind::Instance, demand(1, 4_001, 1)).unwrap_err();
    let text = "Insufficient capacity to create VM. Memory (instance bucket): required 10001 MiB, available 10000 MiB";
    assert_eq!(lack.to_string(), text);
    let lack = admit(Kind::Microvm, demand(1, 101, 0)).unwrap_err();
    assert!(matches!(
        lack,
        Lack::Memory {
            bucket: "program",
            ..
        }
    ));
    let lack = admit(Kind::Instance, demand(4, 1, 1)).unwrap_err();
    assert!(matches!(
        lack,
        Lack::Processors {
            required: 9,
            available: 8
        }
    ));
    let lack = admit(Kind::Instance, demand(1, 1, 25_001)).unwrap_err();
    assert!(matches!(
        lack,
        Lack::Disk {
            available_mib: 25_000,
            ..
        }
    ));
    // What the operator says counts instead of what is free.
    let room_said = |disk_mib| Room {
        disk_mib: Some(disk_mib),
        ..room()
    };
    assert_eq!(
        disk_available_mib(&room_said(100_000), &known, 5_000),
        70_000
    );
    assert_eq!(disk_available_mib(&room_said(20_000), &known, 5_000), 0);
    // What is known is not asked again, whatever it takes.
    let huge = demand(1_000, 1 << 40, u64::MAX);
    let wanted = Wanted {
        item_hash: Some(&known[1].item_hash),
        kind: Kind::Instance,
        demand: &huge,
        owner: "0xA",
    };
    assert_eq!(nothing.admit(&room(), &known, 0, &wanted), Ok(()));
}

#[test]
fn cards_are_kept_for_who_reserved_them() {
    let reservations = Reservations::default();
    let card = GpuRequirement {
        vendor: "NVIDIA".into(),
        device_name: "AD102GL [L40S]".into(),
        device_class: "0302".into(),
        device_id: "10de:26b9".into(),
    };
    let wants = |count| Demand {
        gpus: vec![card.clone(); count],
        ..Demand::default()
    };
    let free = |owner| reservations.free(&room(), &[], owner).len();
    assert!(
        reservations
            .reserve(&room(), &[], &wants(3), "0xA")
            .is_err()
    );
    assert_eq!(free(None), 2, "all or none");
    reservations
        .reserve(&room(), &[], &wants(1), "0xA")
        .unwrap();
    assert_eq!(
        (free(None), free(Some("0xa")), free(Some("0xB"))),
        (1, 2, 1)
    );
    let lack = reservations.reserve(&room(), &[], &wants(2), "0xB");
    assert_eq!(lack, Err(Lack::Gpu("10de:26b9".into())));
    let used = [known("a", Kind::Instance, false, wants(1))];
    assert_eq!(reservations.free(&room(), &used, None).len(), 0);
    reservations.release("0xa");
    assert_eq!(free(None), 2);
}
