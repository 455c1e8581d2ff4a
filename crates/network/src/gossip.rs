//! The gossip parameters on which all nodes agree (network.md §2.3).
//!
//! Own messages go to every subscribed peer at once (flood publish), so that
//! delivery between neighbours never waits for a heartbeat; the mesh matters
//! for what is passed on.

use std::{collections::HashSet, time::Duration};

use libp2p::{
    gossipsub::{
        Behaviour, Config, ConfigBuilder, IdentTopic, IdentityTransform, Message,
        MessageAuthenticity, MessageId, TopicHash, ValidationMode, WhitelistSubscriptionFilter,
    },
    identity::Keypair,
};

use crate::{
    error::Error,
    frame::MESSAGE_BYTES,
    limits::{FRAME_BYTES, MESSAGES_PER_FRAME, PEER_QUEUE, PEER_QUEUE_MESSAGES, READ_AHEAD_BYTES},
    message_id::message_id,
};

/// Gossip that knows the configured topics only: what peers subscribe to
/// beside them costs us nothing.
pub(crate) type Gossip = Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// Builds the behaviour and subscribes to the topics.
pub(crate) fn gossip(keypair: &Keypair, topics: &[String]) -> Result<Gossip, Error> {
    let known: HashSet<TopicHash> = topics.iter().map(TopicHash::from_raw).collect();
    let mut gossip = Behaviour::new_with_subscription_filter(
        MessageAuthenticity::Signed(keypair.clone()),
        parameters(&known)?,
        WhitelistSubscriptionFilter(known),
    )
    .map_err(|reason| Error::Setup(reason.to_owned()))?;
    for topic in topics {
        gossip
            .subscribe(&IdentTopic::new(topic))
            .map_err(|error| Error::Setup(error.to_string()))?;
    }
    Ok(gossip)
}

fn parameters(topics: &HashSet<TopicHash>) -> Result<Config, Error> {
    let mut builder = ConfigBuilder::default();
    builder
        .protocol_id_prefix("/meshsub")
        .heartbeat_interval(Duration::from_secs(1))
        // The first heartbeat comes one interval after this delay.
        .heartbeat_initial_delay(Duration::from_secs(4))
        .validation_mode(ValidationMode::Strict)
        .message_id_fn(|message: &Message| MessageId::from(message_id(&message.data)))
        .duplicate_cache_time(Duration::from_secs(1_800))
        .flood_publish(true)
        .mesh_n(6)
        .mesh_n_low(5)
        .mesh_n_high(12)
        .mesh_outbound_min(2)
        .gossip_lazy(6)
        .gossip_factor(0.25)
        .retain_scores(4)
        .history_length(5)
        .history_gossip(3)
        .fanout_ttl(Duration::from_secs(60))
        .prune_backoff(Duration::from_secs(60))
        .unsubscribe_backoff(Duration::from_secs(10))
        .backoff_slack(1)
        .graft_flood_threshold(Duration::from_secs(10))
        .opportunistic_graft_ticks(60)
        .opportunistic_graft_peers(2)
        .prune_peers(0)
        .max_control_messages_sent(5_000)
        .max_ihave_messages_heartbeat(10)
        .iwant_followup_time(Duration::from_secs(3))
        .gossip_retransimission(3)
        // A full IHAVE of upstream has 110 KB; the library's default of 16 KB
        // would drop the stream that carries it.
        .max_control_message_size(FRAME_BYTES)
        .max_publish_messages(MESSAGES_PER_FRAME)
        .max_transmit_size(FRAME_BYTES + READ_AHEAD_BYTES)
        .connection_handler_queue_len(PEER_QUEUE_MESSAGES)
        .publish_queue_duration(PEER_QUEUE)
        .forward_queue_duration(PEER_QUEUE);
    for topic in topics {
        // What exceeds upstream's frame must not be passed on: it would cost us the stream.
        builder.max_transmit_size_for_topic(MESSAGE_BYTES, topic.clone());
    }
    builder
        .build()
        .map_err(|error| Error::Setup(error.to_string()))
}
