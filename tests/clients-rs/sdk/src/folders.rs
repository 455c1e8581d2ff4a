//! Folders, sent as one archive of blocks with their message, or to a daemon that is not ours.

use std::path::Path;

use aleph_sdk::client::{AlephClient, AlephStorageClient, StorageError};
use aleph_sdk::folder_hash::hash_folder_root;
use aleph_sdk::ipfs::{CidVersion, UploadFolderOptions, collect_folder_files};
use aleph_sdk::messages::StoreBuilder;
use aleph_types::item_hash::ItemHash;
use aleph_types::message::StorageEngine;
use aleph_types::message::pending::PendingMessage;

use crate::network::{account, client, fresh, fresh_bytes, url};

fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("assets")).unwrap();
    std::fs::write(folder.path().join("index.html"), fresh("<h1>")).unwrap();
    std::fs::write(folder.path().join("assets/data.bin"), fresh_bytes(600_000)).unwrap();
    folder
}

fn options(version: CidVersion) -> UploadFolderOptions {
    let mut options = UploadFolderOptions::default();
    options.cid_version = version;
    options
}

fn root(folder: &Path, options: &UploadFolderOptions) -> ItemHash {
    ItemHash::Ipfs(hash_folder_root(&collect_folder_files(folder, true).unwrap(), options).unwrap())
}

fn store(root: &ItemHash) -> PendingMessage {
    StoreBuilder::new(&account(5), root.clone(), StorageEngine::Ipfs)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_folder_is_stored_with_its_message() {
    for version in [CidVersion::V0, CidVersion::V1] {
        let (folder, options) = (site(), options(version));
        let root = root(folder.path(), &options);
        let message = store(&root);
        let uploaded = client()
            .upload_folder_to_ipfs_authenticated(folder.path(), &message, true, options)
            .await;
        assert_eq!(uploaded.unwrap(), root);
        let known = client()
            .get_file_metadata_by_message_hash(&message.item_hash)
            .await
            .unwrap();
        assert_eq!(known.file_hash, root);
        assert!(u64::from(known.size) > 600_000);
    }
}

#[tokio::test]
async fn a_folder_that_is_not_the_messages_is_not_sent() {
    let (folder, empty) = (site(), tempfile::tempdir().unwrap());
    let other = store(&root(site().path(), &UploadFolderOptions::default()));
    let told = client()
        .upload_folder_to_ipfs_authenticated(
            folder.path(),
            &other,
            true,
            UploadFolderOptions::default(),
        )
        .await;
    assert!(
        matches!(told, Err(StorageError::CidMismatch { .. })),
        "{told:?}"
    );
    let told = client()
        .upload_folder_to_ipfs_authenticated(
            empty.path(),
            &other,
            true,
            UploadFolderOptions::default(),
        )
        .await;
    assert!(
        matches!(told, Err(StorageError::EmptyFolder(_))),
        "{told:?}"
    );
}

/// Without a message, the SDK speaks to the API of a Kubo daemon of a third party, which no core node has.
#[tokio::test]
async fn a_folder_without_message_goes_elsewhere() {
    let folder = site();
    let built = AlephClient::builder(url("core", 0))
        .ipfs_gateway(url("core", 0))
        .build();
    for node in [built, client().with_ipfs_gateway(url("core", 0))] {
        let told = node
            .upload_folder_to_ipfs(folder.path(), UploadFolderOptions::default())
            .await;
        assert!(
            matches!(told, Err(StorageError::UploadFailed(_))),
            "{told:?}"
        );
    }
}
