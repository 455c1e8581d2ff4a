//! Lists of messages: every filter, pages, cursors and orders.

use aleph_sdk::client::{
    AlephClient, AlephMessageClient, AlephStorageClient, MessageError, MessageFilter,
    PaginationParams, SortBy, SortOrder,
};
use aleph_sdk::messages::{AggregateBuilder, PostBuilder, StoreBuilder};
use aleph_types::account::Account;
use aleph_types::channel::Channel;
use aleph_types::item_hash::ItemHash;
use aleph_types::message::{Message, MessageStatus, MessageType, StorageEngine};
use aleph_types::timestamp::Timestamp;
use futures_util::TryStreamExt;
use serde_json::json;

use crate::network::{
    account, client, eventually, fresh, fresh_bytes, fresh_channel, nothing, other_client, post,
    processed,
};

/// Three messages in a channel of their own, and what they are found by.
struct Shelf {
    name: String,
    kind: String,
    key: String,
    tag: String,
    post: ItemHash,
    aggregate: ItemHash,
    store: ItemHash,
    file: ItemHash,
}

impl Shelf {
    async fn filled() -> Self {
        let (name, kind, key, tag) = (fresh("SHELF"), fresh("kind"), fresh("key"), fresh("tag"));
        let (author, channel) = (account(1), Channel::from(name.clone()));
        let content = PostBuilder::new(&author, &kind, json!({"tags": [tag]})).unwrap();
        let post = processed(
            &content
                .reference(format!("ref-{tag}"))
                .channel(channel.clone())
                .build()
                .unwrap(),
        )
        .await;
        let map = json!({"a": 1}).as_object().unwrap().clone();
        let aggregate = processed(
            &AggregateBuilder::new(&author, &key, map)
                .channel(channel.clone())
                .build()
                .unwrap(),
        )
        .await;
        let bytes = fresh_bytes(50);
        let file = client()
            .upload_to_storage(&bytes, None, false)
            .await
            .unwrap();
        let store = StoreBuilder::new(&author, file.clone(), StorageEngine::Storage)
            .channel(channel.clone())
            .build()
            .unwrap();
        let store = processed(&store).await;
        Self {
            name,
            kind,
            key,
            tag,
            post,
            aggregate,
            store,
            file,
        }
    }

    fn filter(&self) -> MessageFilter {
        MessageFilter {
            channels: Some(vec![self.name.clone()]),
            ..Default::default()
        }
    }
}

#[tokio::test]
async fn messages_are_listed_by_every_filter() {
    let shelf = Shelf::filled().await;
    let (post, aggregate, store) = (
        vec![&shelf.post],
        vec![&shelf.aggregate],
        vec![&shelf.store],
    );
    let (all, none) = (vec![&shelf.post, &shelf.aggregate, &shelf.store], vec![]);
    let (one, author, stranger) = (
        shelf.filter(),
        account(1).address().clone(),
        account(2).address().clone(),
    );
    let empty = MessageFilter::default();
    let cases = [
        (one.clone(), all.clone()),
        (
            MessageFilter {
                message_type: Some(MessageType::Post),
                ..one.clone()
            },
            post.clone(),
        ),
        (
            MessageFilter {
                message_types: Some(vec![MessageType::Aggregate, MessageType::Store]),
                ..one.clone()
            },
            [aggregate.clone(), store.clone()].concat(),
        ),
        (
            MessageFilter {
                content_types: Some(vec![shelf.kind.clone()]),
                ..empty.clone()
            },
            post.clone(),
        ),
        (
            MessageFilter {
                content_keys: Some(vec![shelf.key.clone(), "none".into()]),
                ..empty.clone()
            },
            aggregate.clone(),
        ),
        (
            MessageFilter {
                content_hashes: Some(vec![shelf.file.clone()]),
                ..empty.clone()
            },
            store.clone(),
        ),
        (
            MessageFilter {
                refs: Some(vec![format!("ref-{}", shelf.tag)]),
                ..empty.clone()
            },
            post.clone(),
        ),
        (
            MessageFilter {
                addresses: Some(vec![author.clone(), stranger.clone()]),
                ..one.clone()
            },
            all.clone(),
        ),
        (
            MessageFilter {
                addresses: Some(vec![stranger.clone()]),
                ..one.clone()
            },
            none.clone(),
        ),
        (
            MessageFilter {
                owners: Some(vec![author.clone()]),
                ..one.clone()
            },
            all.clone(),
        ),
        (
            MessageFilter {
                owners: Some(vec![stranger]),
                ..one.clone()
            },
            none.clone(),
        ),
        (
            MessageFilter {
                tags: Some(vec![shelf.tag.clone()]),
                ..empty.clone()
            },
            post.clone(),
        ),
        (
            MessageFilter {
                hashes: Some(vec![shelf.post.clone(), nothing()]),
                ..empty
            },
            post.clone(),
        ),
        (
            MessageFilter {
                chains: Some(vec!["ETH".into()]),
                ..one.clone()
            },
            all.clone(),
        ),
        (
            MessageFilter {
                chains: Some(vec!["SOL".into()]),
                ..one.clone()
            },
            none.clone(),
        ),
        (
            MessageFilter {
                start_date: Some(Timestamp::from(1.0)),
                ..one.clone()
            },
            all.clone(),
        ),
        (
            MessageFilter {
                end_date: Some(Timestamp::from(1.0)),
                ..one.clone()
            },
            none.clone(),
        ),
        (
            MessageFilter {
                message_statuses: Some(vec![MessageStatus::Processed]),
                ..one.clone()
            },
            all,
        ),
        (
            MessageFilter {
                message_statuses: Some(vec![MessageStatus::Removing]),
                ..one
            },
            none,
        ),
    ];
    for node in [client(), other_client()] {
        for (filter, wanted) in &cases {
            let found = eventually(
                || hashes(&node, filter),
                |found| found.len() == wanted.len(),
            )
            .await;
            assert!(wanted.iter().all(|hash| found.contains(hash)), "{filter:?}");
        }
    }
}

/// Five posts of a new channel, the oldest first.
async fn five() -> (MessageFilter, Vec<ItemHash>) {
    let name = fresh("FIVE");
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(processed(&post(&account(1), &Channel::from(name.clone()))).await);
    }
    (
        MessageFilter {
            channels: Some(vec![name]),
            ..Default::default()
        },
        sent,
    )
}

#[tokio::test]
async fn lists_come_in_pages_and_both_orders() {
    let (filter, sent) = five().await;
    let newest_first: Vec<ItemHash> = sent.iter().rev().cloned().collect();
    for by in [None, Some(SortBy::Time), Some(SortBy::TxTime)] {
        for (order, wanted) in [
            (None, &newest_first),
            (Some(SortOrder::Desc), &newest_first),
            (Some(SortOrder::Asc), &sent),
        ] {
            let filter = MessageFilter {
                sort_by: by,
                sort_order: order,
                ..filter.clone()
            };
            let mut found = Vec::new();
            for (page, length) in [(1, 2), (2, 2), (3, 1), (4, 0)] {
                let pagination = PaginationParams {
                    pagination: Some(2),
                    page: Some(page),
                };
                let messages = client().get_messages(&filter, pagination).await.unwrap();
                assert_eq!(messages.len(), length);
                found.extend(messages.into_iter().map(|message| message.item_hash));
            }
            assert_eq!(found, *wanted, "{by:?} {order:?}");
        }
    }
    let everything = PaginationParams {
        pagination: Some(0),
        page: None,
    };
    assert_eq!(
        client()
            .get_messages(&filter, everything)
            .await
            .unwrap()
            .len(),
        5
    );
}

#[tokio::test]
async fn cursors_walk_through_the_whole_list() {
    let (filter, sent) = five().await;
    let newest_first: Vec<ItemHash> = sent.iter().rev().cloned().collect();
    for (order, wanted) in [(SortOrder::Desc, &newest_first), (SortOrder::Asc, &sent)] {
        for pagination in [Some(1), Some(2), Some(5), None] {
            let filter = MessageFilter {
                sort_by: Some(SortBy::Time),
                sort_order: Some(order),
                ..filter.clone()
            };
            let node = client();
            let found: Vec<Message> = node
                .get_messages_iterator(filter.clone(), pagination)
                .try_collect()
                .await
                .unwrap();
            assert_eq!(
                found
                    .iter()
                    .map(|message| &message.item_hash)
                    .collect::<Vec<_>>(),
                wanted.iter().collect::<Vec<_>>()
            );
            let tolerant: Vec<_> = node
                .get_messages_iterator_with_undecodable(filter, pagination)
                .try_collect()
                .await
                .unwrap();
            let tolerant: Vec<ItemHash> = tolerant
                .into_iter()
                .map(|message| message.unwrap().item_hash)
                .collect();
            assert_eq!(tolerant, *wanted);
        }
    }
    // A fault of the SDK: it offers this order here, for which the network has no cursors.
    let by_block = MessageFilter {
        sort_by: Some(SortBy::TxTime),
        ..filter
    };
    let told = client()
        .get_messages_iterator(by_block, None)
        .try_collect::<Vec<Message>>()
        .await;
    assert!(
        matches!(told, Err(MessageError::HttpError(error)) if error.status().is_some_and(|status| status == 422))
    );
    let nobody = MessageFilter {
        channels: Some(vec![fresh("NONE")]),
        ..Default::default()
    };
    assert_eq!(
        client()
            .get_messages_iterator(nobody, None)
            .try_collect::<Vec<Message>>()
            .await
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test]
async fn a_window_of_time_holds_its_first_and_not_its_last_moment() {
    let author = account(1);
    let (early, late) = (
        post(&author, &fresh_channel("EARLY")),
        post(&author, &fresh_channel("LATE")),
    );
    let hashes_of_both = Some(vec![processed(&early).await, processed(&late).await]);
    let filter = MessageFilter {
        hashes: hashes_of_both,
        start_date: Some(early.time.clone()),
        end_date: Some(late.time.clone()),
        ..Default::default()
    };
    assert_eq!(hashes(&client(), &filter).await, [early.item_hash]);
}

async fn hashes(node: &AlephClient, filter: &MessageFilter) -> Vec<ItemHash> {
    let messages = node
        .get_messages(filter, PaginationParams::default())
        .await
        .unwrap();
    messages
        .into_iter()
        .map(|message| message.item_hash)
        .collect()
}
