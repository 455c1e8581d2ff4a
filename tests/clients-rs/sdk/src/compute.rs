//! What the scheduler and a compute node say to an owner of machines.

use std::time::Duration;

use aleph_sdk::crn::{
    BackupStatus, CreateBackupOpts, CrnClient, CrnError, fetch_active_vms, fetch_executions,
    fetch_platform_certificate,
};
use aleph_sdk::crns_list::{CrnFilter, fetch_crns_list};
use aleph_sdk::scheduler::SchedulerClient;

use crate::network::{account, nothing, url};

#[tokio::test]
async fn nodes_are_known_to_the_scheduler() {
    let scheduler = SchedulerClient::new(url("core", 0));
    let [node] = scheduler
        .find_nodes_by_hash_fragment("")
        .await
        .unwrap()
        .try_into()
        .expect("one compute node");
    assert_eq!(
        scheduler
            .find_nodes_by_hash_fragment(&node.node_hash[54..])
            .await
            .unwrap()[0]
            .node_hash,
        node.node_hash
    );
    assert_eq!(
        scheduler
            .get_node(&node.node_hash)
            .await
            .unwrap()
            .unwrap()
            .node_hash,
        node.node_hash
    );
    assert!(
        scheduler
            .get_node(&"ab".repeat(32))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn compute_nodes_are_listed_as_for_the_public_network() {
    let http = CrnClient::new(&account(5), url("compute", 0)).unwrap();
    let place = url("core", 0).join("/crns.json").unwrap();
    for only_active in [true, false] {
        let list = fetch_crns_list(http.http_client(), &place, only_active)
            .await
            .unwrap();
        let [node] = list.crns.as_slice() else {
            panic!("one compute node: {list:?}")
        };
        assert_eq!(
            node.address.trim_end_matches('/'),
            url("compute", 0).as_str().trim_end_matches('/')
        );
        assert!(
            list.filter(&CrnFilter {
                gpu: Some(vec![]),
                ..CrnFilter::default()
            })
            .is_empty()
        );
    }
}

#[tokio::test]
async fn a_compute_node_says_what_runs() {
    let (node, compute) = (
        CrnClient::new(&account(5), url("compute", 0)).unwrap(),
        url("compute", 0),
    );
    assert!(node.get_active_vms().await.unwrap().0.is_empty());
    assert!(
        fetch_active_vms(node.http_client(), &compute)
            .await
            .unwrap()
            .0
            .is_empty()
    );
    assert!(
        fetch_executions(node.http_client(), &compute)
            .await
            .unwrap()
            .is_empty()
    );
}

/// Each request of an owner is understood, and its machine is not found.
#[tokio::test]
async fn a_compute_node_answers_the_owner_of_a_machine() {
    let (owner, vm) = (account(5), nothing());
    let node = CrnClient::new(&owner, url("compute", 0)).unwrap();
    for told in [
        node.stop_instance(&vm).await,
        node.reboot_instance(&vm).await,
        node.erase_instance(&vm).await,
        node.reinstall_instance(&vm, true).await,
        node.expire_instance(&vm, Duration::from_secs(1)).await,
        node.update_instance_config(&vm).await,
        node.initialize_confidential(&vm, b"session", b"godh").await,
        node.get_measurement(&vm).await.map(drop),
        node.inject_secret(&vm, "header", "secret").await,
        node.create_backup(&vm, CreateBackupOpts::default())
            .await
            .map(drop),
        node.delete_backup(&vm, "backup").await,
        node.restore_from_volume(&vm, &vm.to_string())
            .await
            .map(drop),
        node.stream_logs(&vm).await.map(drop),
    ] {
        assert!(is_not_found(&told), "{told:?}");
    }
    // The node looks for the message a while: it may be on its way.
    let missing = "Aleph message not found";
    for told in [
        node.start_instance(&vm).await.map(drop),
        node.start_instance_allocation(&vm).await.map(drop),
    ] {
        assert!(
            matches!(&told, Err(CrnError::Api { status: 500, body }) if body.contains(missing)),
            "{told:?}"
        );
    }
    assert!(matches!(
        node.get_backup(&vm).await.unwrap(),
        BackupStatus::NotFound
    ));
    assert!(
        node.restore_endpoint(&vm)
            .unwrap()
            .url
            .path()
            .ends_with("/restore")
    );
    for told in [
        node.get_platform_certificate().await,
        fetch_platform_certificate(node.http_client(), &url("compute", 0)).await,
    ] {
        assert!(
            matches!(told, Err(CrnError::Api { .. })),
            "no machine here has such a processor: {told:?}"
        );
    }
}

fn is_not_found(told: &Result<(), CrnError>) -> bool {
    match told {
        Err(CrnError::VmNotFound(_) | CrnError::Api { status: 404, .. }) => true,
        Err(CrnError::WebSocket(error)) => error.to_string().contains("404"),
        _ => false,
    }
}
