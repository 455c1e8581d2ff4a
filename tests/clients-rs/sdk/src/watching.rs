//! Messages as they arrive, over a WebSocket: by every filter, with what was before, at either node.

use std::pin::Pin;

use aleph_sdk::client::{AlephClient, AlephMessageClient, MessageError, MessageFilter};
use aleph_sdk::messages::{AggregateBuilder, PostBuilder};
use aleph_types::account::Account;
use aleph_types::channel::Channel;
use aleph_types::item_hash::ItemHash;
use aleph_types::message::{Message, MessageType};
use futures_util::{Stream, StreamExt};
use serde_json::json;

use crate::network::{account, client, fresh, other_client, post, processed, within};

type Watched<'a> = Pin<Box<dyn Stream<Item = Result<Message, MessageError>> + 'a>>;

async fn watch<'a>(
    node: &'a AlephClient,
    filter: &'a MessageFilter,
    history: Option<u32>,
) -> Watched<'a> {
    Box::pin(
        node.subscribe_to_messages(filter, history)
            .await
            .expect("a WebSocket"),
    )
}

async fn next(watched: &mut Watched<'_>) -> ItemHash {
    within(watched.next())
        .await
        .expect("the stream goes on")
        .expect("a message")
        .item_hash
}

#[tokio::test]
async fn messages_arrive_by_every_filter() {
    let (author, name, kind, tag, key) = (
        account(3),
        fresh("WATCH"),
        fresh("kind"),
        fresh("tag"),
        fresh("key"),
    );
    let (channel, reference) = (Channel::from(name.clone()), fresh("ref"));
    let content = json!({"tags": [tag]});
    let note = PostBuilder::new(&author, &kind, content)
        .unwrap()
        .reference(&reference)
        .channel(channel.clone())
        .build()
        .unwrap();
    let map = json!({"a": 1}).as_object().unwrap().clone();
    let aggregate = AggregateBuilder::new(&author, &key, map)
        .channel(channel.clone())
        .build()
        .unwrap();

    let (empty, of_note) = (MessageFilter::default(), note.item_hash.clone());
    let one = MessageFilter {
        channels: Some(vec![name]),
        ..empty.clone()
    };
    let both = vec![of_note.clone(), aggregate.item_hash.clone()];
    let cases = [
        (one.clone(), both.clone()),
        (
            MessageFilter {
                addresses: Some(vec![author.address().clone()]),
                ..one.clone()
            },
            both.clone(),
        ),
        (
            MessageFilter {
                owners: Some(vec![author.address().clone()]),
                ..one.clone()
            },
            both.clone(),
        ),
        (
            MessageFilter {
                chains: Some(vec!["ETH".into()]),
                ..one.clone()
            },
            both,
        ),
        (
            MessageFilter {
                message_type: Some(MessageType::Aggregate),
                ..one.clone()
            },
            vec![aggregate.item_hash.clone()],
        ),
        (
            MessageFilter {
                message_types: Some(vec![MessageType::Post]),
                ..one
            },
            vec![of_note.clone()],
        ),
        (
            MessageFilter {
                content_types: Some(vec![kind]),
                ..empty.clone()
            },
            vec![of_note.clone()],
        ),
        (
            MessageFilter {
                content_keys: Some(vec![key]),
                ..empty.clone()
            },
            vec![aggregate.item_hash.clone()],
        ),
        (
            MessageFilter {
                refs: Some(vec![reference]),
                ..empty.clone()
            },
            vec![of_note.clone()],
        ),
        (
            MessageFilter {
                tags: Some(vec![tag]),
                ..empty.clone()
            },
            vec![of_note.clone()],
        ),
        (
            MessageFilter {
                hashes: Some(vec![of_note.clone()]),
                ..empty
            },
            vec![of_note],
        ),
    ];
    let (nodes, mut watched) = ([client(), other_client()], Vec::new());
    for node in &nodes {
        for (filter, wanted) in &cases {
            watched.push((filter, wanted, watch(node, filter, None).await));
        }
    }
    processed(&note).await;
    processed(&aggregate).await;
    for (filter, wanted, stream) in &mut watched {
        let mut found = Vec::new();
        for _ in 0..wanted.len() {
            found.push(next(stream).await);
        }
        // Between nodes, messages may overtake each other.
        assert!(wanted.iter().all(|hash| found.contains(hash)), "{filter:?}");
    }
}

#[tokio::test]
async fn what_was_before_comes_first() {
    let (author, name) = (account(3), fresh("HISTORY"));
    let (channel, filter) = (
        Channel::from(name.clone()),
        MessageFilter {
            channels: Some(vec![name]),
            ..Default::default()
        },
    );
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(processed(&post(&author, &channel)).await);
    }
    let node = client();
    let mut two = watch(&node, &filter, Some(2)).await;
    let mut many = watch(&node, &filter, Some(100)).await;
    let mut none = watch(&node, &filter, Some(0)).await;
    let last_two = [next(&mut two).await, next(&mut two).await];
    assert!(
        sent[1..].iter().all(|hash| last_two.contains(hash)),
        "the two newest ones"
    );
    let all = [
        next(&mut many).await,
        next(&mut many).await,
        next(&mut many).await,
    ];
    assert!(sent.iter().all(|hash| all.contains(hash)));
    let later = processed(&post(&author, &channel)).await;
    for stream in [&mut two, &mut many, &mut none] {
        assert_eq!(next(stream).await, later);
    }
}

#[tokio::test]
async fn a_watched_message_is_whole() {
    let (author, name) = (account(3), fresh("WHOLE"));
    let filter = MessageFilter {
        channels: Some(vec![name.clone()]),
        ..Default::default()
    };
    let node = client();
    let mut watched = watch(&node, &filter, None).await;
    processed(&post(&author, &Channel::from(name))).await;
    let message = within(watched.next()).await.unwrap().unwrap();
    message.verify_item_hash().unwrap();
    message.verify_signature().unwrap();
    assert_eq!(
        (message.owner(), message.message_type),
        (author.address(), MessageType::Post)
    );
}

#[tokio::test]
async fn who_cannot_be_watched_is_told() {
    let nobody = AlephClient::new("http://127.0.0.1:1".parse().unwrap());
    let told = nobody
        .subscribe_to_messages(&MessageFilter::default(), None)
        .await
        .err();
    assert!(matches!(told, Some(MessageError::WebsocketConnect(_))));
    let file = AlephClient::new("mailto:nobody".parse().unwrap());
    assert!(
        file.subscribe_to_messages(&MessageFilter::default(), None)
            .await
            .is_err()
    );
}
