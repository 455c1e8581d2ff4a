//! Parameters, described once for all routes that read them.
//!
//! Names, words and bounds are those that the handlers use.

use beth_protocol::{Chain, MessageType};
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};

use crate::api::params::{
    Bounds, DIRECTIONS, END_DATE, Kind, Names, SORT_ORDER, START_DATE, words,
};
use crate::api::render::ContentFormat;
use crate::api::{
    aggregates, authorizations, costs, credits, gateway, holders, measurements, messages, posts,
    senders, stream,
};

/// Declares a group of parameters for the attribute of a route.
macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident = $parameters:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                $parameters.into()
            }
        }
    )*};
}

groups! {
    /// The item hash in the path.
    HashPath = [Kind::Hash.path("item_hash", "Item hash of a message.")];
    /// Whatever is in the path.
    AnyHashPath = [Kind::Named("item-hash").path("item_hash", "Item hash of a message; it is not checked.")];
    /// The number of a page in the path.
    PagePath = [Kind::Integer(Bounds::from(1, 1)).path("page", "The number of the page, from 1.")];
    /// The address in the path.
    AddressPath = [Kind::Named("address").path("address", "An address, compared exactly.")];
    /// Which messages.
    MessageFilters = message_filters();
    /// Pages of messages.
    MessagePages = paging(messages::PAGE);
    /// Hashes by the time of their reception.
    HashFilters = [
        choice(&["status"], words(&messages::STATUSES), "Messages of this status alone."),
        Kind::Time.query(START_DATE, "Received at or after this moment. 0 means none."),
        Kind::Time.query(END_DATE, "Received before this moment. 0 means none."),
        sort_order(),
        Kind::NotOff.query(&["hash_only", "hashOnly"], "Hashes alone; or objects with the status, too."),
        pagination(messages::PAGE),
        page(),
    ];
    /// Which posts.
    PostFilters = post_filters();
    /// Pages of posts.
    PostPages = paging(posts::PAGE);
    /// Which keys of an address, and how to show them.
    AggregateView = [
        Kind::List.query(&["keys"], "These keys alone."),
        Kind::Integer(aggregates::LIMIT).query(&["limit"], "Read, and ignored."),
        Kind::Flag.query(&["with_info", "withInfo"], "Adds when and by which messages each key was written."),
        Kind::Flag.query(&["value_only", "valueOnly"], "With exactly one key: its bare value."),
    ];
    /// Which aggregates.
    AggregateFilters = [
        Kind::List.query(&["addresses"], "Owners."),
        Kind::List.query(&["keys"], "Keys."),
        choice(&["sortBy", "sort_by"], words(&aggregates::SORTS), "The time that orders the list."),
        sort_order(),
    ];
    /// Pages of aggregates.
    AggregatePages = paging(aggregates::PAGE);
    /// Signers, for counts of messages.
    Senders = [Kind::Repeated.query(&["addresses[]"], "Signers; all when it is left out. May be repeated.")];
    /// How to show a balance.
    BalanceView = [
        choice(&["chain"], chains(), "The balance on this chain alone."),
        Kind::Flag.query(&["include_credit_details", "includeCreditDetails"], "Adds the lots of credits."),
    ];
    /// Which files of an address.
    FileFilters = [
        sort_order(),
        Kind::Text.query(&["file_hash", "fileHash"], "The file of this hash alone."),
    ];
    /// Pages of files.
    FilePages = paging(Bounds::from(0, 100));
    /// Which addresses.
    SenderFilters = [
        Kind::Short(senders::CONTAINS_CHARS_MAX).query(senders::CONTAINS, "A part of the address, in any case."),
        choice(&["sortBy", "sort_by"], words(&senders::SORTS), "The count that orders the list."),
        sort_order(),
    ];
    /// Pages of addresses.
    SenderPages = paging(senders::PAGE);
    /// Which balances of tokens.
    HoldingFilters = [
        choices(&["chains"], chains(), "Balances on these chains alone."),
        Kind::AtLeast(1).query(holders::MIN_BALANCE, "Balances of so many tokens or more."),
    ];
    /// Which balances of credits.
    CreditHolderFilters = [
        Kind::AtLeast(1).query(holders::MIN_BALANCE, "Balances of so many credits or more."),
    ];
    /// Pages of balances.
    HolderPages = paging(holders::PAGE);
    /// Which credits.
    CreditFilters = credit_filters();
    /// The order of credits.
    CreditOrder = [
        choice(credits::SORT_BY, words(&credits::SORTS), "What orders the list; rows that lack it come last."),
        sort_order(),
    ];
    /// Pages of credits.
    CreditPages = paging(credits::PAGE);
    /// Which rights that an address gave.
    GrantedFilters = grant_filters(Kind::Text.query(&["grantee"], "This grantee alone."));
    /// Which rights that an address has.
    ReceivedFilters = grant_filters(Kind::Text.query(&["granter"], "This granter alone."));
    /// Pages of rights.
    GrantPages = [
        Kind::Integer(authorizations::PAGE).query(&["pagination"], "Addresses of a page."),
        page(),
    ];
    /// Which resources, and how to show them.
    CostFilters = [
        Kind::Text.query(&["address"], "What this address pays for."),
        Kind::Text.query(&["item_hash", "itemHash"], "This message alone."),
        choice(&["payment_type", "paymentType"], words(&costs::PAYMENTS), "How it is paid; `credit` when it is \
            left out."),
        Kind::Integer(costs::DETAILS).query(costs::INCLUDE_DETAILS, "1 lists the resources, 2 shows their bills, \
            too, and needs `address` or `item_hash`."),
        Kind::Flag.query(&["include_size", "includeSize"], "Adds sizes to the lines of bills."),
        Kind::Integer(costs::PAGE).query(&["pagination"], "Resources of a page."),
        page(),
    ];
    /// How to show a bill.
    PriceView = [
        Kind::Text.query(&["include_size"], "The word `true` adds sizes; any other word does not."),
    ];
    /// The order of programs.
    TriggerOrder = [Kind::Order.query(SORT_ORDER, "Oldest program first (1) or last (-1).")];
    /// What a stream begins with.
    History = [Kind::Integer(stream::HISTORY).query(&["history"], "Messages of the past, sent first.")];
    /// A STORE message in the path.
    StorePath = [Kind::Hash.path("message_hash", "Item hash of a STORE message.")];
    /// What a file is referred to by.
    ReferencePath = [Kind::Hash.path("ref", "Item hash of the first STORE message of the file.")];
    /// A name in the path.
    NamePath = [Kind::Named("file-name").path("ref", "The `ref` of the STORE messages; of an item hash, the \
        address is ignored.")];
    /// Whatever is held.
    PinnedPath = [Kind::Named("file-hash").path("hash", "The hash of a file; it is not checked.")];
    /// The token of the operator.
    OperatorToken = [ParameterBuilder::new()
        .name("X-Auth-Token")
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some("Base64 of seconds since the epoch, a colon, and the base64 of a DER signature of them."))
        .schema(Some(Kind::Text.schema()))
        .build()];
    /// The node in the path.
    NodePath = [Kind::Named("item-hash").path("node_id", "Hash of the registration of a node; it is not checked.")];
    /// Which measurements of a node.
    MeasurementFilters = [
        Kind::Time.query(measurements::FIRST, "At or after this moment; two weeks before the end when it is left out."),
        Kind::Time.query(measurements::LAST, "At or before this moment; now when it is left out."),
        choice(&["sort"], words(&DIRECTIONS), "Oldest first, unless it is told otherwise; in any case of letters."),
    ];
    /// The hash of a file in the path.
    FilePath = [Kind::FileHash.path("file_hash", "SHA-256 in hexadecimal digits, or a CID.")];
    /// The CID in the path.
    CidPath = [Kind::Named("cid").path("cid", "A CID of version 0 or 1, named by SHA-256, of DAG-PB or raw bytes.")];
    /// How a content of IPFS is sent.
    GatewayView = [
        choice(gateway::FORMAT, gateway::FORMATS.map(str::to_owned).into(), "A block as it is, or an archive of all \
            blocks; comes before `Accept`."),
        Kind::Text.query(gateway::FILENAME, "The name that the file is saved under."),
        Kind::Text.query(gateway::DOWNLOAD, "The word `true`: the file is saved rather than shown."),
        choice(gateway::SCOPE, gateway::SCOPES.map(str::to_owned).into(), "How much an archive has: one block, or \
            all; `all` when it is left out."),
    ];
    /// What is in a directory.
    StepsPath = [Kind::Named("file-path").path("path", "Names that lead to it, divided by `/`.")];
    /// Whatever is in the path.
    AnyFilePath = [Kind::Named("file-hash").path("file_hash", "The hash of a file; it is not checked.")];
}

fn choice(names: Names, words: Vec<String>, text: &str) -> Parameter {
    Kind::Choice(words).query(names, text)
}

fn choices(names: Names, words: Vec<String>, text: &str) -> Parameter {
    Kind::Choices(words).query(names, text)
}

fn chains() -> Vec<String> {
    Chain::ALL
        .iter()
        .map(|chain| chain.as_str().to_owned())
        .collect()
}

fn types() -> Vec<String> {
    MessageType::ALL
        .iter()
        .map(|kind| kind.as_str().to_owned())
        .collect()
}

fn sort_order() -> Parameter {
    Kind::Order.query(SORT_ORDER, "Ascending (1) or descending (-1).")
}

fn pagination(size: Bounds) -> Parameter {
    let text = if size.min == 0 {
        "Items of a page; 0 means all of them. At most 200 with a cursor."
    } else {
        "Items of a page. At most 200 with a cursor."
    };
    Kind::Integer(size).query(&["pagination"], text)
}

fn page() -> Parameter {
    Kind::Integer(Bounds::from(1, 1)).query(&["page"], "The number of the page, from 1.")
}

fn paging(size: Bounds) -> Vec<Parameter> {
    let cursor =
        "Where the last page ended (`next_cursor`); empty for the first. `page` is ignored then.";
    vec![
        pagination(size),
        page(),
        Kind::Named("cursor").query(&["cursor"], cursor),
    ]
}

fn dates() -> [Parameter; 2] {
    [
        Kind::Time.query(START_DATE, "At or after this moment. 0 means none."),
        Kind::Time.query(END_DATE, "Before this moment. 0 means none."),
    ]
}

fn message_filters() -> Vec<Parameter> {
    let block = Kind::Integer(messages::BLOCK);
    let mut filters = vec![
        choice(
            &["sortBy", "sort_by"],
            words(&messages::SORTS),
            "Time of the message, or of its first confirmation.",
        ),
        sort_order(),
        choice(
            &["msgType", "message_type"],
            types(),
            "One type. Deprecated: `msgTypes` does the same.",
        ),
        choices(&["msgTypes", "message_types"], types(), "Types."),
        choices(
            &["msgStatuses", "message_statuses"],
            words(&messages::STATUSES),
            "Statuses; processed and \
            removing when it is left out. `forgotten` and `removed` show what is kept of messages that are gone, \
            each alone.",
        ),
        Kind::List.query(&["addresses"], "Who signed."),
        Kind::List.query(&["owners"], "In whose name (`content.address`)."),
        Kind::List.query(&["refs"], "What they refer to (`content.ref`)."),
        Kind::Hashes.query(
            &["contentHashes", "content_hashes"],
            "Files of STORE messages.",
        ),
        Kind::List.query(
            &["contentKeys", "content_keys"],
            "Keys of AGGREGATE messages.",
        ),
        Kind::List.query(&["contentTypes", "content_types"], "Types of posts."),
        choices(&["chains"], chains(), "Chains of the signing keys."),
        Kind::List.query(&["channels"], "Channels."),
        Kind::List.query(&["tags"], "Any of these tags."),
        Kind::Hashes.query(&["hashes"], "These messages."),
        Kind::List.query(
            &["paymentTypes", "payment_types"],
            "How they are paid for, where they say so.",
        ),
        block.query(
            &["startBlock", "start_block"],
            "Confirmed at this height or later, or not confirmed. 0 means none.",
        ),
        block.query(
            &["endBlock", "end_block"],
            "Confirmed before this height. 0 means none.",
        ),
        choice(
            &["contentFormat", "content_format"],
            words(&ContentFormat::WORDS),
            "How much of a content is shown.",
        ),
        Kind::Flag.query(
            &["excludeContent", "exclude_content"],
            "Deprecated: the same as `contentFormat=none`.",
        ),
    ];
    filters.extend(dates());
    filters
}

fn post_filters() -> Vec<Parameter> {
    let mut filters = vec![
        Kind::List.query(&["addresses"], "Owners."),
        Kind::Hashes.query(&["hashes"], "Original messages."),
        Kind::List.query(&["refs"], "What the originals refer to."),
        Kind::List.query(&["types", "post_types"], "Original types."),
        Kind::List.query(&["tags"], "Any of these tags of the latest content."),
        Kind::List.query(&["channels"], "Channels of the originals."),
        choice(
            &["sortBy", "sort_by"],
            words(&posts::SORTS),
            "Time of the last amend, or of the first confirmation.",
        ),
        sort_order(),
    ];
    filters.extend(dates());
    filters
}

fn grant_filters(party: Parameter) -> Vec<Parameter> {
    let lists = authorizations::LISTS.map(|(names, text)| Kind::List.query(names, text));
    [party].into_iter().chain(lists).collect()
}

fn credit_filters() -> Vec<Parameter> {
    let mut filters: Vec<Parameter> = credits::TEXTS
        .iter()
        .map(|(names, text)| Kind::Text.query(names, text))
        .collect();
    filters.extend([
        Kind::List.query(
            credits::EXCLUDED,
            "Payment methods to leave out; rows without one are left out, too.",
        ),
        Kind::GivenFlag.query(
            credits::HAS_EXPIRATION,
            "Credits that expire (true), or that never do (false).",
        ),
        Kind::Time.query(START_DATE, "At or after this moment."),
        Kind::Time.query(END_DATE, "At or before this moment."),
        choice(
            &["direction"],
            words(&credits::DIRECTIONS),
            "Credits that came, or that went.",
        ),
        choices(
            credits::RESOURCE_TYPES,
            types(),
            "Types of the messages they concern, as long as these are in force.",
        ),
    ]);
    filters
}
