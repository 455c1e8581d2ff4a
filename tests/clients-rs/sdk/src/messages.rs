//! Single messages: by each way of carrying a content, verified, pending, and forgotten.

use aleph_sdk::builder::MessageBuilder;
use aleph_sdk::client::{
    AlephMessageClient, AlephStorageClient, MessageError, MessageFilter, MessageVerification,
    MessageWithStatus,
};
use aleph_sdk::messages::ForgetBuilder;
use aleph_types::account::Account;
use aleph_types::item_hash::ItemHash;
use aleph_types::message::item_type::ItemType;
use aleph_types::message::pending::PendingMessage;
use aleph_types::message::{ContentSource, MessageContentEnum, MessageStatus, MessageType};
use aleph_types::timestamp::Timestamp;
use serde_json::json;

use crate::network::{
    account, client, eventually, fresh, fresh_channel, nothing, other_client, post, processed,
};

#[tokio::test]
async fn a_message_is_fetched_as_it_was_signed() {
    let (author, channel) = (account(0), fresh_channel("ONE"));
    let sent = post(&author, &channel);
    processed(&sent).await;
    for node in [client(), other_client()] {
        let found = eventually(|| node.get_message(&sent.item_hash), Result::is_ok)
            .await
            .unwrap();
        assert_eq!(found.status(), MessageStatus::Processed);
        let found = found
            .try_map_message_async(|message| async { Ok::<_, MessageError>(message) })
            .await
            .unwrap();
        let MessageWithStatus::Processed { message } = found else {
            panic!("not processed")
        };
        assert_eq!(
            (&message.sender, message.owner()),
            (author.address(), author.address())
        );
        assert_eq!(message.channel.as_ref(), Some(&channel));
        assert!(is_same_microsecond(&message.time, &sent.time));
        assert_eq!(message.signature, Some(sent.signature.clone()));
        assert_eq!(
            message.content_source,
            ContentSource::Inline {
                item_content: sent.item_content.clone()
            }
        );
        assert!(
            matches!(message.content(), MessageContentEnum::Post(content) if content.post_type == "note")
        );
        message.verify_item_hash().unwrap();
        message.verify_signature().unwrap();
        assert!(!message.confirmed(), "nothing is on a chain here");
        // What was read can be sent again.
        let again = PendingMessage::try_from(&message).unwrap();
        assert_eq!(
            node.post_message(&again, true)
                .await
                .unwrap()
                .message_status,
            "processed"
        );
    }
}

#[tokio::test]
async fn a_message_is_sent_without_waiting() {
    let sent = post(&account(0), &fresh_channel("ASYNC"));
    let answer = client().post_message(&sent, false).await.unwrap();
    assert!(
        ["pending", "processed"].contains(&answer.message_status.as_str()),
        "{answer:?}"
    );
    let is_processed = |found: &Result<MessageWithStatus<_>, MessageError>| {
        found
            .as_ref()
            .is_ok_and(|found| found.status() == MessageStatus::Processed)
    };
    eventually(
        || async { client().get_message(&sent.item_hash).await },
        is_processed,
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn contents_are_carried_inline_by_storage_and_by_ipfs() {
    let author = account(0);
    let content = json!({"type": fresh("carried"), "content": {"text": "x".repeat(2000)}});
    let builder = || {
        MessageBuilder::new(&author, MessageType::Post, content.clone())
            .channel(fresh_channel("CARRIED"))
    };
    for (builder, carried) in [
        (
            builder().time(Timestamp::from(1_700_000_000.5)),
            ItemType::Inline,
        ),
        (builder().inline_cutoff(1000), ItemType::Storage),
        (builder().allow_inlining(false), ItemType::Storage),
        (
            builder().allow_inlining(false).ipfs_cutoff(1000),
            ItemType::Ipfs,
        ),
    ] {
        let message = builder.build().unwrap();
        assert_eq!(message.item_type, carried);
        let hash = processed(&message).await;
        for node in [client(), other_client()] {
            eventually(
                || async {
                    node.get_message(&hash)
                        .await
                        .is_ok_and(|found| found.status() == MessageStatus::Processed)
                },
                |is| *is,
            )
            .await;
            let found = node.get_message_and_verify(&hash).await.unwrap();
            let MessageWithStatus::Processed {
                message: MessageVerification::Verified(found),
            } = found
            else {
                panic!("{carried:?} is not verified: {found:?}")
            };
            assert!(is_same_microsecond(&found.message().time, &message.time));
            assert!(
                matches!(found.content(), MessageContentEnum::Post(post) if post.content.as_ref() == Some(&content["content"]))
            );
        }
    }
}

#[tokio::test]
async fn a_list_is_verified() {
    let (author, channel) = (account(0), fresh_channel("VERIFIED"));
    let content = json!({"type": "note", "content": {}});
    let inline = post(&author, &channel);
    let stored = MessageBuilder::new(&author, MessageType::Post, content)
        .channel(channel.clone())
        .allow_inlining(false)
        .build()
        .unwrap();
    let mut sent = [processed(&inline).await, processed(&stored).await];
    let filter = MessageFilter {
        hashes: Some(sent.to_vec()),
        ..Default::default()
    };
    let verified = client().get_messages_and_verify(&filter).await.unwrap();
    let mut found: Vec<ItemHash> = verified
        .into_iter()
        .map(|outcome| match outcome {
            MessageVerification::Verified(message) => message.message().item_hash.clone(),
            other => panic!("not verified: {other:?}"),
        })
        .collect();
    found.sort_by_key(ToString::to_string);
    sent.sort_by_key(ToString::to_string);
    assert_eq!(found, sent);
}

#[tokio::test]
async fn a_message_that_was_altered_is_told() {
    let sent = post(&account(0), &fresh_channel("ALTERED"));
    processed(&sent).await;
    let MessageWithStatus::Processed { message } =
        client().get_message(&sent.item_hash).await.unwrap()
    else {
        panic!("not processed")
    };
    let mut altered = message.clone();
    altered.content_source = ContentSource::Inline {
        item_content: sent.item_content.replace("note", "nope"),
    };
    assert!(altered.verify_item_hash().is_err());
    assert!(matches!(
        client().verify_message(altered).await.unwrap(),
        MessageVerification::Invalid(_)
    ));
    let mut alien = message.clone();
    alien.sender = account(1).address().clone();
    assert!(matches!(
        client().verify_message(alien).await.unwrap(),
        MessageVerification::Invalid(_)
    ));
    let mut unsigned = message;
    unsigned.signature = None;
    let told = client().verify_message(unsigned).await.unwrap();
    assert!(matches!(&told, MessageVerification::Unsigned(_)));
    assert_eq!(told.into_message().unwrap().item_hash, sent.item_hash);
}

#[tokio::test]
async fn a_message_waits_for_its_content() {
    let content = json!({"type": "note", "content": {"text": fresh("late")}});
    let author = account(0);
    let message = MessageBuilder::new(&author, MessageType::Post, content)
        .allow_inlining(false)
        .build()
        .unwrap();
    assert_eq!(
        client()
            .post_message(&message, false)
            .await
            .unwrap()
            .message_status,
        "pending"
    );
    let MessageWithStatus::Pending { messages } =
        client().get_message(&message.item_hash).await.unwrap()
    else {
        panic!("not pending")
    };
    assert_eq!(messages[0].item_hash, message.item_hash);
    assert_eq!(messages[0].content_source, ContentSource::Storage);
    let uploaded = client()
        .upload_to_storage(message.item_content.as_bytes(), None, false)
        .await
        .unwrap();
    assert_eq!(uploaded, message.item_hash);
    processed(&message).await;
}

#[tokio::test]
async fn a_message_is_forgotten() {
    let (author, channel) = (account(0), fresh_channel("FORGET"));
    let sent = processed(&post(&author, &channel)).await;
    let forget = ForgetBuilder::new(&author, vec![sent.clone()])
        .reason("no more")
        .channel(channel)
        .build()
        .unwrap();
    let by = processed(&forget).await;
    for node in [client(), other_client()] {
        let forgotten = |found: &Result<MessageWithStatus<_>, MessageError>| {
            found
                .as_ref()
                .is_ok_and(|found| found.status() == MessageStatus::Forgotten)
        };
        let found = eventually(|| node.get_message(&sent), forgotten)
            .await
            .unwrap();
        let MessageWithStatus::Forgotten {
            message,
            forgotten_by,
        } = found
        else {
            panic!("not forgotten")
        };
        assert_eq!(
            (message.item_hash, forgotten_by),
            (sent.clone(), vec![by.clone()])
        );
    }
    let MessageWithStatus::Processed { message } = client().get_message(&by).await.unwrap() else {
        panic!("not processed")
    };
    let MessageContentEnum::Forget(content) = message.content() else {
        panic!("no FORGET")
    };
    assert_eq!(
        (content.hashes(), content.reason()),
        ([sent].as_slice(), Some("no more"))
    );
    assert!(ForgetBuilder::new(&author, vec![]).build().is_err());
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let unknown = client().get_message(&nothing()).await.unwrap_err();
    assert!(matches!(&unknown, MessageError::NotFound(hash) if *hash == nothing()));
    assert!(unknown.is_not_found());
    assert!(
        client()
            .get_message_and_verify(&nothing())
            .await
            .unwrap_err()
            .is_not_found()
    );
}

/// The network keeps no finer parts of a moment.
fn is_same_microsecond(one: &Timestamp, other: &Timestamp) -> bool {
    (one.as_f64() - other.as_f64()).abs() < 1e-6
}
