//! Keys on disk, and their peer ids.

use std::{fs, os::unix::fs::PermissionsExt};

use base64::{Engine, engine::general_purpose::STANDARD};
use beth_network::{Error, Identity, Network};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Peer, config};

const RSA: &str = include_str!("../../../../vectors/network/p2p/peer_id_vectors.json");
const ED25519: &str = include_str!("../../../../vectors/network/p2p/ed25519_peer_id_vectors.json");

fn keys(text: &str) -> Vec<(Vec<u8>, String)> {
    let vectors: Value = serde_json::from_str(text).unwrap();
    let keys = vectors["keys"].as_object().unwrap().values().map(|key| {
        let der = key["private_key_pkcs8_der_base64"].as_str().unwrap();
        (
            STANDARD.decode(der).unwrap(),
            key["peer_id"].as_str().unwrap().to_owned(),
        )
    });
    keys.collect()
}

#[test]
fn peer_ids() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("node-secret.pkcs8.der");
    let all = [keys(RSA), keys(ED25519)].concat();
    assert_eq!(all.len(), 5);
    for (der, peer_id) in all {
        fs::write(&path, der).unwrap();
        assert_eq!(Identity::load_or_create(&path).unwrap().peer_id(), peer_id);
    }
}

#[test]
fn new_key_is_private_and_comes_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("node.key");
    let created = Identity::load_or_create(&path).unwrap();
    assert!(created.peer_id().starts_with("12D3Koo"));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        Identity::load_or_create(&path).unwrap().peer_id(),
        created.peer_id()
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no draft is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_keys_are_said() {
    let folder = TempDir::new().unwrap();
    let settings = config(&folder, &[]);
    let rsa = keys(RSA).remove(0).0;
    let cases: [(&[u8], &str); 4] = [
        (b"", "the file is empty"),
        (b"-----BEGIN PRIVATE KEY-----", "openssl pkcs8"),
        (&rsa[..rsa.len() - 1], "not an unencrypted PKCS#8"),
        (b"garbage", "not an unencrypted PKCS#8"),
    ];
    for (bytes, sentence) in cases {
        fs::write(&settings.identity, bytes).unwrap();
        let error = Network::start(settings.clone(), CancellationToken::new())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Identity(_)), "{error}");
        let said = error.to_string();
        assert!(
            said.contains(sentence) && said.contains("Restore it from a backup"),
            "{said}"
        );
    }

    let mut settings = settings;
    settings.identity = folder.path().join("nowhere/node.key");
    let error = Network::start(settings, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("Check that the folder exists"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_and_ed25519_nodes_understand_each_other() {
    let folder = TempDir::new().unwrap();
    let settings = config(&folder, &[]);
    let (der, peer_id) = keys(RSA).remove(0);
    fs::write(&settings.identity, der).unwrap();
    let mut old = Peer::start_with(folder, settings).await;
    assert_eq!(old.network.peer_id(), peer_id);
    let mut new = Peer::start(&[&old]).await;
    old.sees(&[&new]).await;
    new.sees(&[&old]).await;

    old.says(b"signed with RSA").await;
    let heard = new.hears().await;
    assert_eq!(
        (heard.data.as_slice(), heard.from),
        (&b"signed with RSA"[..], peer_id)
    );
    new.says(b"signed with Ed25519").await;
    let heard = old.hears().await;
    assert_eq!(
        (heard.data.as_slice(), heard.from.as_str()),
        (&b"signed with Ed25519"[..], new.network.peer_id())
    );
}
