//! Messages that the node refuses, and nodes that do not answer.

use std::time::Duration;

use aleph_sdk::builder::MessageBuilder;
use aleph_sdk::client::{
    AlephClient, AlephMessageClient, MessageError, MessageFilter, MessageWithStatus,
    PaginationParams, RetryConfig, TimeoutConfig,
};
use aleph_sdk::messages::{ForgetBuilder, PostBuilder};
use aleph_sdk::upload_timeout::UploadTimeout;
use aleph_types::account::EvmAccount;
use aleph_types::message::pending::PendingMessage;
use aleph_types::message::{MessageStatus, MessageType};
use serde_json::json;

use crate::network::{
    account, client, fresh_channel, nothing, post, processed, rejected, stranger,
};

const WRONG_SIGNATURE: i64 = 1;
const NO_RIGHT: i64 = 2;
const FORGETS_A_FORGET: i64 = 502;

async fn code(message: &PendingMessage) -> i64 {
    rejected(message).await;
    let found = client().get_message(&message.item_hash).await.unwrap();
    assert_eq!(found.status(), MessageStatus::Rejected);
    let MessageWithStatus::Rejected {
        message: known,
        error_code,
    } = found
    else {
        panic!("not rejected")
    };
    assert_eq!(
        (known.item_hash, known.sender),
        (message.item_hash.clone(), message.sender.clone())
    );
    error_code
}

#[tokio::test]
async fn a_forged_message_is_refused() {
    let mut forged = post(&account(0), &fresh_channel("FORGED"));
    forged.signature = post(&stranger(), &fresh_channel("FORGED")).signature;
    assert_eq!(code(&forged).await, WRONG_SIGNATURE);
}

#[tokio::test]
async fn a_content_of_a_wrong_shape_is_refused_at_once() {
    let author = account(0);
    let nameless = MessageBuilder::new(&author, MessageType::Aggregate, json!({"content": {}}))
        .build()
        .unwrap();
    assert_eq!(rejected(&nameless).await, "InvalidMessageFormat");
    assert!(
        client()
            .get_message(&nameless.item_hash)
            .await
            .unwrap_err()
            .is_not_found(),
        "nothing of it is kept"
    );
}

#[tokio::test]
async fn what_is_amended_or_forgotten_must_be_there() {
    let author = account(0);
    let amend = PostBuilder::amend(&author, nothing(), json!({}))
        .unwrap()
        .build()
        .unwrap();
    let forget = ForgetBuilder::new(&author, vec![nothing()])
        .build()
        .unwrap();
    for message in [amend, forget] {
        // The other message may be on its way.
        assert_eq!(
            client()
                .submit_message(&message, true)
                .await
                .unwrap()
                .message_status,
            "pending"
        );
    }
}

#[tokio::test]
async fn messages_of_others_are_not_forgotten() {
    let sent = processed(&post(&account(0), &fresh_channel("OTHERS"))).await;
    assert_eq!(code(&forget(&account(1), &sent)).await, NO_RIGHT);
    let first = forget(&account(0), &sent);
    processed(&first).await;
    assert_eq!(
        code(&forget(&account(0), &first.item_hash)).await,
        FORGETS_A_FORGET
    );
}

fn forget(author: &EvmAccount, hash: &aleph_types::item_hash::ItemHash) -> PendingMessage {
    ForgetBuilder::new(author, vec![hash.clone()])
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_message_that_is_no_message_is_refused_at_once() {
    let mut wrong = post(&account(0), &fresh_channel("WRONG"));
    wrong.item_hash = nothing();
    let told = client().post_message(&wrong, true).await.unwrap_err();
    assert!(
        matches!(told, MessageError::ApiError { status: 422, .. }),
        "{told:?}"
    );
    assert!(
        client()
            .get_message(&nothing())
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn wrong_questions_are_told() {
    let pagination = PaginationParams {
        pagination: Some(2),
        page: Some(0),
    };
    assert!(matches!(
        client()
            .get_messages(&MessageFilter::default(), pagination)
            .await,
        Err(MessageError::HttpError(_))
    ));
}

#[tokio::test]
async fn a_node_that_is_not_there_is_told() {
    let impatient = RetryConfig {
        max_retries: 0,
        min_backoff: Duration::ZERO,
        max_backoff: Duration::from_millis(1),
    };
    let node = AlephClient::builder("http://127.0.0.1:1".parse().unwrap())
        .retry_config(impatient)
        .timeout_config(TimeoutConfig {
            connect_timeout: Duration::from_secs(1),
            ..TimeoutConfig::no_request_timeout()
        })
        .upload_timeout(UploadTimeout::default())
        .max_concurrent_requests(1)
        .build();
    assert!(matches!(
        node.get_message(&nothing()).await,
        Err(MessageError::HttpError(_))
    ));
}
