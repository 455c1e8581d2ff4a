//! Programs, instances and verifiable programs, with every option, and their prices.

use std::collections::HashMap;

use aleph_sdk::client::{
    AlephAccountClient, AlephMessageClient, AlephStorageClient, MessageError, MessageWithStatus,
};
use aleph_sdk::messages::{
    ForgetBuilder, InstanceBuilder, ProgramBuilder, StoreBuilder, VProgramBuilder,
};
use aleph_sdk::scheduler::{SchedulerClient, VM_TYPE_INSTANCE};
use aleph_types::account::{Account, EvmAccount};
use aleph_types::item_hash::ItemHash;
use aleph_types::message::execution::base::{Encoding, Interface, Payment};
use aleph_types::message::execution::environment::{
    HostRequirements, Hypervisor, MachineResources, PublishedPort,
};
use aleph_types::message::execution::volume::{
    EphemeralVolume, MachineVolume, PersistentVolumeSize, VolumePersistence,
};
use aleph_types::message::pending::PendingMessage;
use aleph_types::message::{
    DataContent, Export, MessageContent, MessageContentEnum, StorageEngine,
};
use memsizes::MiB;
use serde_json::json;

use crate::network::{
    account, client, eventually, fresh_bytes, fresh_channel, nothing, other_client, processed,
    rejected, stranger, url,
};

const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

/// The message of a file that stands for an image, a runtime, or code.
async fn image(owner: &EvmAccount) -> ItemHash {
    let file = client()
        .upload_to_storage(&fresh_bytes(1000), None, false)
        .await
        .unwrap();
    processed(
        &StoreBuilder::new(owner, file, StorageEngine::Storage)
            .payment(Payment::credits())
            .build()
            .unwrap(),
    )
    .await
}

fn instance(owner: &EvmAccount, image: &ItemHash) -> PendingMessage {
    let name = HashMap::from([("name".to_owned(), json!("web"))]);
    let scratch = MachineVolume::Ephemeral(EphemeralVolume::new(5, "/scratch").unwrap());
    InstanceBuilder::new(
        owner,
        image.clone(),
        PersistentVolumeSize::try_from(20_480).unwrap(),
    )
    .vcpus(1)
    .memory(MiB::from(2048))
    .hypervisor(Hypervisor::Qemu)
    .ssh_keys(vec![SSH.to_owned()])
    .metadata(name)
    .volumes(vec![scratch])
    .payment(Payment::credits())
    .channel(fresh_channel("MACHINES"))
    .build()
    .unwrap()
}

fn program<'a>(owner: &'a EvmAccount, image: &ItemHash) -> ProgramBuilder<'a, EvmAccount> {
    ProgramBuilder::new(owner, image.clone(), "main:app", image.clone())
        .encoding(Encoding::Zip)
        .interface(Interface::Asgi)
        .runtime_comment("a runtime")
        .memory(MiB::from(256))
        .timeout_seconds(20)
        .variables(HashMap::from([("A".to_owned(), "b".to_owned())]))
        .export(Export {
            encoding: Encoding::Zip,
            mount: "/export".into(),
        })
        .payment(Payment::credits())
        .allow_amend(true)
}

#[tokio::test]
async fn a_program_is_created_amended_and_forgotten() {
    let owner = account(5);
    let image = image(&owner).await;
    let created = processed(&program(&owner, &image).build().unwrap()).await;
    let MessageWithStatus::Processed { message } = client().get_message(&created).await.unwrap()
    else {
        panic!("not processed")
    };
    let MessageContentEnum::Program(content) = message.content() else {
        panic!("no PROGRAM: {message:?}")
    };
    assert_eq!(
        (
            &content.code.reference,
            &content.runtime.reference,
            content.code.entrypoint.as_str()
        ),
        (&image, &image, "main:app")
    );
    let wanted = MachineResources {
        vcpus: 1,
        memory: MiB::from(256),
        seconds: 20,
        published_ports: None,
    };
    assert_eq!(content.base.resources, wanted);
    assert_eq!(content.base.variables.as_ref().unwrap()["A"], "b");
    let amended = processed(
        &program(&owner, &image)
            .replaces(created.clone())
            .timeout_seconds(30)
            .build()
            .unwrap(),
    )
    .await;
    assert_ne!(created, amended);
    processed(
        &ForgetBuilder::new(&owner, vec![created.clone(), amended])
            .build()
            .unwrap(),
    )
    .await;
    assert!(matches!(
        client().get_message(&created).await.unwrap(),
        MessageWithStatus::Forgotten { .. }
    ));
}

#[tokio::test]
async fn every_option_of_a_program_arrives() {
    let owner = account(5);
    let image = image(&owner).await;
    let data = DataContent {
        encoding: Encoding::Zip,
        mount: "/data".into(),
        reference: image.clone(),
        use_latest: Some(true),
    };
    let message = program(&owner, &image)
        .use_latest_code(false)
        .use_latest_runtime(false)
        .internet(false)
        .aleph_api(false)
        .http(false)
        .persistent(false)
        .vcpus(2)
        .data(data)
        .metadata(HashMap::from([("name".to_owned(), json!("all"))]))
        .volumes(vec![MachineVolume::Ephemeral(
            EphemeralVolume::new(5, "/scratch").unwrap(),
        )])
        .requirements(requirements())
        .authorized_keys(vec![SSH.to_owned()])
        .published_ports(ports())
        .args(vec!["--fast".to_owned()])
        .reproducible(true)
        .shared_cache(true)
        .channel(fresh_channel("MACHINES"))
        .build()
        .unwrap();
    arrives_as_written(&owner, &message).await;
}

#[tokio::test]
async fn every_option_of_an_instance_arrives() {
    let owner = account(5);
    let image = image(&owner).await;
    let message = InstanceBuilder::new(
        &owner,
        image.clone(),
        PersistentVolumeSize::try_from(20_480).unwrap(),
    )
    .rootfs_persistence(VolumePersistence::Store)
    .use_latest_rootfs(false)
    .internet(false)
    .aleph_api(false)
    .hypervisor(Hypervisor::Qemu)
    .trusted_execution(serde_json::from_value(json!({"firmware": image, "policy": 1})).unwrap())
    .memory(MiB::from(2048))
    .timeout_seconds(30)
    .variables(HashMap::from([("A".to_owned(), "b".to_owned())]))
    .requirements(requirements())
    .published_ports(ports())
    .allow_amend(false)
    .payment(Payment::credits())
    .build()
    .unwrap();
    arrives_as_written(&owner, &message).await;
}

fn requirements() -> HostRequirements {
    serde_json::from_value(json!({"cpu": {"architecture": "x86_64", "features": []}, "node": {"node_hash": "ab".repeat(32)}})).unwrap()
}

fn ports() -> Vec<PublishedPort> {
    serde_json::from_value(json!([{"protocol": "tcp", "port": 8080}])).unwrap()
}

/// Sends a message, compares what the node says with what was written, and forgets it.
async fn arrives_as_written(owner: &EvmAccount, message: &PendingMessage) {
    let created = processed(message).await;
    let MessageWithStatus::Processed { message: found } =
        client().get_message(&created).await.unwrap()
    else {
        panic!("not processed")
    };
    let written = MessageContent::deserialize_with_type(
        message.message_type,
        message.item_content.as_bytes(),
    )
    .unwrap();
    assert_eq!(found.content(), &written.content);
    processed(&ForgetBuilder::new(owner, vec![created]).build().unwrap()).await;
}

#[tokio::test]
async fn an_instance_is_created_and_scheduled() {
    let (owner, scheduler) = (account(5), SchedulerClient::new(url("core", 0)));
    let image = image(&owner).await;
    let created = processed(&instance(&owner, &image)).await;
    for node in [client(), other_client()] {
        let is_there = |found: &Result<MessageWithStatus<_>, MessageError>| {
            matches!(found, Ok(MessageWithStatus::Processed { .. }))
        };
        let found = eventually(|| node.get_message(&created), is_there)
            .await
            .unwrap();
        let MessageWithStatus::Processed { message } = found else {
            panic!("not processed")
        };
        let MessageContentEnum::Instance(content) = message.content() else {
            panic!("no INSTANCE: {message:?}")
        };
        assert_eq!(
            (
                &content.rootfs.parent.reference,
                u64::from(content.rootfs.size_mib)
            ),
            (&image, 20_480)
        );
        assert_eq!(
            content.base.authorized_keys.as_deref(),
            Some([SSH.to_owned()].as_slice())
        );
        assert_eq!(
            (content.base.payment.clone(), content.base.volumes.len()),
            (Some(Payment::credits()), 1)
        );
    }
    let known = eventually(
        || async { scheduler.get_vm(&created).await.unwrap() },
        Option::is_some,
    )
    .await
    .unwrap();
    assert_eq!(
        (&known.vm_hash, known.vm_type.as_str()),
        (&created, VM_TYPE_INSTANCE)
    );
    let prefix = &created.to_string()[..16];
    for found in [
        scheduler.list_vms_by_owner(owner.address()).await.unwrap(),
        scheduler.list_vms_by_sender(owner.address()).await.unwrap(),
        scheduler.find_vms_by_hash_prefix(prefix).await.unwrap(),
        scheduler
            .find_vms_by_hash_prefix_and_type(prefix, VM_TYPE_INSTANCE)
            .await
            .unwrap(),
    ] {
        assert!(found.iter().any(|machine| machine.vm_hash == created));
    }
    assert!(
        scheduler
            .list_vms_by_owner(stranger().address())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(scheduler.get_vm(&nothing()).await.unwrap().is_none());
    processed(&ForgetBuilder::new(&owner, vec![created]).build().unwrap()).await;
}

#[tokio::test]
async fn prices_are_estimated_and_told() {
    let (owner, node) = (account(5), client());
    let image = image(&owner).await;
    let file = node
        .upload_to_storage(&fresh_bytes(1000), None, false)
        .await
        .unwrap();
    let store = StoreBuilder::new(&owner, file, StorageEngine::Storage)
        .payment(Payment::credits())
        .build()
        .unwrap();
    let created = instance(&owner, &image);
    for message in [&created, &program(&owner, &image).build().unwrap(), &store] {
        let price = node.estimate_price(message).await.unwrap();
        assert_eq!(price.payment_type, "credit");
        assert!(price.required_tokens >= 0.0);
        assert!(price.cost.unwrap().parse::<f64>().unwrap() >= 0.0);
    }
    let estimated = node.estimate_price(&created).await.unwrap();
    assert!(estimated.required_tokens > 0.0);
    assert!(
        matches!(
            node.get_message(&created.item_hash).await,
            Err(MessageError::NotFound(_))
        ),
        "an estimate leaves nothing"
    );
    processed(&created).await;
    assert_eq!(
        node.get_vm_price(&created.item_hash).await.unwrap(),
        estimated.required_tokens
    );
    assert!(
        node.get_vm_price(&nothing())
            .await
            .unwrap_err()
            .is_not_found()
    );
    let nameless = aleph_sdk::messages::PostBuilder::new(&owner, "note", json!({}))
        .unwrap()
        .build()
        .unwrap();
    assert!(matches!(
        node.estimate_price(&nameless).await,
        Err(MessageError::ApiError { .. })
    ));
    processed(
        &ForgetBuilder::new(&owner, vec![created.item_hash])
            .build()
            .unwrap(),
    )
    .await;
}

#[tokio::test]
async fn who_cannot_pay_gets_no_machine() {
    let (owner, poor) = (account(5), stranger());
    let image = image(&owner).await;
    let message = instance(&poor, &image);
    rejected(&message).await;
    let MessageWithStatus::Rejected {
        message,
        error_code,
    } = client().get_message(&message.item_hash).await.unwrap()
    else {
        panic!("not rejected")
    };
    assert_eq!((&message.sender, error_code), (poor.address(), 6));
}

#[tokio::test]
async fn a_verifiable_program_is_created() {
    let owner = account(5);
    let image = image(&owner).await;
    let workload = json!({"ref": image, "hash_tree": image, "roothash": "cd".repeat(32)});
    let measurement = json!({"platform": "sev_snp", "registers": {"launch": "ab".repeat(48)}, "vcpu_type": "EPYC-v4"});
    let verification =
        json!({"backend": "sev_snp", "policy": 0x30000, "measurements": [measurement]});
    let parts = (
        serde_json::from_value(workload).unwrap(),
        serde_json::from_value(verification).unwrap(),
    );
    let volume = json!({"ref": image, "hash_tree": image, "roothash": "ef".repeat(32), "comment": "weights"});
    let gpu = json!({"vendor": "nvidia", "arch": "hopper", "count": 1, "mode": "cc"});
    let message = VProgramBuilder::new(&owner, image.clone(), parts.0, parts.1)
        .vcpus(2)
        .memory(MiB::from(4096))
        .internet(false)
        .volumes(vec![serde_json::from_value(volume).unwrap()])
        .gpu(serde_json::from_value(gpu).unwrap())
        .node_hash("ab".repeat(32))
        .metadata(HashMap::from([("name".to_owned(), json!("sealed"))]))
        .channel(fresh_channel("MACHINES"))
        .build()
        .unwrap();
    let created = processed(&message).await;
    let MessageWithStatus::Processed { message } = client().get_message(&created).await.unwrap()
    else {
        panic!("not processed")
    };
    let MessageContentEnum::VProgram(content) = message.content() else {
        panic!("no V-PROGRAM: {message:?}")
    };
    assert!(content.is_confidential());
    assert_eq!(
        (&content.runtime.reference, &content.workload.hash_tree),
        (&image, &image)
    );
    processed(&ForgetBuilder::new(&owner, vec![created]).build().unwrap()).await;
}
