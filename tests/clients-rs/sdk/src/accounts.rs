//! Every kind of account that the SDK signs with, and those that it does not have.

use aleph_sdk::client::{AlephMessageClient, MessageVerification, MessageWithStatus};
use aleph_sdk::messages::PostBuilder;
use aleph_types::account::{Account, EvmAccount, SignError, SolanaAccount};
use aleph_types::chain::{Address, Chain, Signature};
use aleph_types::message::Message;
use serde_json::json;

use crate::network::{account, client, fresh_bytes, processed, rejected};

const EVM: &str = "ARB AVAX BASE BLAST BOB BSC CYBER ETH ETHERLINK FRAX HYPE INK LENS LINEA LISK METIS MODE OP POL SONIC UNICHAIN WLD ZORA";
const SVM: &str = "SOL ES";
/// Chains that the SDK signs for and the network cannot verify.
const REFUSED: &str = "AURORA STT";
/// Chains that the SDK knows and has no account for.
const WITHOUT_ACCOUNT: &str = "CSDK DOT NEO NULS NULS2 TEZOS";

#[tokio::test]
async fn accounts_of_every_evm_chain_sign() {
    let key = fresh_bytes(32);
    for chain in chains(EVM) {
        signs(&EvmAccount::new(chain, &key).unwrap())
            .await
            .verify_signature()
            .unwrap();
    }
}

#[tokio::test]
async fn accounts_of_every_svm_chain_sign() {
    let key = fresh_bytes(32);
    for chain in chains(SVM) {
        let account = SolanaAccount::new(chain.clone(), &key).unwrap();
        let long = [key.clone(), vec![0; 32]].concat();
        assert_eq!(
            SolanaAccount::new(chain, &long).unwrap().address(),
            account.address()
        );
        // A fault of the SDK: it sends the signature as an object, the network carries it as text, and the SDK cannot
        // read its own signature again.
        let message = signs(&account).await;
        assert!(
            message
                .signature
                .as_ref()
                .unwrap()
                .as_str()
                .starts_with("{")
        );
        assert!(message.verify_signature().is_err());
        assert!(matches!(
            client().verify_message(message).await.unwrap(),
            MessageVerification::Invalid(_)
        ));
    }
}

#[tokio::test]
async fn chains_that_the_network_does_not_verify_are_refused() {
    for chain in chains(REFUSED) {
        let account = EvmAccount::new(chain, &fresh_bytes(32)).unwrap();
        let message = PostBuilder::new(&account, "note", json!({}))
            .unwrap()
            .build()
            .unwrap();
        assert!(rejected(&message).await.contains("\"rejected\""));
    }
}

#[test]
fn there_is_no_account_for_the_other_chains() {
    for chain in chains(WITHOUT_ACCOUNT) {
        assert!(EvmAccount::new(chain.clone(), &[1; 32]).is_err(), "{chain}");
        assert!(
            SolanaAccount::new(chain.clone(), &[1; 32]).is_err(),
            "{chain}"
        );
    }
    assert!(EvmAccount::new(Chain::Ethereum, &[1; 16]).is_err());
    assert!(SolanaAccount::new(Chain::Sol, &[1; 16]).is_err());
}

#[test]
fn every_chain_of_the_sdk_is_in_one_of_these_lists() {
    let listed = [EVM, SVM, REFUSED, WITHOUT_ACCOUNT]
        .map(|list| chains(list).len())
        .iter()
        .sum::<usize>();
    let told = serde_json::from_value::<Chain>(json!("none"))
        .unwrap_err()
        .to_string();
    assert_eq!(told.matches('`').count() / 2 - 1, listed, "{told}");
}

/// What an application writes that keeps its key elsewhere.
struct Elsewhere(EvmAccount);

impl Account for Elsewhere {
    fn chain(&self) -> Chain {
        Chain::Base
    }

    fn address(&self) -> &Address {
        self.0.address()
    }

    fn sign_raw(&self, buffer: &[u8]) -> Result<Signature, SignError> {
        self.0.sign_raw(buffer)
    }
}

#[tokio::test]
async fn an_account_of_an_application_signs() {
    signs(&Elsewhere(account(0)))
        .await
        .verify_signature()
        .unwrap();
}

/// Sends a message that this account signed and reads it again.
async fn signs<A: Account>(account: &A) -> Message {
    let message = PostBuilder::new(account, "note", json!({}))
        .unwrap()
        .build()
        .unwrap();
    let hash = processed(&message).await;
    let MessageWithStatus::Processed { message } = client().get_message(&hash).await.unwrap()
    else {
        panic!("{} is not processed", account.chain());
    };
    assert_eq!(
        (&message.chain, message.sender()),
        (&account.chain(), account.address())
    );
    message
}

fn chains(list: &str) -> Vec<Chain> {
    list.split(' ')
        .map(|name| serde_json::from_value(json!(name)).unwrap())
        .collect()
}
