//! Posts: created, amended, listed in both formats, and the keys of SSH that are kept as posts.

use aleph_sdk::client::{
    AlephPostClient, PaginationParams, PostFilter, PostV0, PostV1, SortBy, SortOrder,
};
use aleph_sdk::messages::{ForgetBuilder, PostBuilder};
use aleph_sdk::ssh::{AlephSshClient, build_add_ssh_key, validate_pubkey};
use aleph_types::account::Account;
use aleph_types::channel::Channel;
use aleph_types::item_hash::ItemHash;
use aleph_types::timestamp::Timestamp;
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::network::{
    account, client, eventually, fresh, nothing, other_client, processed, stranger,
};

const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

#[tokio::test]
async fn a_post_is_amended_and_found_by_every_filter() {
    let (author, name, kind, tag) = (account(2), fresh("POSTS"), fresh("kind"), fresh("tag"));
    let channel = Channel::from(name.clone());
    let created = PostBuilder::new(&author, &kind, json!({"a": 1, "tags": [tag]}))
        .unwrap()
        .channel(channel.clone())
        .build()
        .unwrap();
    let original = processed(&created).await;
    let amended = PostBuilder::amend(&author, original.clone(), json!({"a": 2, "tags": [tag]}))
        .unwrap()
        .channel(channel)
        .build()
        .unwrap();
    let amend = processed(&amended).await;

    let (empty, none) = (PostFilter::default(), fresh("none"));
    let one = PostFilter {
        channels: Some(vec![name]),
        ..empty.clone()
    };
    let cases = [
        (one.clone(), 1),
        (
            PostFilter {
                addresses: Some(vec![author.address().clone()]),
                ..one.clone()
            },
            1,
        ),
        (
            PostFilter {
                addresses: Some(vec![account(3).address().clone()]),
                ..one.clone()
            },
            0,
        ),
        (
            PostFilter {
                hashes: Some(vec![original.clone(), nothing()]),
                ..empty.clone()
            },
            1,
        ),
        (
            PostFilter {
                post_types: Some(vec![kind.clone()]),
                ..empty.clone()
            },
            1,
        ),
        (
            PostFilter {
                tags: Some(vec![tag.clone()]),
                ..empty.clone()
            },
            1,
        ),
        (
            PostFilter {
                refs: Some(vec![none]),
                ..empty
            },
            0,
        ),
        (
            PostFilter {
                start_date: Some(Timestamp::from(1.0)),
                ..one.clone()
            },
            1,
        ),
        (
            PostFilter {
                end_date: Some(Timestamp::from(1.0)),
                ..one.clone()
            },
            0,
        ),
        (
            PostFilter {
                sort_by: Some(SortBy::TxTime),
                sort_order: Some(SortOrder::Asc),
                ..one
            },
            1,
        ),
    ];
    for node in [client(), other_client()] {
        for (filter, wanted) in &cases {
            let is_amended = |posts: &Vec<PostV1>| {
                posts.len() == *wanted && posts.iter().all(|post| post.item_hash == amend)
            };
            let new = eventually(
                || async {
                    node.get_posts_v1(filter, PaginationParams::default())
                        .await
                        .unwrap()
                        .posts
                },
                is_amended,
            )
            .await;
            let old = node
                .get_posts_v0(filter, PaginationParams::default())
                .await
                .unwrap()
                .posts;
            assert_eq!(old.len(), *wanted, "{filter:?}");
            for post in new {
                assert_eq!(
                    (
                        &post.original_item_hash,
                        post.original_type.as_ref(),
                        &post.address
                    ),
                    (&original, Some(&kind), author.address())
                );
                assert_eq!(
                    post.content_as::<Value>().unwrap(),
                    json!({"a": 2, "tags": [tag]})
                );
                assert!(post.created < post.last_updated);
            }
            for post in old {
                assert_eq!(
                    (&post.item_hash, &post.original_item_hash, &post.hash),
                    (&amend, &original, &original)
                );
                assert_eq!(
                    (post.post_type.as_str(), post.reference),
                    ("amend", None),
                    "what the original refers to"
                );
                assert_eq!(post.content["a"], 2);
                assert_eq!((&post.sender, post.confirmed), (author.address(), false));
            }
        }
    }
    processed(&ForgetBuilder::new(&author, vec![original]).build().unwrap()).await;
    assert!(
        client()
            .get_posts_v1(&cases[0].0, PaginationParams::default())
            .await
            .unwrap()
            .posts
            .is_empty()
    );
}

#[tokio::test]
async fn posts_refer_to_others() {
    let (author, reference) = (account(2), fresh("ref"));
    let message = PostBuilder::new(&author, "note", json!({}))
        .unwrap()
        .reference(&reference)
        .build()
        .unwrap();
    let sent = processed(&message).await;
    let filter = PostFilter {
        refs: Some(vec![reference.clone()]),
        ..Default::default()
    };
    let found = client()
        .get_posts_v1(&filter, PaginationParams::default())
        .await
        .unwrap()
        .posts;
    assert_eq!(
        (&found[0].item_hash, found[0].reference.as_ref()),
        (&sent, Some(&reference))
    );
}

#[tokio::test]
async fn posts_come_in_pages_and_by_cursors() {
    let (author, kind) = (account(2), fresh("page"));
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(
            processed(
                &PostBuilder::new(&author, &kind, json!({"number": number}))
                    .unwrap()
                    .build()
                    .unwrap(),
            )
            .await,
        );
    }
    let newest_first: Vec<ItemHash> = sent.iter().rev().cloned().collect();
    for (order, wanted) in [(SortOrder::Asc, &sent), (SortOrder::Desc, &newest_first)] {
        let filter = PostFilter {
            post_types: Some(vec![kind.clone()]),
            sort_order: Some(order),
            ..Default::default()
        };
        let second = PaginationParams {
            pagination: Some(2),
            page: Some(2),
        };
        let page = client()
            .get_posts_v1(&filter, second.clone())
            .await
            .unwrap();
        assert_eq!(
            (
                page.pagination_page,
                page.pagination_per_page,
                page.pagination_total
            ),
            (2, 2, 5)
        );
        assert_eq!(
            page.posts
                .iter()
                .map(|post| &post.item_hash)
                .collect::<Vec<_>>(),
            wanted[2..4].iter().collect::<Vec<_>>()
        );
        assert_eq!(
            client()
                .get_posts_v0(&filter, second)
                .await
                .unwrap()
                .pagination_total,
            5
        );
        for pagination in [Some(1), Some(2), None] {
            let node = client();
            let new: Vec<PostV1> = node
                .get_posts_v1_iterator(filter.clone(), pagination)
                .try_collect()
                .await
                .unwrap();
            assert_eq!(
                new.iter().map(|post| &post.item_hash).collect::<Vec<_>>(),
                wanted.iter().collect::<Vec<_>>()
            );
            let old: Vec<PostV0> = node
                .get_posts_v0_iterator(filter.clone(), pagination)
                .try_collect()
                .await
                .unwrap();
            assert_eq!(
                old.iter().map(|post| &post.item_hash).collect::<Vec<_>>(),
                wanted.iter().collect::<Vec<_>>()
            );
        }
    }
}

#[tokio::test]
async fn keys_of_ssh_are_registered() {
    validate_pubkey(SSH).unwrap();
    assert!(validate_pubkey("-----BEGIN PRIVATE KEY-----").is_err());
    let owner = stranger();
    assert!(
        client()
            .list_ssh_keys(owner.address())
            .await
            .unwrap()
            .is_empty()
    );
    let sent = processed(&build_add_ssh_key(&owner, SSH, "laptop", None).unwrap()).await;
    let keys = client().list_ssh_keys(owner.address()).await.unwrap();
    assert_eq!(
        (
            &keys[0].item_hash,
            keys[0].key.as_str(),
            keys[0].label.as_deref()
        ),
        (&sent, SSH, Some("laptop"))
    );
}
