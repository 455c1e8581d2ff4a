//! Aggregates: merged, read alone and together, and those that the SDK has types for.

use aleph_sdk::aggregate_models::corechannel::CORECHANNEL_ADDRESS;
use aleph_sdk::caching_aggregate_client::CachingAggregateClient;
use aleph_sdk::client::{
    AlephAggregateClient, AlephClient, AlephMessageClient, MessageError, MessageFilter,
    PaginationParams,
};
use aleph_sdk::messages::{AggregateBuilder, ForgetBuilder};
use aleph_types::account::{Account, EvmAccount};
use aleph_types::message::MessageContentEnum;
use serde_json::{Value, json};

use crate::network::{
    account, client, eventually, fresh, fresh_channel, other_client, processed, stranger, url,
};

async fn write(author: &EvmAccount, key: &str, content: Value) -> aleph_types::item_hash::ItemHash {
    let map = content.as_object().unwrap().clone();
    processed(
        &AggregateBuilder::new(author, key, map)
            .channel(fresh_channel("AGGREGATES"))
            .build()
            .unwrap(),
    )
    .await
}

#[tokio::test]
async fn elements_are_merged_and_read() {
    let (author, one, two) = (stranger(), fresh("one"), fresh("two"));
    write(&author, &one, json!({"a": 1, "b": {"c": 2}})).await;
    write(&author, &one, json!({"a": 3, "d": null})).await;
    write(&author, &two, json!({"e": 4})).await;
    let merged = json!({"a": 3, "b": {"c": 2}, "d": null});
    for node in [client(), other_client()] {
        let whole = |read: &Result<Value, MessageError>| {
            read.as_ref().is_ok_and(|read| read[&one] == merged)
        };
        eventually(
            || node.get_aggregate::<Value>(author.address(), &one),
            whole,
        )
        .await
        .unwrap();
        eventually(
            || node.get_all_aggregates(author.address()),
            |read| read.as_ref().is_ok_and(|read| read.len() == 2),
        )
        .await
        .unwrap();
        let some = node
            .get_aggregates(author.address(), &[&one, &two, "none"])
            .await
            .unwrap();
        assert_eq!((&some[&one], &some[&two]), (&merged, &json!({"e": 4})));
        assert!(some.get("none").is_none_or(Value::is_null));
    }
}

#[tokio::test]
async fn what_is_not_there_is_empty_or_told() {
    let (nobody, node) = (stranger(), client());
    let address = nobody.address();
    assert!(
        node.get_aggregate::<Value>(address, "none")
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(
        node.get_aggregates(address, &["none"])
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(node.get_aggregates(address, &[]).await.is_err());
    assert!(node.get_all_aggregates(address).await.unwrap().is_empty());
    assert!(
        node.get_websites_aggregate(address)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        node.get_domains_aggregate(address)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        node.get_port_forwarding_aggregate(address)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn websites_domains_and_ports_are_read() {
    let (author, node, target) = (stranger(), client(), "cd".repeat(32));
    let site = json!({"metadata": {"name": "site", "tags": [], "framework": "none"}, "version": 1, "volume_id": target, "created_at": 1.5, "updated_at": 2.5});
    write(&author, "websites", json!({"site": site, "gone": null})).await;
    write(&author, "domains", json!({"www.example.org": {"type": "ipfs", "message_id": target, "options": {"catch_all_path": "/404.html"}}})).await;
    write(
        &author,
        "port-forwarding",
        json!({target.as_str(): {"ports": {"8080": {"tcp": true, "udp": false}}}}),
    )
    .await;
    let sites = node.get_websites_aggregate(author.address()).await.unwrap();
    assert_eq!(sites["site"].as_ref().unwrap().volume_id, target);
    assert!(sites["gone"].is_none());
    let domains = node.get_domains_aggregate(author.address()).await.unwrap();
    assert_eq!(
        domains["www.example.org"].as_ref().unwrap().message_id,
        target
    );
    let ports = node
        .get_port_forwarding_aggregate(author.address())
        .await
        .unwrap();
    let ports = ports.into_values().next().unwrap().unwrap().ports;
    assert!(ports[&8080].tcp && !ports[&8080].udp);
}

#[tokio::test]
async fn nodes_of_this_network_are_read() {
    let filter = MessageFilter {
        content_keys: Some(vec!["corechannel".into()]),
        ..Default::default()
    };
    let registry = client()
        .get_messages(&filter, PaginationParams::default())
        .await
        .unwrap()
        .remove(0);
    assert!(
        matches!(registry.content(), MessageContentEnum::Aggregate(content) if content.key() == "corechannel")
    );
    let read = client()
        .get_corechannel_aggregate(registry.sender())
        .await
        .unwrap()
        .corechannel;
    assert_eq!((read.nodes.len(), read.resource_nodes.len()), (2, 1));
    assert_ne!(
        *registry.sender(),
        *CORECHANNEL_ADDRESS,
        "the public network's key is not ours"
    );
}

#[tokio::test]
async fn prices_images_and_settings_of_the_foundation_are_read() {
    let node = AlephClient::new(url("published", 0));
    let prices = node.get_pricing_aggregate().await.unwrap().pricing;
    let tiers = prices.for_instance(false, None);
    let slug = tiers.available_slugs().remove(0);
    assert_eq!(
        tiers.find_tier_by_slug(&slug).unwrap().vcpus,
        tiers.compute_unit.vcpus * tiers.compute_units_for_slug(&slug).unwrap()
    );
    assert!(!prices.available_gpu_models().is_empty());
    assert!(
        !node
            .get_settings_aggregate()
            .await
            .unwrap()
            .settings
            .compatible_gpus
            .is_empty()
    );
    assert!(
        !node
            .get_vm_images_aggregate()
            .await
            .unwrap()
            .vm_images
            .rootfs
            .is_empty()
    );
    let cached = CachingAggregateClient::new(&node);
    for _ in 0..2 {
        assert_eq!(
            cached
                .get_pricing_aggregate()
                .await
                .unwrap()
                .pricing
                .instance
                .tiers
                .len(),
            prices.instance.tiers.len()
        );
    }
}

#[tokio::test]
async fn a_cache_keeps_what_was_read() {
    let (author, key, node) = (stranger(), fresh("key"), client());
    let cached = CachingAggregateClient::new(&node);
    assert!(
        cached
            .get_aggregate::<Value>(author.address(), &key)
            .await
            .is_err()
    );
    write(&author, &key, json!({"a": 1})).await;
    assert_eq!(
        cached
            .get_aggregate::<Value>(author.address(), &key)
            .await
            .unwrap()[&key],
        json!({"a": 1})
    );
    write(&author, &key, json!({"a": 2})).await;
    assert_eq!(
        cached
            .get_aggregate::<Value>(author.address(), &key)
            .await
            .unwrap()[&key],
        json!({"a": 1})
    );
    assert_eq!(
        cached
            .get_aggregates(author.address(), &[&key])
            .await
            .unwrap()[&key],
        json!({"a": 2})
    );
    assert_eq!(
        cached.get_all_aggregates(author.address()).await.unwrap()[&key],
        json!({"a": 2})
    );
}

/// A fault of the SDK: it names an element where the protocol wants the key, so the FORGET waits for ever.
#[tokio::test]
async fn an_aggregate_is_not_forgotten() {
    let (author, key) = (account(6), fresh("key"));
    let element = write(&author, &key, json!({"a": 1})).await;
    let forget = ForgetBuilder::new(&author, vec![])
        .aggregates(vec![element])
        .build()
        .unwrap();
    let answer = client().submit_message(&forget, true).await.unwrap();
    assert_eq!(answer.message_status, "pending");
    assert_eq!(
        client()
            .get_aggregate::<Value>(author.address(), &key)
            .await
            .unwrap()[&key],
        json!({"a": 1})
    );
}
