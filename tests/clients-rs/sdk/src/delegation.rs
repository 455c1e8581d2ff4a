//! Rights that an account gives to another one, by its aggregate `security`.

use aleph_sdk::authorization::{
    AlephAuthorizationClient, add_authorization, build_add_authorization,
    revoke_all_authorizations, update_all_authorizations,
};
use aleph_sdk::client::{AlephMessageClient, AlephStorageClient, MessageWithStatus};
use aleph_sdk::messages::{
    AggregateBuilder, AuthorizationBuilder, ForgetBuilder, PostBuilder, StoreBuilder,
};
use aleph_sdk::ssh::build_add_ssh_key;
use aleph_types::account::{Account, EvmAccount};
use aleph_types::chain::Chain;
use aleph_types::channel::Channel;
use aleph_types::message::pending::PendingMessage;
use aleph_types::message::{Authorization, MessageType, StorageEngine};
use serde_json::json;

use crate::network::{
    account, client, eventually, fresh_bytes, other_client, processed, rejected, stranger,
};

fn note(helper: &EvmAccount, owner: &EvmAccount, channel: &str) -> PendingMessage {
    let post = PostBuilder::new(helper, "note", json!({})).unwrap();
    post.on_behalf_of(owner.address().clone())
        .channel(Channel::from(channel.to_owned()))
        .build()
        .unwrap()
}

/// Every kind of limit at once.
fn narrow(helper: &EvmAccount) -> Authorization {
    AuthorizationBuilder::new(helper.address().clone())
        .chain(Chain::Ethereum)
        .channel("SHARED".into())
        .message_type(MessageType::Post)
        .message_type(MessageType::Aggregate)
        .post_type("note".into())
        .aggregate_key("profile".into())
        .build()
        .unwrap()
}

/// Everything.
fn wide(helper: &EvmAccount) -> Authorization {
    AuthorizationBuilder::new(helper.address().clone())
        .build()
        .unwrap()
}

#[tokio::test]
async fn rights_are_given_used_and_taken() {
    let (owner, helper, node) = (stranger(), stranger(), client());
    assert!(
        node.get_authorizations(owner.address())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(error_code(&note(&helper, &owner, "SHARED")).await, 2);

    let given = add_authorization(&node, &owner, narrow(&helper))
        .await
        .unwrap();
    assert_eq!(given.message_status, "processed");
    assert_eq!(
        node.get_authorizations(owner.address()).await.unwrap(),
        [narrow(&helper)]
    );
    let sent = processed(&note(&helper, &owner, "SHARED")).await;
    let MessageWithStatus::Processed { message } = node.get_message(&sent).await.unwrap() else {
        panic!("not processed")
    };
    assert_eq!(
        (message.owner(), message.sender()),
        (owner.address(), helper.address())
    );
    assert_eq!(error_code(&note(&helper, &owner, "OTHER")).await, 2);

    let taken = revoke_all_authorizations(&node, &owner, helper.address())
        .await
        .unwrap();
    assert_eq!(taken.message_status, "processed");
    assert!(
        node.get_authorizations(owner.address())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(error_code(&note(&helper, &owner, "SHARED")).await, 2);
}

#[tokio::test]
async fn each_limit_of_a_right_holds() {
    let (owner, helper) = (stranger(), stranger());
    let on_base = EvmAccount::new(Chain::Base, &fresh_bytes(32)).unwrap();
    let of = owner.address().clone();
    let rights = vec![
        narrow(&helper),
        AuthorizationBuilder::new(on_base.address().clone())
            .chain(Chain::Ethereum)
            .build()
            .unwrap(),
    ];
    update_all_authorizations(&client(), &owner, rights)
        .await
        .unwrap();
    let channel = || Channel::from("SHARED".to_owned());
    let map = || json!({"a": 1}).as_object().unwrap().clone();
    let aggregate = |key| {
        AggregateBuilder::new(&helper, key, map())
            .on_behalf_of(of.clone())
            .channel(channel())
            .build()
            .unwrap()
    };
    processed(&aggregate("profile")).await;
    let file = client()
        .upload_to_storage(&fresh_bytes(10), None, false)
        .await
        .unwrap();
    for refused in [
        aggregate("other"),
        PostBuilder::new(&helper, "other", json!({}))
            .unwrap()
            .on_behalf_of(of.clone())
            .channel(channel())
            .build()
            .unwrap(),
        StoreBuilder::new(&helper, file, StorageEngine::Storage)
            .on_behalf_of(of.clone())
            .channel(channel())
            .build()
            .unwrap(),
        note(&on_base, &owner, "SHARED"),
        build_add_ssh_key(&helper, "ssh-ed25519 AAAA", "laptop", Some(&of)).unwrap(),
    ] {
        assert_eq!(error_code(&refused).await, 2, "{}", refused.item_content);
    }
    assert!(
        AuthorizationBuilder::new(of.clone())
            .post_type("note".into())
            .build()
            .is_err()
    );
    assert!(
        AuthorizationBuilder::new(of)
            .aggregate_key("key".into())
            .build()
            .is_err()
    );
}

#[tokio::test]
async fn rights_are_added_replaced_and_merged() {
    let (owner, one, two, node) = (stranger(), stranger(), stranger(), client());
    add_authorization(&node, &owner, wide(&one)).await.unwrap();
    processed(
        &build_add_authorization(&node, &owner, wide(&two))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        node.get_authorizations(owner.address()).await.unwrap(),
        [wide(&one), wide(&two)]
    );
    // The same right once more is no second right.
    add_authorization(&node, &owner, wide(&one)).await.unwrap();
    assert_eq!(
        node.get_authorizations(owner.address())
            .await
            .unwrap()
            .len(),
        2
    );
    update_all_authorizations(&node, &owner, vec![narrow(&two)])
        .await
        .unwrap();
    assert_eq!(
        node.get_authorizations(owner.address()).await.unwrap(),
        [narrow(&two)]
    );
}

#[tokio::test]
async fn rights_are_seen_by_who_has_them() {
    let (owners, helper) = ([stranger(), stranger()], stranger());
    assert!(
        client()
            .get_received_authorizations(helper.address())
            .await
            .unwrap()
            .is_empty()
    );
    for owner in &owners {
        add_authorization(&client(), owner, narrow(&helper))
            .await
            .unwrap();
    }
    for node in [client(), other_client()] {
        let both = |found: &Vec<_>| found.len() == 2;
        let received = eventually(
            || async {
                node.get_received_authorizations(helper.address())
                    .await
                    .unwrap()
            },
            both,
        )
        .await;
        for given in received {
            assert!(owners.iter().any(|owner| *owner.address() == given.granter));
            let [rule] = given.authorizations.as_slice() else {
                panic!("one rule each: {given:?}")
            };
            let wanted = narrow(&helper);
            assert_eq!(
                (&rule.chain, &rule.channels, &rule.types),
                (&wanted.chain, &wanted.channels, &wanted.types)
            );
            assert_eq!(
                (&rule.post_types, &rule.aggregate_keys),
                (&wanted.post_types, &wanted.aggregate_keys)
            );
        }
    }
}

#[tokio::test]
async fn a_helper_forgets_for_the_owner() {
    let (owner, helper) = (account(7), stranger());
    add_authorization(&client(), &owner, wide(&helper))
        .await
        .unwrap();
    let sent = processed(&note(&helper, &owner, "SHARED")).await;
    let forget = ForgetBuilder::new(&helper, vec![sent.clone()])
        .on_behalf_of(owner.address().clone())
        .build()
        .unwrap();
    processed(&forget).await;
    assert!(matches!(
        client().get_message(&sent).await.unwrap(),
        MessageWithStatus::Forgotten { .. }
    ));
}

/// The code with which the node rejects a message, as the message's status tells it too.
async fn error_code(message: &PendingMessage) -> i64 {
    rejected(message).await;
    match client().get_message(&message.item_hash).await.unwrap() {
        MessageWithStatus::Rejected { error_code, .. } => error_code,
        other => panic!("not rejected: {other:?}"),
    }
}
