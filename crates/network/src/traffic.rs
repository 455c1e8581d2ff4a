//! How much gossip went by, by topic, as the gossip itself counts it.

use libp2p_gossipsub::MetricsConfig;
use prometheus_client::{encoding::text::encode, registry::Registry};

use crate::{gossip::Gossip, status::TopicStatus};

/// The counters of the gossip.
#[derive(Debug)]
pub(crate) struct Traffic {
    registry: Registry,
}

impl Traffic {
    /// Lets the gossip count.
    pub(crate) fn of(gossip: Gossip) -> (Gossip, Traffic) {
        let mut registry = Registry::default();
        let gossip = gossip.with_metrics(&mut registry, MetricsConfig::default());
        (gossip, Traffic { registry })
    }

    /// The counts of a topic, into its status.
    pub(crate) fn read(&self, topics: &mut [TopicStatus]) {
        let mut text = String::new();
        // Writing to a string does not fail.
        if encode(&mut text, &self.registry).is_err() {
            return;
        }
        for line in text.lines() {
            let Some((name, topic, value)) = sample(line) else {
                continue;
            };
            let Some(status) = topics.iter_mut().find(|status| status.topic == topic) else {
                continue;
            };
            match name {
                "topic_msg_recv_counts_unfiltered_total" => status.messages_in = value,
                // New ones, until the end.
                "topic_msg_recv_counts_total" => status.duplicates = value,
                "topic_msg_recv_bytes_unfiltered_total" => status.bytes_in = value,
                "topic_msg_sent_counts_total" => status.messages_out = value,
                "topic_msg_sent_bytes_total" => status.bytes_out += value,
                "topic_msg_published_total" => status.published = value,
                "accepted_messages_per_topic_total" => status.accepted = value,
                "ignored_messages_per_topic_total" => status.withheld = value,
                _ => {}
            }
        }
        for status in topics {
            status.duplicates = status.messages_in.saturating_sub(status.duplicates);
        }
    }
}

/// `name{label="x",hash="topic"} 1` taken apart.
fn sample(line: &str) -> Option<(&str, &str, u64)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let topic = labels
        .split_once("hash=\"")
        .and_then(|(_, rest)| rest.split_once('"'))?
        .0;
    Some((name, topic, value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        let line = "topic_msg_sent_bytes_total{partial=\"false\",topic_hash=\"ALIVE\"} 12";
        assert_eq!(
            sample(line),
            Some(("topic_msg_sent_bytes_total", "ALIVE", 12))
        );
        assert_eq!(sample("x_total{hash=\"T\"} 3"), Some(("x_total", "T", 3)));
        assert_eq!(sample("# TYPE x counter"), None);
        assert_eq!(sample("memcache_misses_total 0"), None);
    }
}
