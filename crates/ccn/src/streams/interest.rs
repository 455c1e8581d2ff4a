//! What a client wants to hear: the filters of a list (core-api.md §3.1), asked
//! of one message. Nothing is copied to answer.

use beth_protocol::content::PostContent;
use beth_protocol::{Content, Status};
use beth_store::query::messages::MessageFilter;
use beth_store::rows::StoredMessage;
use serde_json::Value;

/// How a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// With its content.
    Full,
    /// Without.
    Bare,
}

/// Which messages, and how.
#[derive(Clone, Debug)]
pub(crate) struct Interest {
    filter: MessageFilter,
    pub form: Form,
}

/// What a client can be filed under, the most selective first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filed {
    Hash,
    File,
    Reference,
    Tag,
    Key,
    Sender,
    Owner,
    Channel,
    ContentType,
    Payment,
    Type,
    Chain,
}

impl Filed {
    pub const COUNT: usize = 12;
    pub const ALL: [Filed; Filed::COUNT] = [
        Filed::Hash,
        Filed::File,
        Filed::Reference,
        Filed::Tag,
        Filed::Key,
        Filed::Sender,
        Filed::Owner,
        Filed::Channel,
        Filed::ContentType,
        Filed::Payment,
        Filed::Type,
        Filed::Chain,
    ];
}

impl Interest {
    /// Dates and blocks are about the history and do not count here.
    /// Each value counts once, and is found by halving.
    pub fn new(mut filter: MessageFilter, form: Form) -> Interest {
        let lists = [
            &mut filter.hashes,
            &mut filter.content_hashes,
            &mut filter.refs,
            &mut filter.tags,
            &mut filter.content_keys,
            &mut filter.senders,
            &mut filter.owners,
            &mut filter.channels,
            &mut filter.content_types,
            &mut filter.payment_types,
            &mut filter.types,
            &mut filter.chains,
        ];
        for values in lists.into_iter().flatten() {
            values.sort_unstable();
            values.dedup();
        }
        Interest { filter, form }
    }

    /// True when no new message can be wanted.
    pub fn is_empty(&self) -> bool {
        let statuses = self.filter.statuses.as_ref();
        statuses.is_some_and(|wanted| !wanted.contains(&Status::Processed))
    }

    /// The values of the filter that lets the fewest messages pass.
    pub(super) fn most_selective(&self) -> Option<(Filed, &[String])> {
        Filed::ALL
            .into_iter()
            .find_map(|filed| Some((filed, self.values(filed)?)))
    }

    fn values(&self, filed: Filed) -> Option<&[String]> {
        let filter = &self.filter;
        let values = match filed {
            Filed::Hash => &filter.hashes,
            Filed::File => &filter.content_hashes,
            Filed::Reference => &filter.refs,
            Filed::Tag => &filter.tags,
            Filed::Key => &filter.content_keys,
            Filed::Sender => &filter.senders,
            Filed::Owner => &filter.owners,
            Filed::Channel => &filter.channels,
            Filed::ContentType => &filter.content_types,
            Filed::Payment => &filter.payment_types,
            Filed::Type => &filter.types,
            Filed::Chain => &filter.chains,
        };
        values.as_deref()
    }

    /// True when every filter lets the message pass.
    pub(super) fn wants(&self, facts: &Facts<'_>) -> bool {
        Filed::ALL.into_iter().all(|filed| {
            let Some(wanted) = self.values(filed) else {
                return true;
            };
            let mut passes = false;
            facts.values(filed, |value| {
                passes = passes
                    || wanted
                        .binary_search_by(|word| word.as_str().cmp(value))
                        .is_ok();
            });
            passes
        })
    }
}

/// What filters ask about a message.
pub(super) struct Facts<'a> {
    hash: &'a str,
    sender: &'a str,
    owner: &'a str,
    message_type: &'a str,
    chain: &'a str,
    channel: Option<&'a str>,
    payment: Option<&'a str>,
    content_type: Option<&'a str>,
    reference: Option<&'a str>,
    key: Option<&'a str>,
    file: Option<&'a str>,
    tags: &'a [Value],
}

impl<'a> Facts<'a> {
    pub fn of(stored: &'a StoredMessage, typed: &'a Content) -> Facts<'a> {
        let message = &stored.message;
        let payment = typed.payment();
        let facts = Facts {
            hash: message.item_hash.as_str(),
            sender: &message.sender,
            owner: typed.address(),
            message_type: message.message_type.as_str(),
            chain: message.chain.as_str(),
            channel: message.channel.as_deref(),
            payment: payment.map(|payment| payment.payment_type.as_str()),
            content_type: None,
            reference: None,
            key: None,
            file: None,
            tags: tags(&stored.content, typed),
        };
        match typed {
            Content::Post(post @ PostContent { post_type, .. }) => Facts {
                content_type: Some(post_type),
                reference: post.reference(),
                ..facts
            },
            Content::Aggregate(aggregate) => Facts {
                key: Some(aggregate.key()),
                ..facts
            },
            Content::Store(store) => Facts {
                reference: store.reference.as_deref(),
                file: Some(store.item_hash.as_str()),
                ..facts
            },
            Content::Program(program) => Facts {
                content_type: Some(&program.machine_type),
                ..facts
            },
            Content::Instance(_) | Content::VerifiedProgram(_) | Content::Forget(_) => facts,
        }
    }

    /// Tells each value that the message has there; only tags are several.
    pub fn values(&self, filed: Filed, mut tell: impl FnMut(&'a str)) {
        let one = match filed {
            Filed::Tag => return self.tags.iter().filter_map(Value::as_str).for_each(tell),
            Filed::Hash => Some(self.hash),
            Filed::File => self.file,
            Filed::Reference => self.reference,
            Filed::Key => self.key,
            Filed::Sender => Some(self.sender),
            Filed::Owner => Some(self.owner),
            Filed::Channel => self.channel,
            Filed::ContentType => self.content_type,
            Filed::Payment => self.payment,
            Filed::Type => Some(self.message_type),
            Filed::Chain => Some(self.chain),
        };
        if let Some(value) = one {
            tell(value);
        }
    }
}

/// The tags of a content, wherever its type has them.
fn tags<'a>(raw: &'a Value, typed: &Content) -> &'a [Value] {
    let path = match typed {
        Content::Post(_) | Content::Aggregate(_) => "/content/tags",
        Content::Store(_) => "/tags",
        Content::Program(_) | Content::Instance(_) | Content::VerifiedProgram(_) => {
            "/metadata/tags"
        }
        Content::Forget(_) => return &[],
    };
    let tags = raw.pointer(path).and_then(Value::as_array);
    tags.map_or(&[], Vec::as_slice)
}
