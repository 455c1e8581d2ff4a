//! Files by both engines: small and of 100 MB, by each way of sending and fetching, verified.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aleph_sdk::client::{
    AccountFile, AlephAccountClient, AlephClient, AlephMessageClient, AlephStorageClient,
    MessageError, StorageError, hash_file,
};
use aleph_sdk::messages::{ForgetBuilder, StoreBuilder};
use aleph_sdk::verify::{HashVerifier, Hasher};
use aleph_types::account::{Account, EvmAccount};
use aleph_types::item_hash::ItemHash;
use aleph_types::message::execution::base::Payment;
use aleph_types::message::{FileRef, RawFileRef, StorageEngine};
use futures_util::{StreamExt, TryStreamExt};

use crate::network::{
    account, client, eventually, fresh, fresh_bytes, nothing, other_client, processed, stranger,
};

const SMALL_BYTES: usize = 5;
const MIDDLE_BYTES: usize = 1_000_003;
const BIG_BYTES: usize = 100_000_000;
const ENGINES: [StorageEngine; 2] = [StorageEngine::Storage, StorageEngine::Ipfs];

fn hasher(engine: StorageEngine) -> Hasher {
    match engine {
        StorageEngine::Storage => Hasher::for_storage(),
        StorageEngine::Ipfs => Hasher::for_ipfs(),
    }
}

fn hash(engine: StorageEngine, bytes: &[u8]) -> ItemHash {
    let mut hasher = hasher(engine);
    hasher.update(bytes);
    hasher.finalize()
}

/// Sends a file from disk with its message; answers the message's hash.
async fn upload(
    author: &EvmAccount,
    path: &Path,
    engine: StorageEngine,
    reference: &str,
) -> ItemHash {
    let file = hash_file(path, hasher(engine)).await.unwrap();
    let message = StoreBuilder::new(author, file.clone(), engine)
        .reference(reference)
        .payment(Payment::credits())
        .build()
        .unwrap();
    let ticks = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&ticks);
    let tick = move |sent, _| seen.store(sent, Ordering::Relaxed);
    let uploaded = match engine {
        StorageEngine::Storage => {
            client()
                .upload_file_to_storage_with_progress(path, Some(&message), true, tick)
                .await
        }
        StorageEngine::Ipfs => {
            client()
                .upload_file_to_ipfs_with_progress(path, Some(&message), true, tick)
                .await
        }
    };
    assert_eq!(uploaded.unwrap(), file);
    assert_eq!(
        ticks.load(Ordering::Relaxed),
        std::fs::metadata(path).unwrap().len()
    );
    message.item_hash
}

/// Sends a file of this size and fetches it verified, by its hash, its message and its name, from each node.
async fn goes_and_comes(size_bytes: usize, engine: StorageEngine) {
    let (author, bytes, folder, reference) = (
        account(4),
        fresh_bytes(size_bytes),
        tempfile::tempdir().unwrap(),
        fresh("ref"),
    );
    let (path, copy) = (
        folder.path().join("file.bin"),
        folder.path().join("copy.bin"),
    );
    std::fs::write(&path, &bytes).unwrap();
    let message = upload(&author, &path, engine, &reference).await;
    let file = hash(engine, &bytes);
    let named = FileRef::UserDefined {
        owner: author.address().clone(),
        reference: reference.clone(),
    };
    for node in [client(), other_client()] {
        let known = eventually(
            || node.get_file_metadata_by_message_hash(&message),
            Result::is_ok,
        )
        .await
        .unwrap();
        assert_eq!(
            (&known.file_hash, &known.owner, u64::from(known.size)),
            (&file, author.address(), size_bytes as u64)
        );
        assert_eq!(known.reference, RawFileRef::UserDefined(reference.clone()));
        assert_eq!(
            node.get_file_metadata_by_ref(&named)
                .await
                .unwrap()
                .file_hash,
            file
        );
        assert_eq!(
            u64::from(node.get_file_size(&file).await.unwrap()),
            size_bytes as u64
        );
        node.download_file_by_hash(&file)
            .await
            .unwrap()
            .with_verification()
            .to_file(&copy)
            .await
            .unwrap();
        assert!(std::fs::read(&copy).unwrap() == bytes);
        let by_message = node
            .download_file_by_message_hash(&message)
            .await
            .unwrap()
            .with_verification();
        assert!(by_message.bytes().await.unwrap() == bytes);
        let by_name = node
            .download_file_by_ref(&named)
            .await
            .unwrap()
            .into_stream();
        let length = by_name
            .try_fold(0, |sum, part| async move { Ok(sum + part.len()) })
            .await
            .unwrap();
        assert_eq!(length, size_bytes);
    }
}

#[tokio::test]
async fn a_small_file_by_storage() {
    goes_and_comes(SMALL_BYTES, StorageEngine::Storage).await;
}

#[tokio::test]
async fn a_small_file_by_ipfs() {
    goes_and_comes(SMALL_BYTES, StorageEngine::Ipfs).await;
}

#[tokio::test]
async fn a_file_of_a_megabyte_by_storage() {
    goes_and_comes(MIDDLE_BYTES, StorageEngine::Storage).await;
}

#[tokio::test]
async fn a_file_of_a_megabyte_by_ipfs() {
    goes_and_comes(MIDDLE_BYTES, StorageEngine::Ipfs).await;
}

#[tokio::test]
async fn a_file_of_100_megabytes_by_storage() {
    goes_and_comes(BIG_BYTES, StorageEngine::Storage).await;
}

#[tokio::test]
async fn a_file_of_100_megabytes_by_ipfs() {
    goes_and_comes(BIG_BYTES, StorageEngine::Ipfs).await;
}

#[tokio::test]
async fn every_way_of_sending_stores_the_same_file() {
    let (author, folder) = (account(4), tempfile::tempdir().unwrap());
    let (node, path) = (client(), folder.path().join("file.bin"));
    for engine in ENGINES {
        let bytes = fresh_bytes(300_000);
        std::fs::write(&path, &bytes).unwrap();
        let file = hash(engine, &bytes);
        assert_eq!(
            node.create_store(&author, &path, engine, true)
                .await
                .unwrap(),
            file
        );
        let message = StoreBuilder::new(&author, file.clone(), engine)
            .reference_hash(nothing())
            .build()
            .unwrap();
        let [by_bytes, by_file, alone, file_alone] = match engine {
            StorageEngine::Storage => [
                node.upload_to_storage(&bytes, Some(&message), true).await,
                node.upload_file_to_storage(&path, Some(&message), true)
                    .await,
                node.upload_to_storage(&bytes, None, false).await,
                node.upload_file_to_storage(&path, None, false).await,
            ],
            StorageEngine::Ipfs => [
                node.upload_to_ipfs(&bytes, Some(&message), true).await,
                node.upload_file_to_ipfs(&path, Some(&message), true).await,
                node.upload_to_ipfs(&bytes, None, false).await,
                node.upload_file_to_ipfs(&path, None, false).await,
            ],
        };
        for uploaded in [by_bytes, by_file, alone, file_alone] {
            assert_eq!(uploaded.unwrap(), file);
        }
        let pinned = processed(
            &StoreBuilder::new(&author, file.clone(), engine)
                .build()
                .unwrap(),
        )
        .await;
        assert_eq!(
            node.get_file_metadata_by_message_hash(&pinned)
                .await
                .unwrap()
                .file_hash,
            file
        );
    }
}

#[tokio::test]
async fn files_of_an_account_are_listed_and_summed() {
    let (owner, node) = (stranger(), client());
    let files = |order| {
        let (node, owner) = (node.clone(), owner.address().clone());
        async move {
            let found: Vec<AccountFile> = node
                .get_account_files_iterator(&owner, Some(1), order)
                .try_collect()
                .await
                .unwrap();
            found
                .into_iter()
                .map(|file| file.file_hash)
                .collect::<Vec<_>>()
        }
    };
    assert!(files(None).await.is_empty());
    assert_eq!(
        u64::from(node.get_total_storage_size(owner.address()).await.unwrap()),
        0
    );
    let mut sent = Vec::new();
    for size_bytes in [100, 200, 300] {
        let file = node
            .upload_to_ipfs(&fresh_bytes(size_bytes), None, false)
            .await
            .unwrap();
        sent.push(file.to_string());
        // Held files of this size need no funds.
        processed(
            &StoreBuilder::new(&owner, file, StorageEngine::Ipfs)
                .payment(Payment::hold())
                .build()
                .unwrap(),
        )
        .await;
    }
    assert_eq!(files(Some(1)).await, sent);
    sent.reverse();
    assert_eq!(files(Some(-1)).await, sent);
    assert_eq!(files(None).await, sent);
    assert_eq!(
        u64::from(node.get_total_storage_size(owner.address()).await.unwrap()),
        600
    );
    assert_eq!(
        node.get_account_files_iterator(owner.address(), None, None)
            .count()
            .await,
        3
    );
}

#[tokio::test]
async fn a_file_is_deleted_by_forgetting_its_message() {
    let (author, node) = (account(4), client());
    let file = node
        .upload_to_ipfs(&fresh_bytes(100), None, false)
        .await
        .unwrap();
    let message = processed(
        &StoreBuilder::new(&author, file.clone(), StorageEngine::Ipfs)
            .build()
            .unwrap(),
    )
    .await;
    processed(
        &ForgetBuilder::new(&author, vec![message.clone()])
            .build()
            .unwrap(),
    )
    .await;
    assert!(
        node.get_file_metadata_by_message_hash(&message)
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn a_file_that_is_not_what_was_asked_for_is_told() {
    for engine in ENGINES {
        let mut verifier = HashVerifier::new(&hash(engine, b"one")).unwrap();
        verifier.update(b"two");
        verifier.finalize().unwrap_err();
        let mut verifier = HashVerifier::new(&hash(engine, b"one")).unwrap();
        verifier.update(b"one");
        verifier.finalize().unwrap();
    }
    let (author, node) = (account(4), client());
    let stored = StoreBuilder::new(&author, nothing(), StorageEngine::Storage)
        .build()
        .unwrap();
    let other = node
        .upload_to_storage(b"another file", Some(&stored), true)
        .await
        .unwrap_err();
    assert!(
        matches!(other, StorageError::InvalidMetadata(_)),
        "{other:?}"
    );
    let pinned = StoreBuilder::new(
        &author,
        hash(StorageEngine::Ipfs, b"one"),
        StorageEngine::Ipfs,
    )
    .build()
    .unwrap();
    let other = node
        .upload_to_ipfs(b"another file", Some(&pinned), true)
        .await
        .unwrap_err();
    assert!(
        matches!(other, StorageError::InvalidMetadata(_)),
        "{other:?}"
    );
    assert!(
        StoreBuilder::new(&author, nothing(), StorageEngine::Ipfs)
            .build()
            .is_err()
    );
}

#[tokio::test]
async fn files_that_are_not_there_are_told() {
    let (node, named) = (
        client(),
        FileRef::UserDefined {
            owner: account(4).address().clone(),
            reference: fresh("none"),
        },
    );
    assert!(matches!(
        node.download_file_by_hash(&nothing()).await.err(),
        Some(MessageError::Storage(StorageError::NotFound(_)))
    ));
    assert!(matches!(
        node.download_file_by_ref(&named).await.err(),
        Some(MessageError::Storage(StorageError::RefNotFound(_)))
    ));
    assert!(matches!(
        node.download_file_by_message_hash(&nothing()).await.err(),
        Some(MessageError::NotFound(_))
    ));
    assert!(
        node.get_file_size(&nothing())
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(node.get_file_metadata_by_ref(&named).await.is_err());
}

#[tokio::test]
async fn who_cannot_pay_and_whose_signature_is_wrong_is_told() {
    let (poor, node) = (stranger(), client());
    let bytes = fresh_bytes(30 << 20);
    for engine in ENGINES {
        let unpaid = StoreBuilder::new(&poor, hash(engine, &bytes), engine)
            .payment(Payment::credits())
            .build()
            .unwrap();
        let refused = send(&node, engine, &bytes, &unpaid).await.unwrap_err();
        assert!(
            matches!(refused, StorageError::InsufficientBalance),
            "{refused:?}"
        );
        let mut forged = StoreBuilder::new(&account(4), hash(engine, b"forged"), engine)
            .build()
            .unwrap();
        forged.signature = unpaid.signature;
        let refused = send(&node, engine, b"forged", &forged).await.unwrap_err();
        assert!(
            matches!(refused, StorageError::InvalidSignature),
            "{refused:?}"
        );
    }
}

async fn send(
    node: &AlephClient,
    engine: StorageEngine,
    bytes: &[u8],
    message: &aleph_types::message::pending::PendingMessage,
) -> Result<ItemHash, StorageError> {
    match engine {
        StorageEngine::Storage => node.upload_to_storage(bytes, Some(message), true).await,
        StorageEngine::Ipfs => node.upload_to_ipfs(bytes, Some(message), true).await,
    }
}
