//! What a parameter may be: what handlers ask for, and what the document of
//! the API says about it, are one thing.
//!
//! ```text
//!  handler ─▶ Params::integer(names, bounds) ─▶ Asked ─┐
//!                                                      ├─▶ equal, or a test fails
//!  openapi/params.rs ─▶ Kind::Integer(bounds) ─▶ document
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, Required, SchemaFormat};

use super::{Bounds, Names};

/// Item hashes as text: of a file by its SHA-256, or a CID.
pub const HASH_PATTERN: &str = "^([0-9a-f]{64}|Qm[1-9A-HJ-NP-Za-km-z]{42,44}|bafy[a-z2-7]{55})$";
/// Names of files as loosely as they are read: long enough for a hash.
const FILE_PATTERN: &str = "^([!-.0-~]{64}|Qm[!-.0-~]{42,44}|bafy[!-.0-~]{55})$";
/// The first moment that is too late for a parameter, in seconds since the epoch.
const SECONDS_MAX: f64 = 253_402_300_800.0;

/// What may be the value of a parameter.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Kind {
    /// Anything.
    Text,
    Flag,
    /// A flag that makes a difference only when it is there.
    GivenFlag,
    /// A text of at most so many characters.
    Short(usize),
    /// An integer no smaller than this, or nothing.
    AtLeast(u64),
    /// A flag that is on unless it is turned off.
    NotOff,
    /// Seconds since the epoch, with a fraction.
    Time,
    /// `sortOrder`.
    Order,
    Integer(Bounds),
    /// A comma list of anything.
    List,
    /// A comma list of item hashes.
    Hashes,
    /// One of these words.
    Choice(Vec<String>),
    /// A comma list of these words.
    Choices(Vec<String>),
    /// The parameter may occur several times.
    Repeated,
    /// A text with a meaning that has a name, such as `cursor` or `address`.
    Named(&'static str),
    /// An item hash.
    Hash,
    /// What may be the hash of a file: its length says so.
    FileHash,
}

/// The words of a table of words and meanings.
pub fn words<T>(allowed: &[(&str, T)]) -> Vec<String> {
    allowed.iter().map(|(word, _)| (*word).to_owned()).collect()
}

impl Kind {
    /// As the document shows it.
    pub fn schema(&self) -> Schema {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let array = || ArrayBuilder::new().schema_type(Type::Array);
        match self {
            Kind::Text => text().into(),
            Kind::Named(format) => text()
                .format(Some(SchemaFormat::Custom((*format).to_owned())))
                .into(),
            Kind::Hash => text().pattern(Some(HASH_PATTERN)).into(),
            Kind::FileHash => text().pattern(Some(FILE_PATTERN)).into(),
            Kind::Flag | Kind::NotOff => ObjectBuilder::new()
                .schema_type(Type::Boolean)
                .default(Some((*self == Kind::NotOff).into()))
                .into(),
            Kind::GivenFlag => ObjectBuilder::new().schema_type(Type::Boolean).into(),
            Kind::Short(chars) => text().max_length(Some(*chars)).into(),
            Kind::AtLeast(min) => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(*min))
                .maximum(Some(u64::MAX))
                .into(),
            Kind::Time => ObjectBuilder::new()
                .schema_type(Type::Number)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
                .minimum(Some(0.0))
                .exclusive_maximum(Some(SECONDS_MAX))
                .into(),
            Kind::Order => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .enum_values(Some([-1, 1]))
                .default(Some((-1).into()))
                .into(),
            Kind::Integer(bounds) => bounds.schema(),
            Kind::List | Kind::Repeated => array().items(text()).into(),
            Kind::Hashes => array()
                .items(text().pattern(Some(HASH_PATTERN)))
                .min_items(Some(1))
                .into(),
            Kind::Choice(words) => text().enum_values(Some(words.iter().cloned())).into(),
            Kind::Choices(words) => array()
                .items(text().enum_values(Some(words.iter().cloned())))
                .min_items(Some(1))
                .into(),
        }
    }

    /// A parameter of the query. The first name is documented, the others are
    /// mentioned.
    pub fn query(&self, names: Names, text: &str) -> Parameter {
        let mut parameter = ParameterBuilder::new()
            .name(names[0])
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(format!("{text}{}", others(names))))
            .schema(Some(self.schema()));
        if matches!(self, Kind::List | Kind::Hashes | Kind::Choices(_)) {
            parameter = parameter
                .style(Some(ParameterStyle::Form))
                .explode(Some(false));
        }
        parameter.build()
    }

    /// A segment of the path.
    pub fn path(&self, name: &str, text: &str) -> Parameter {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(text))
            .schema(Some(self.schema()))
            .build()
    }
}

impl Bounds {
    fn schema(&self) -> Schema {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(self.min))
            .maximum(Some(self.max))
            .default(Some(self.default.into()))
            .into()
    }
}

/// How the document mentions the other spellings of a parameter.
pub fn others(names: Names) -> String {
    match &names[1..] {
        [] => String::new(),
        others => format!(" Also read as `{}`.", others.join("`, `")),
    }
}

/// What a handler asked its parameters for. A test puts one into the
/// extensions of a request to learn it.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<Mutex<BTreeMap<&'static str, (Names, Kind)>>>);

impl Asked {
    /// Schema and the mention of other spellings, by documented name.
    pub fn parameters(&self) -> BTreeMap<String, (Value, String)> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked
            .iter()
            .map(|(name, (names, kind))| {
                let schema = serde_json::to_value(kind.schema()).unwrap_or_default();
                ((*name).to_owned(), (schema, others(names)))
            })
            .collect()
    }

    /// A parameter that is first looked at as text and then read as what it
    /// is, is what it is.
    pub(super) fn note(&self, names: Names, kind: Kind) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = asked.get(names[0]);
        if kind != Kind::Text || known.is_none() {
            asked.insert(names[0], (names, kind));
        }
    }
}
