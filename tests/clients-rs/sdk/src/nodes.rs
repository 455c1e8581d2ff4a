//! What operators say of their nodes.

use aleph_sdk::aggregate_models::corechannel::NodeHash;
use aleph_sdk::client::{AlephMessageClient, MessageWithStatus};
use aleph_sdk::corechannel::{
    AmendDetails, amend_node, create_ccn, create_crn, drop_node, link_crn, stake, unlink_crn,
    unstake,
};
use aleph_types::item_hash::ItemHash;
use aleph_types::message::MessageContentEnum;

use crate::network::{account, client, processed};

const NETWORK: &str = "local";
const PLACE: &str = "/ip4/127.0.0.1/tcp/4025/p2p/QmZkurbY2G2hWay59yiTgQNaQxHSNzKZFt2jbnwJhQcKgV";

#[tokio::test]
async fn every_operation_on_nodes_is_taken() {
    let operator = account(9);
    let core = create_ccn(&operator, "core", PLACE, NETWORK).unwrap();
    let compute = create_crn(&operator, "compute", "https://crn.example.org", NETWORK).unwrap();
    let [core_hash, compute_hash] = [&core, &compute].map(|message| node_hash(&message.item_hash));
    let name = AmendDetails {
        name: Some("renamed".into()),
        ..AmendDetails::default()
    };
    for (action, message) in [
        ("create-node", core),
        ("create-resource-node", compute),
        ("link", link_crn(&operator, compute_hash, NETWORK).unwrap()),
        (
            "unlink",
            unlink_crn(&operator, compute_hash, NETWORK).unwrap(),
        ),
        ("stake-split", stake(&operator, core_hash, NETWORK).unwrap()),
        ("unstake", unstake(&operator, core_hash, NETWORK).unwrap()),
        (
            "amend",
            amend_node(&operator, core_hash, name, NETWORK).unwrap(),
        ),
        (
            "drop-node",
            drop_node(&operator, core_hash, NETWORK).unwrap(),
        ),
    ] {
        let sent = processed(&message).await;
        let MessageWithStatus::Processed { message } = client().get_message(&sent).await.unwrap()
        else {
            panic!("not processed")
        };
        let MessageContentEnum::Post(post) = message.content() else {
            panic!("no POST: {message:?}")
        };
        assert_eq!(post.post_type, "corechan-operation");
        assert_eq!(post.content.as_ref().unwrap()["action"], action);
    }
}

fn node_hash(hash: &ItemHash) -> NodeHash {
    hash.to_string().parse().unwrap()
}
