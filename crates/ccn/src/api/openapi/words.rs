//! Words and texts that occur everywhere, with the values that the protocol
//! knows.

use std::borrow::Cow;

use beth_protocol::{Chain as ProtocolChain, MessageType as ProtocolType};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::api::messages::STATUSES;
use crate::api::params::{HASH_PATTERN, words};

/// Declares the schema of a text.
macro_rules! texts {
    ($($(#[doc = $doc:literal])* $name:ident = $schema:expr;)*) => {$(
        $(#[doc = $doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let schema: ObjectBuilder = $schema;
                schema.description(Some(concat!($($doc),*).trim())).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )*};
}

texts! {
    /// SHA-256 of the content in hexadecimal digits, or a CID.
    ItemHash = text().pattern(Some(HASH_PATTERN));
    /// A chain whose keys sign messages.
    Chain = one_of(ProtocolChain::ALL.iter().map(|chain| chain.as_str().to_owned()));
    /// What a message is about.
    MessageType = one_of(ProtocolType::ALL.iter().map(|kind| kind.as_str().to_owned()));
    /// Where the content is: in the message, in a file of this network, in IPFS.
    ItemType = one_of(["inline", "storage", "ipfs"].map(str::to_owned));
    /// What became of a message.
    Status = one_of(words(&STATUSES));
    /// How a message is paid for.
    PaymentType = one_of(["hold", "superfluid", "credit"].map(str::to_owned));
    /// A moment as ISO 8601, UTC.
    Moment = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    /// An amount as decimal text with 18 digits behind the point.
    Amount = text().pattern(Some(r"^-?[0-9]+\.[0-9]{18}$"));
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn one_of(words: impl IntoIterator<Item = String>) -> ObjectBuilder {
    text().enum_values(Some(words))
}
