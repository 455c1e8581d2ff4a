//! What messages are found by: the columns of a filter, and the ways along
//! which the table can be walked.

use beth_protocol::MessageType;
use rusqlite::types::Value;

use super::MessageFilter;
use crate::keys::type_code;
use crate::tallies::Dimension;

/// A property that a filter lists values of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Hash,
    Ref,
    File,
    Tag,
    Sender,
    Owner,
    ContentType,
    Key,
    Channel,
    Payment,
    Chain,
    Type,
}

/// What a scan walks along: an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The index of a column; for owners, those who signed themselves.
    Of(Column),
    /// Owners who did not sign themselves.
    OtherOwner,
    /// Messages about to be removed.
    Removing,
    Time,
    Confirmed,
}

/// What nearly every index ends in: a second filter that needs no row.
const TAIL: [Column; 5] = [
    Column::Type,
    Column::Sender,
    Column::Owner,
    Column::Channel,
    Column::ContentType,
];

impl Column {
    pub(super) const ALL: [Column; 12] = [
        Column::Hash,
        Column::Ref,
        Column::File,
        Column::Tag,
        Column::Sender,
        Column::Owner,
        Column::ContentType,
        Column::Key,
        Column::Channel,
        Column::Payment,
        Column::Chain,
        Column::Type,
    ];

    pub(super) fn asked(self, filter: &MessageFilter) -> Option<&Vec<String>> {
        match self {
            Column::Hash => filter.hashes.as_ref(),
            Column::Ref => filter.refs.as_ref(),
            Column::File => filter.content_hashes.as_ref(),
            Column::Tag => filter.tags.as_ref(),
            Column::Sender => filter.senders.as_ref(),
            Column::Owner => filter.owners.as_ref(),
            Column::ContentType => filter.content_types.as_ref(),
            Column::Key => filter.content_keys.as_ref(),
            Column::Channel => filter.channels.as_ref(),
            Column::Payment => filter.payment_types.as_ref(),
            Column::Chain => filter.chains.as_ref(),
            Column::Type => filter.types.as_ref(),
        }
    }

    /// Where it is counted.
    pub(super) fn dimension(self) -> Option<Dimension> {
        match self {
            Column::Tag => Some(Dimension::Tag),
            Column::Sender => Some(Dimension::Sender),
            Column::Owner => Some(Dimension::Owner),
            Column::ContentType => Some(Dimension::ContentType),
            Column::Key => Some(Dimension::Key),
            Column::Channel => Some(Dimension::Channel),
            Column::Payment => Some(Dimension::Payment),
            Column::Chain => Some(Dimension::Chain),
            Column::Hash | Column::Ref | Column::File | Column::Type => None,
        }
    }

    /// True when the table holds the id of a name and not the text.
    pub(super) fn is_named(self) -> bool {
        !matches!(
            self,
            Column::Hash
                | Column::Ref
                | Column::File
                | Column::Payment
                | Column::Chain
                | Column::Type
        )
    }

    /// The column of the table of messages (for tags, of their own).
    pub(super) fn sql(self) -> &'static str {
        match self {
            Column::Hash => "item_hash",
            Column::Ref => "content_ref",
            Column::File => "content_hash",
            Column::Tag => "tag",
            Column::Sender => "sender",
            Column::Owner => "owner",
            Column::ContentType => "content_type",
            Column::Key => "content_key",
            Column::Channel => "channel",
            Column::Payment => "payment_type",
            Column::Chain => "chain",
            Column::Type => "type",
        }
    }

    /// True when these values have an index; the common ones are found by time.
    pub(super) fn is_indexed(self, values: &[Value]) -> bool {
        match self {
            Column::Type => values
                .iter()
                .all(|value| matches!(value, Value::Integer(code) if *code > 1)),
            Column::Chain => values
                .iter()
                .all(|value| !matches!(value, Value::Text(chain) if chain == "ETH")),
            _ => true,
        }
    }
}

impl Way {
    /// The table and its index, as `t`.
    pub(super) fn from(self) -> &'static str {
        match self {
            Way::Of(Column::Hash) => "messages AS t INDEXED BY messages_hash",
            Way::Of(Column::Ref) => "messages AS t INDEXED BY messages_ref",
            Way::Of(Column::File) => "messages AS t INDEXED BY messages_content_hash",
            Way::Of(Column::Tag) => "message_tags AS t",
            // Who signed himself is found as a sender.
            Way::Of(Column::Sender | Column::Owner) => "messages AS t INDEXED BY messages_sender",
            Way::Of(Column::ContentType) => "messages AS t INDEXED BY messages_content_type",
            Way::Of(Column::Key) => "messages AS t INDEXED BY messages_key",
            Way::Of(Column::Channel) => "messages AS t INDEXED BY messages_channel",
            Way::Of(Column::Payment) => "messages AS t INDEXED BY messages_payment",
            Way::Of(Column::Chain) => "messages AS t INDEXED BY messages_chain",
            Way::Of(Column::Type) => "messages AS t INDEXED BY messages_type",
            Way::OtherOwner => "messages AS t INDEXED BY messages_owner",
            Way::Removing => "messages AS t INDEXED BY messages_removing",
            Way::Time => "messages AS t INDEXED BY messages_time",
            Way::Confirmed => "messages AS t INDEXED BY messages_confirmed",
        }
    }

    /// What the index is limited to, beside the values.
    pub(super) fn partial(self) -> Option<&'static str> {
        match self {
            Way::Of(Column::Owner) => Some("t.owner = t.sender"),
            Way::OtherOwner => Some("t.owner <> t.sender"),
            Way::Of(Column::Type) => Some("t.type > 1"),
            Way::Of(Column::Chain) => Some("t.chain <> 'ETH'"),
            Way::Removing => Some("t.status = 1"),
            _ => None,
        }
    }

    /// True when the index holds this column too.
    pub(super) fn holds(self, column: Column) -> bool {
        match self {
            Way::Of(Column::Hash | Column::File | Column::Payment | Column::Chain)
            | Way::Removing => false,
            Way::Time => column == Column::Type,
            _ => TAIL.contains(&column),
        }
    }

    /// True for the table of tags, which is not the table of messages.
    pub(super) fn is_tags(self) -> bool {
        self == Way::Of(Column::Tag)
    }
}

/// The codes of the types among these words.
pub(super) fn codes_of(types: &[String]) -> Vec<i64> {
    let known = types.iter().filter_map(|text| MessageType::parse(text));
    known.map(type_code).collect()
}
