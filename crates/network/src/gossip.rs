//! The gossip parameters on which all nodes agree (network.md §2.3).
//!
//! Own messages go to every subscribed peer at once (flood publish), so that
//! delivery between neighbours never waits for a heartbeat; the mesh matters
//! for what is passed on.

mod score;

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
    parameters::GOSSIP,
};

pub(crate) use score::CUT_OFF;

/// Gossip that knows the configured topics only: what peers subscribe to
/// beside them costs us nothing.
pub(crate) type Gossip = Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// Builds the behaviour and subscribes to the topics.
pub(crate) fn gossip(keypair: &Keypair, topics: &[String]) -> Result<Gossip, Error> {
    let known: HashSet<TopicHash> = topics.iter().map(TopicHash::from_raw).collect();
    let mut gossip = Behaviour::new_with_subscription_filter(
        MessageAuthenticity::Signed(keypair.clone()),
        parameters(&known)?,
        WhitelistSubscriptionFilter(known.clone()),
    )
    .map_err(|reason| Error::Setup(reason.to_owned()))?;
    gossip
        .with_peer_score(score::parameters(known.iter()), score::thresholds())
        .map_err(Error::Setup)?;
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
        .heartbeat_interval(GOSSIP.heartbeat)
        // The first heartbeat comes one interval after this delay.
        .heartbeat_initial_delay(GOSSIP.heartbeat_delay)
        .validate_messages()
        // After a crash own messages come back from neighbours, who are right.
        .allow_self_origin(true)
        .validation_mode(ValidationMode::Strict)
        .message_id_fn(|message: &Message| MessageId::from(message_id(&message.data)))
        .duplicate_cache_time(GOSSIP.duplicates)
        .flood_publish(GOSSIP.flood_publish)
        .mesh_n(GOSSIP.mesh.peers)
        .mesh_n_low(GOSSIP.mesh.low)
        .mesh_n_high(GOSSIP.mesh.high)
        .mesh_outbound_min(GOSSIP.mesh.outbound_min)
        .gossip_lazy(GOSSIP.lazy)
        .gossip_factor(GOSSIP.lazy_share)
        .retain_scores(GOSSIP.mesh.best)
        .history_length(GOSSIP.history)
        .history_gossip(GOSSIP.history_told)
        .fanout_ttl(Duration::from_secs(60))
        .prune_backoff(GOSSIP.prune_backoff)
        .unsubscribe_backoff(Duration::from_secs(10))
        .backoff_slack(GOSSIP.backoff_slack)
        .graft_flood_threshold(Duration::from_secs(10))
        .opportunistic_graft_ticks(60)
        .opportunistic_graft_peers(2)
        .prune_peers(0)
        .max_control_messages_sent(GOSSIP.ids_max)
        .max_ihave_messages_heartbeat(GOSSIP.haves_read)
        .iwant_followup_time(GOSSIP.want_patience)
        .gossip_retransimission(GOSSIP.want_answers)
        .idontwant_message_size_threshold(GOSSIP.dont_want_bytes)
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
