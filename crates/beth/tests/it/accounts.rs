//! Keys of every chain, made, imported and used.

use std::os::unix::fs::PermissionsExt;

use beth_protocol::{Chain, signature};

use crate::beth::beth;
use crate::network::{Behaviour, Network};

/// One chain of each scheme.
const CHAINS: [&str; 9] = [
    "ETH", "SOL", "DOT", "CSDK", "NULS", "NULS2", "AVAX", "TEZOS", "BASE",
];

#[tokio::test]
async fn a_new_key_of_any_chain_signs() {
    let network = Network::start(Behaviour::default()).await;
    let folder = tempfile::tempdir().unwrap();
    for name in CHAINS {
        let file = folder.path().join(name);
        let file = file.to_str().unwrap();
        let chain = name.to_lowercase();
        let created = beth(&["account", "create", file, "--chain", &chain, "--json"]).await;
        assert_eq!(created.code, 0, "{}", created.stderr);
        assert_eq!(created.object()["chain"], name);
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only the user may read a key");

        let posted = beth(&[
            "post",
            "create",
            "--type",
            "t",
            "--content",
            "{}",
            "--key",
            file,
            "--node",
            &network.url,
        ])
        .await;
        assert_eq!(posted.code, 0, "{}", posted.stderr);
        let message = network.messages().pop().unwrap();
        assert_eq!(message.chain, Chain::parse(name).unwrap());
        assert_eq!(created.object()["address"], message.sender);
        assert_eq!(signature::verify(&message), Ok(()));
    }
}

#[tokio::test]
async fn a_key_of_a_wallet_is_imported_with_its_curve() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let file = file.to_str().unwrap();
    // The key of 32 times 0x11 on secp256k1, as wallets of Tezos write it.
    let text =
        beth_protocol::encoding::base58::encode_checked(&[0x11, 0xa2, 0xe0, 0xc9], &[0x11; 32]);
    let import = [
        "account", "import", &text, file, "--chain", "TEZOS", "--json",
    ];
    let imported = beth(&import).await;
    assert_eq!(
        imported.object()["address"],
        "tz2JFtZVrrFRkv3WzaaPK6ogGBEs4bQoTTWZ",
        "{}",
        imported.stderr
    );
    // A file that exists is never written over, and a chain not mistaken.
    let again = beth(&import).await;
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
    let other = folder.path().join("other");
    let other = other.to_str().unwrap();
    for (arguments, sentence) in [
        (
            vec!["account", "import", file, other, "--chain", "SOL"],
            "of chain TEZOS, not SOL",
        ),
        (vec!["account", "import", &text, other], "64 hexadecimal"),
        (
            vec!["account", "create", other, "--chain", "AURORA"],
            "choose another chain",
        ),
        (
            vec!["account", "create", other, "--chain", "cardano"],
            "no chain has this name",
        ),
    ] {
        let run = beth(&arguments).await;
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains(sentence), "{}", run.stderr);
        assert!(!run.stderr.contains(&text), "a key must never be shown");
        assert!(!std::path::Path::new(other).exists());
    }
}
