//! What a message costs (processing.md §16).
//!
//! ```text
//! content + prices + file sizes ─▶ rows (execution, volumes, discount | storage) ─▶ total
//! ```
//!
//! Every row carries three amounts, one per way to pay; the total is the sum of
//! the column of the message's own payment type. Pure: sizes of files come from
//! a function, prices from an aggregate.

pub mod prices;
mod rows;

use serde::Serialize;

use crate::content::{Content, PaymentType};
use crate::decimal::Decimal;
pub use prices::Prices;

/// Smallest size a credit-paid file is billed for, in MiB.
pub const STORE_MIB_MIN: u64 = 25;
/// One day of seconds: credits must last this long.
pub const CREDIT_SECONDS: u64 = 86_400;

/// What a row pays for. The spelling is the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[allow(missing_docs)]
pub enum CostType {
    #[serde(rename = "EXECUTION")]
    Execution,
    #[serde(rename = "EXECUTION_INSTANCE_VOLUME_ROOTFS")]
    Rootfs,
    #[serde(rename = "EXECUTION_PROGRAM_VOLUME_CODE")]
    Code,
    #[serde(rename = "EXECUTION_PROGRAM_VOLUME_RUNTIME")]
    Runtime,
    #[serde(rename = "EXECUTION_PROGRAM_VOLUME_DATA")]
    Data,
    #[serde(rename = "EXECUTION_VOLUME_PERSISTENT")]
    PersistentVolume,
    #[serde(rename = "EXECUTION_VOLUME_INMUTABLE")]
    ImmutableVolume,
    #[serde(rename = "EXECUTION_VOLUME_DISCOUNT")]
    Discount,
    #[serde(rename = "STORAGE")]
    Storage,
}

impl CostType {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            CostType::Execution => "EXECUTION",
            CostType::Rootfs => "EXECUTION_INSTANCE_VOLUME_ROOTFS",
            CostType::Code => "EXECUTION_PROGRAM_VOLUME_CODE",
            CostType::Runtime => "EXECUTION_PROGRAM_VOLUME_RUNTIME",
            CostType::Data => "EXECUTION_PROGRAM_VOLUME_DATA",
            CostType::PersistentVolume => "EXECUTION_VOLUME_PERSISTENT",
            CostType::ImmutableVolume => "EXECUTION_VOLUME_INMUTABLE",
            CostType::Discount => "EXECUTION_VOLUME_DISCOUNT",
            CostType::Storage => "STORAGE",
        }
    }
}

/// One line of the bill. Amounts have 18 places.
#[derive(Clone, Debug, PartialEq)]
pub struct CostRow {
    /// What for.
    pub cost_type: CostType,
    /// Product, volume name, or the type again.
    pub name: String,
    /// The file it is about.
    pub reference: Option<String>,
    /// Tokens to hold.
    pub hold: Decimal,
    /// Tokens per second.
    pub stream: Decimal,
    /// Credits per second.
    pub credit: Decimal,
    /// Size in MiB, where the row is about storage.
    pub size_mib: Option<Decimal>,
}

impl CostRow {
    /// The amount for that way to pay.
    pub fn amount(&self, payment: PaymentType) -> &Decimal {
        match payment {
            PaymentType::Hold => &self.hold,
            PaymentType::Superfluid => &self.stream,
            PaymentType::Credit => &self.credit,
        }
    }
}

/// A price could not be computed; the message cannot be accepted now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// No product of that name in the price list.
    #[error("no price for product '{0}'")]
    NoProduct(String),
    /// The graphics card is not in the settings or has no tier.
    #[error("no price for graphics card '{0}'")]
    UnknownGpu(String),
    /// The amount does not fit the columns.
    #[error("the amount is too large")]
    TooLarge,
}

/// How a file reference is resolved to a size: by tag (follow updates) or by pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRef<'a> {
    /// STORE message hash, or tag.
    pub reference: &'a str,
    /// True: through the tag; false: the pin of exactly that message.
    pub use_latest: bool,
}

/// Sizes of files in bytes, `None` when unknown.
pub trait Sizes {
    /// Size behind a reference of an executable.
    fn referenced(&self, file: FileRef<'_>) -> Option<u64>;
    /// Size of a file by its own hash (STORE).
    fn stored(&self, file_hash: &str) -> Option<u64>;
}

/// The way a content is paid.
pub fn payment_type(content: &Content) -> PaymentType {
    content
        .payment()
        .map_or(PaymentType::Hold, |payment| payment.payment_type)
}

/// The bill of a message, empty for types that cost nothing.
pub fn bill(
    item_hash: &str,
    content: &Content,
    prices: &Prices,
    sizes: &impl Sizes,
) -> Result<Vec<CostRow>, CostError> {
    let rows = match content {
        Content::Store(store) => rows::store(item_hash, store, prices, sizes)?,
        Content::Program(program) => rows::program(program, prices, sizes)?,
        Content::Instance(instance) => rows::instance(instance, prices, sizes)?,
        Content::VerifiedProgram(program) => rows::verified(program, prices)?,
        Content::Post(_) | Content::Aggregate(_) | Content::Forget(_) => Vec::new(),
    };
    let ceiling = Decimal::from(10_000_000_000u64);
    let too_large = rows
        .iter()
        .any(|row| row.hold >= ceiling || row.stream >= ceiling || row.credit >= ceiling);
    if too_large {
        Err(CostError::TooLarge)
    } else {
        Ok(rows)
    }
}

/// The total of a bill, in the unit of the payment type.
pub fn total(rows: &[CostRow], payment: PaymentType) -> Decimal {
    rows.iter()
        .map(|row| row.amount(payment).clone())
        .sum::<Decimal>()
        .floor_cost()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::MessageType;
    use serde_json::Value;
    use std::collections::HashMap;

    struct Files {
        by_message: HashMap<String, u64>,
        by_hash: HashMap<String, u64>,
    }

    impl Sizes for Files {
        fn referenced(&self, file: FileRef<'_>) -> Option<u64> {
            self.by_message.get(file.reference).copied()
        }
        fn stored(&self, file_hash: &str) -> Option<u64> {
            self.by_hash.get(file_hash).copied()
        }
    }

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap()
    }

    #[test]
    fn recorded_bills() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../../vectors/messages/cost_vectors.json"))
                .unwrap();
        let mut files = Files {
            by_message: HashMap::new(),
            by_hash: HashMap::new(),
        };
        for file in vectors["files"].as_array().unwrap() {
            let size = file["size_bytes"].as_u64().unwrap();
            files
                .by_message
                .insert(text(file, "store_message_item_hash").into(), size);
            files.by_hash.insert(text(file, "file_hash").into(), size);
        }
        let prices = Prices::defaults();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 30);
        for case in cases {
            let label = text(case, "label");
            let kind = MessageType::parse(text(case, "type")).unwrap();
            let content = Content::parse(kind, &case["content"]).expect(label);
            let answer = bill(&"f".repeat(64), &content, &prices, &files);
            let expected = &case["expected"];
            if expected.get("error").is_some() {
                assert!(answer.is_err(), "{label}");
                continue;
            }
            let rows = answer.expect(label);
            let payment = payment_type(&content);
            assert_eq!(payment.as_str(), text(expected, "payment_type"), "{label}");
            assert_eq!(
                total(&rows, payment).to_cost_string(),
                text(expected, "total"),
                "{label}"
            );
            let shown: Vec<Value> = rows.iter().map(|row| serde_json::json!({
                "type": row.cost_type.as_str(), "name": row.name, "ref": row.reference,
                "payment_type": payment.as_str(), "cost_hold": row.hold.to_cost_string(),
                "cost_stream": row.stream.to_cost_string(), "cost_credit": row.credit.to_cost_string(),
            })).collect();
            assert_eq!(Value::Array(shown), expected["rows"], "{label}");
        }
    }
}
