//! Credit posts (processing.md §14.2). Unknown members are dropped; an
//! amount is an integer of JSON above zero, nothing that only looks like one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::scalar::{integer, number, text};
use super::walk::{Fields, Reader, Walk};
use super::{SchemaError, quoted};
use crate::credits::{Charge, Distribution, Grant, Handover};
use crate::decimal::Decimal;
use crate::hash::excerpt;
use crate::time::Timestamp;

/// Reads `{"distribution": {…}}`.
pub(crate) fn distribution(value: &Value) -> Result<Distribution, Vec<SchemaError>> {
    whole(value, |walk, value| {
        let fields = walk.object(value, "CreditDistributionContent")?;
        fields.required(walk, "distribution", |walk, value| {
            let mark = walk.mark();
            let fields = walk.object(value, "CreditDistributionList")?;
            let grants = entries(&fields, walk, grant);
            let token = fields.required(walk, "token", text);
            let chain = fields.required(walk, "chain", text);
            walk.clean(mark)?;
            Some(Distribution {
                token: token?,
                chain: chain?,
                grants: grants?,
            })
        })
    })
}

/// Reads `{"expense": {…}}`.
pub(crate) fn expense(value: &Value) -> Result<Vec<Charge>, Vec<SchemaError>> {
    whole(value, |walk, value| {
        let fields = walk.object(value, "CreditExpenseContent")?;
        fields.required(walk, "expense", |walk, value| {
            let fields = walk.object(value, "CreditExpenseList")?;
            entries(&fields, walk, charge)
        })
    })
}

/// Reads `{"transfer": {…}}`.
pub(crate) fn transfer(value: &Value) -> Result<Vec<Handover>, Vec<SchemaError>> {
    whole(value, |walk, value| {
        let fields = walk.object(value, "CreditTransferContent")?;
        let handovers = fields.required(walk, "transfer", |walk, value| {
            let fields = walk.object(value, "CreditTransferList")?;
            entries(&fields, walk, handover)
        })?;
        let recipients: BTreeSet<&str> = handovers.iter().map(|h| h.address.as_str()).collect();
        if recipients.len() < handovers.len() {
            walk.broken("Duplicate recipient addresses are not allowed in a single transfer");
            return None;
        }
        Some(handovers)
    })
}

/// Faults as the network writes them into one text: a list of dictionaries,
/// here with the kind, the place and the sentence of each.
pub(crate) fn written(faults: &[SchemaError]) -> String {
    let faults: Vec<String> = faults.iter().map(written_one).collect();
    format!("[{}]", faults.join(", "))
}

fn written_one(fault: &SchemaError) -> String {
    let steps: Vec<String> = fault
        .loc
        .iter()
        .map(|step| match step {
            Value::String(key) => quoted(key),
            index => index.to_string(),
        })
        .collect();
    let place = match steps.as_slice() {
        [one] => format!("({one},)"),
        several => format!("({})", several.join(", ")),
    };
    format!(
        "{{'type': {}, 'loc': {place}, 'msg': {}}}",
        quoted(&fault.kind),
        quoted(&fault.msg)
    )
}

fn whole<'v, T>(
    value: &'v Value,
    read: impl FnOnce(&mut Walk<'v>, &'v Value) -> Option<T>,
) -> Result<T, Vec<SchemaError>> {
    let mut walk = Walk::default();
    read(&mut walk, value).ok_or_else(|| walk.into_faults())
}

fn entries<'v, T>(fields: &Fields<'v>, walk: &mut Walk<'v>, read: Reader<'v, T>) -> Option<Vec<T>> {
    fields.required(walk, "credits", |walk, value| {
        let entries = walk.list(value, usize::MAX, read)?;
        walk.not_empty(&entries)?;
        Some(entries)
    })
}

fn grant<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Grant> {
    let mark = walk.mark();
    let fields = walk.object(value, "CreditDistributionEntry")?;
    let address = fields.required(walk, "address", address);
    let amount = fields.required(walk, "amount", amount);
    let price = fields.required(walk, "price", price);
    let tx_hash = fields.required(walk, "tx_hash", text);
    let provider = fields.required(walk, "provider", text);
    let expiration = fields.nullable(walk, "expiration", expiration);
    let origin = fields.nullable(walk, "origin", text);
    let reference = fields.nullable(walk, "ref", text);
    let payment_method = fields.nullable(walk, "payment_method", text);
    let bonus_amount = fields.nullable(walk, "bonus_amount", bonus);
    walk.clean(mark)?;
    Some(Grant {
        address: address?,
        amount: amount?,
        expiration: expiration?.flatten(),
        price: price?,
        tx_hash: tx_hash?,
        provider: provider?,
        origin: origin?,
        reference: reference?,
        payment_method: payment_method?,
        bonus_amount: bonus_amount?.flatten(),
    })
}

fn charge<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Charge> {
    let mark = walk.mark();
    let fields = walk.object(value, "CreditExpenseEntry")?;
    let address = fields.required(walk, "address", address);
    let amount = fields.required(walk, "amount", amount);
    let reference = fields.nullable(walk, "ref", text);
    let execution_id = fields.nullable(walk, "execution_id", text);
    let node_id = fields.nullable(walk, "node_id", text);
    let price = fields.nullable(walk, "price", price);
    fields.nullable(walk, "time", number);
    let count = fields.nullable(walk, "count", count);
    let size_mib = fields.nullable(walk, "size", size);
    walk.clean(mark)?;
    Some(Charge {
        address: address?,
        amount: amount?,
        reference: reference?,
        execution_id: execution_id?,
        node_id: node_id?,
        price: price?,
        count: count?,
        size_mib: size_mib?,
    })
}

fn handover<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Handover> {
    let mark = walk.mark();
    let fields = walk.object(value, "CreditTransferEntry")?;
    let address = fields.required(walk, "address", address);
    let amount = fields.required(walk, "amount", amount);
    let expiration = fields.nullable(walk, "expiration", expiration);
    walk.clean(mark)?;
    Some(Handover {
        address: address?,
        amount: amount?,
        expiration: expiration?.flatten(),
    })
}

fn address<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<String> {
    let address = text(walk, value)?;
    if address.trim().is_empty() {
        walk.broken("address must not be empty");
        return None;
    }
    Some(address)
}

fn amount<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<i64> {
    let kind = match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            return match number.as_i64() {
                Some(amount) if amount > 0 => Some(amount),
                Some(_) => {
                    let msg = "Input should be greater than 0";
                    walk.fault("greater_than", msg, json!({"gt": 0}));
                    None
                }
                None => too_large(walk),
            };
        }
        Value::Number(_) => "float",
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    walk.broken(format!("amount must be an integer, got {kind}"));
    None
}

fn too_large<T>(walk: &mut Walk<'_>) -> Option<T> {
    let msg = format!("Input should be less than or equal to {}", i64::MAX);
    walk.fault("less_than_equal", msg, json!({"le": i64::MAX}));
    None
}

/// Milliseconds since the epoch; zero is no end.
fn expiration<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Option<Timestamp>> {
    let millis = integer(walk, value)?;
    if millis == 0 {
        return Some(None);
    }
    let time = Timestamp::from_seconds_f64(millis as f64 / 1e3);
    if time.is_none() {
        walk.broken("expiration must be in milliseconds, between the years 1 and 9999");
    }
    // Whole milliseconds are exact in the type, not as a float.
    time.map(|_| Some(Timestamp::from_micros(millis as i64 * 1_000)))
}

fn price<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Decimal> {
    let price = Decimal::from_json(value);
    if price.is_none() {
        match value {
            Value::String(text) => walk.broken(format!(
                "price must be a valid decimal string, got {}",
                quoted(excerpt(text))
            )),
            other => drop(text(walk, other)),
        }
    }
    price
}

fn bonus<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Option<i64>> {
    if matches!(value, Value::Bool(false)) || value == "" {
        return Some(None);
    }
    let bonus = integer(walk, value)?;
    match i64::try_from(bonus) {
        Ok(bonus) => Some(Some(bonus).filter(|bonus| *bonus != 0)),
        Err(_) => too_large(walk),
    }
}

fn count<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<i64> {
    let count = integer(walk, value)?;
    if count < 0 {
        negative(walk);
        return None;
    }
    i64::try_from(count).ok().or_else(|| too_large(walk))
}

fn size<'v>(walk: &mut Walk<'v>, value: &'v Value) -> Option<Decimal> {
    match Decimal::from_json(value) {
        Some(size) if size.is_negative() => {
            negative(walk);
            None
        }
        Some(size) => Some(size),
        None => {
            let msg = "Input should be a valid decimal";
            walk.fault("decimal_parsing", msg, Value::Null);
            None
        }
    }
}

fn negative(walk: &mut Walk<'_>) {
    let msg = "Input should be greater than or equal to 0";
    walk.fault("greater_than_equal", msg, json!({"ge": 0}));
}
