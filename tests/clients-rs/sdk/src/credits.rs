//! Balances of tokens and credits, and their history.

use aleph_sdk::client::{AlephAccountClient, CreditDirection, CreditHistoryFilters};
use aleph_sdk::credit_transfer::{
    CREDIT_CHANNEL, CREDIT_TRANSFER_POST_TYPE, CreditTransferContent, CreditTransferEntry,
    CreditTransferList,
};
use aleph_sdk::messages::PostBuilder;
use aleph_types::account::{Account, EvmAccount};
use aleph_types::channel::Channel;
use aleph_types::item_hash::ItemHash;
use aleph_types::message::MessageType;

use crate::network::{account, client, eventually, processed, stranger};

const AMOUNT: u64 = 250;

#[tokio::test]
async fn balances_are_told() {
    let balance = client().get_balance(account(8).address()).await.unwrap();
    assert_eq!(
        (balance.aleph_tokens, balance.locked_aleph_tokens),
        (1_000_000.0, 0.0)
    );
    assert!(balance.credits > 0);
    let balance = client().get_balance(stranger().address()).await.unwrap();
    assert_eq!(
        (
            balance.aleph_tokens,
            balance.locked_aleph_tokens,
            balance.credits
        ),
        (0.0, 0.0, 0)
    );
}

#[tokio::test]
async fn the_history_of_credits_is_filtered() {
    let (node, owner) = (client(), stranger());
    transfer(&owner).await;
    let none = CreditHistoryFilters::default();
    let history = node
        .get_credit_history(owner.address(), 1, Some(5), &none)
        .await
        .unwrap();
    assert_eq!(
        (
            history.pagination_page,
            history.pagination_per_page,
            history.pagination_total
        ),
        (1, 5, 1)
    );
    let [grant] = history.credit_history.as_slice() else {
        panic!("one transfer: {history:?}")
    };
    assert!(grant.amount > 0 && grant.expiration_date.is_none() && !grant.credit_ref.is_empty());
    let moment = grant.message_timestamp.timestamp();
    let incoming = CreditHistoryFilters {
        direction: Some(CreditDirection::Incoming),
        ..none.clone()
    };
    for (filters, wanted) in [
        (none.clone(), 1),
        (incoming, 1),
        (
            CreditHistoryFilters {
                direction: Some(CreditDirection::Outgoing),
                ..none.clone()
            },
            0,
        ),
        (
            CreditHistoryFilters {
                start_date: Some(moment - 1),
                end_date: Some(moment + 2),
                ..none.clone()
            },
            1,
        ),
        (
            CreditHistoryFilters {
                end_date: Some(moment - 1),
                ..none.clone()
            },
            0,
        ),
        (
            CreditHistoryFilters {
                start_date: Some(moment + 2),
                ..none.clone()
            },
            0,
        ),
        (
            CreditHistoryFilters {
                resource_types: vec![MessageType::Store, MessageType::Instance],
                ..none.clone()
            },
            0,
        ),
        (
            CreditHistoryFilters {
                resource: Some("ab".repeat(32)),
                ..none.clone()
            },
            0,
        ),
    ] {
        let history = node
            .get_credit_history(owner.address(), 1, None, &filters)
            .await
            .unwrap();
        let summary = node
            .get_credit_history_summary(owner.address(), &filters)
            .await
            .unwrap();
        assert_eq!(
            (history.credit_history.len(), summary.entry_count),
            (wanted, wanted as i64),
            "{filters:?}"
        );
        assert_eq!(
            summary.total_incoming,
            if wanted == 1 { grant.amount } else { 0 },
            "{filters:?}"
        );
    }
    let nobody = stranger();
    assert_eq!(
        node.get_credit_history(nobody.address(), 1, None, &none)
            .await
            .unwrap()
            .pagination_total,
        0
    );
    assert_eq!(
        node.get_credit_history_summary(nobody.address(), &none)
            .await
            .unwrap()
            .entry_count,
        0
    );
}

#[tokio::test]
async fn credits_are_transferred() {
    let (taker, node) = (stranger(), client());
    let sent = transfer(&taker).await;
    let history = node
        .get_credit_history(taker.address(), 1, None, &CreditHistoryFilters::default())
        .await
        .unwrap();
    let [entry] = history.credit_history.as_slice() else {
        panic!("one transfer: {history:?}")
    };
    assert_eq!(
        (entry.amount, &entry.credit_ref),
        (AMOUNT as i64, &sent.to_string())
    );
}

#[test]
fn a_transfer_is_checked_before_it_is_sent() {
    let to = |taker: &EvmAccount, amount| CreditTransferEntry {
        address: taker.address().clone(),
        amount,
        expiration: None,
    };
    let taker = stranger();
    content(vec![to(&taker, 1)]).validate().unwrap();
    for wrong in [
        vec![],
        vec![to(&taker, 0)],
        vec![to(&taker, 1), to(&taker, 2)],
    ] {
        content(wrong).validate().unwrap_err();
    }
}

fn content(credits: Vec<CreditTransferEntry>) -> CreditTransferContent {
    CreditTransferContent {
        transfer: CreditTransferList { credits },
    }
}

/// Gives credits to an account that had none, and waits until it has them.
async fn transfer(taker: &EvmAccount) -> ItemHash {
    let entry = CreditTransferEntry {
        address: taker.address().clone(),
        amount: AMOUNT,
        expiration: None,
    };
    let giver = account(9);
    let post = PostBuilder::new(&giver, CREDIT_TRANSFER_POST_TYPE, content(vec![entry])).unwrap();
    let channel = Channel::from(CREDIT_CHANNEL.to_owned());
    let sent = processed(&post.channel(channel).build().unwrap()).await;
    let credits = || async { client().get_balance(taker.address()).await.unwrap().credits };
    eventually(credits, |credits| *credits == AMOUNT).await;
    sent
}
