//! Payment: balances that posts set, and checks that resources need
//! (processing.md §14, §15).

use std::cell::RefCell;

use serde_json::{Value, json};

use super::rules::{
    BALANCES_POST_TYPE, COST_CUTOFF_SECONDS, CREDIT_ONLY_CUTOFF_SECONDS,
    HOLD_AND_STREAM_CUTOFF_SECONDS,
};
use super::{BalanceUpdate, Complete, Effect, Effects, Rules, Stop, machines};
use crate::Chain;
use crate::content::{Content, PaymentType, PostContent};
use crate::cost::{self, CREDIT_SECONDS, CostError, FileRef, Prices, Sizes};
use crate::decimal::Decimal;
use crate::limits::FREE_STORE_BYTES_MAX;
use crate::message::ItemType;
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;
use crate::view::{View, ViewError};

/// Prices as the state has them now.
pub fn prices<V: View>(view: &V, rules: &Rules) -> Result<Prices, ViewError> {
    Ok(Prices::new(
        view.aggregate(&rules.pricing_address, "pricing")?,
        view.aggregate(&rules.pricing_address, "settings")?,
    ))
}

/// File sizes as the state has them. A size that could not be read looks like
/// an unknown one until [`check`](Self::check): no bill may be used before.
pub struct ViewSizes<'a, V> {
    view: &'a V,
    failure: RefCell<Option<ViewError>>,
}

impl<'a, V: View> ViewSizes<'a, V> {
    /// The sizes of this state.
    pub fn new(view: &'a V) -> ViewSizes<'a, V> {
        ViewSizes {
            view,
            failure: RefCell::new(None),
        }
    }

    /// The first failed read since the last check, if there was one.
    pub fn check(&self) -> Result<(), ViewError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    fn known<T>(&self, read: Result<Option<T>, ViewError>) -> Option<T> {
        read.unwrap_or_else(|failure| {
            self.failure.borrow_mut().get_or_insert(failure);
            None
        })
    }
}

impl<V: View> Sizes for ViewSizes<'_, V> {
    fn referenced(&self, file: FileRef<'_>) -> Option<u64> {
        let hash = self.known(machines::resolve(file, self.view))?;
        self.stored(&hash)
    }

    fn stored(&self, file_hash: &str) -> Option<u64> {
        self.known(self.view.file_size(file_hash))
    }
}

/// Bills a resource and checks that its owner can pay.
pub(super) fn judge_resource<V: View>(
    complete: &Complete,
    view: &V,
    rules: &Rules,
    now: Timestamp,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let content = &complete.content.typed;
    let payment = cost::payment_type(content);
    let time = complete.message.time;
    method_is_allowed(content, payment, time)?;
    let item_hash = complete.message.item_hash.as_str();
    let sizes = ViewSizes::new(view);
    let bill = cost::bill(item_hash, content, &prices(view, rules)?, &sizes);
    sizes.check()?;
    let rows =
        bill.map_err(|error: CostError| Rejection::text(Code::InternalError, error.to_string()))?;
    let total = cost::total(&rows, payment);
    let owner = content.address().to_owned();
    if let Some(due) = due(content, payment, time, &total, view)? {
        check_funds(&owner, payment, &due, view, now)?;
    }
    effects.push(Effect::Costs {
        owner,
        payment,
        rows,
    });
    Ok(())
}

fn is_always_on(content: &Content) -> bool {
    match content {
        Content::Program(program) => program.on.persistent == Some(true),
        Content::Instance(_) | Content::VerifiedProgram(_) => true,
        _ => false,
    }
}

fn method_is_allowed(
    content: &Content,
    payment: PaymentType,
    time: Timestamp,
) -> Result<(), Rejection> {
    if payment == PaymentType::Credit {
        return Ok(());
    }
    let verified = matches!(content, Content::VerifiedProgram(_));
    let too_late = time >= Timestamp::from_seconds(CREDIT_ONLY_CUTOFF_SECONDS)
        || (is_always_on(content)
            && time >= Timestamp::from_seconds(HOLD_AND_STREAM_CUTOFF_SECONDS));
    if verified || too_late {
        Err(Rejection::bare(Code::InvalidPaymentMethod))
    } else {
        Ok(())
    }
}

/// What must be there beside everything else; `None`: nothing is checked. A
/// small file costs its holder nothing, but one of the storage engine is only
/// taken from who can pay for the rest (processing.md §15.4).
fn due<V: View>(
    content: &Content,
    payment: PaymentType,
    time: Timestamp,
    total: &Decimal,
    view: &V,
) -> Result<Option<Decimal>, ViewError> {
    if !is_always_on(content) && time < Timestamp::from_seconds(COST_CUTOFF_SECONDS) {
        return Ok(None);
    }
    let Content::Store(store) = content else {
        return Ok((payment != PaymentType::Superfluid).then(|| total.clone()));
    };
    let size = view.file_size(store.item_hash.as_str())?.unwrap_or(0);
    let is_small = payment == PaymentType::Hold && (1..=FREE_STORE_BYTES_MAX).contains(&size);
    Ok(match store.item_type {
        _ if !is_small => Some(total.clone()),
        ItemType::Storage => Some(Decimal::zero()),
        ItemType::Ipfs | ItemType::Inline => None,
    })
}

fn check_funds<V: View>(
    owner: &str,
    payment: PaymentType,
    total: &Decimal,
    view: &V,
    now: Timestamp,
) -> Result<(), Stop> {
    if payment == PaymentType::Credit {
        let available = view.credit_balance(owner, now)?;
        let per_second = view.committed(owner, PaymentType::Credit)?.plus(total);
        let required = per_second.times(&Decimal::from(CREDIT_SECONDS));
        if available >= required {
            return Ok(());
        }
        return Err(Rejection::with(
            Code::CreditInsufficient,
            vec![json!({
                "required_credits": required.to_string(),
                "account_credits": available.to_string(),
                "min_runtime_days": 1,
            })],
        )
        .into());
    }
    let balance = view.balance(owner)?;
    let required = view.committed(owner, payment)?.plus(total);
    if balance >= required {
        return Ok(());
    }
    Err(Rejection::with(
        Code::BalanceInsufficient,
        vec![json!({
            "required_balance": required.to_string(),
            "account_balance": balance.to_string(),
        })],
    )
    .into())
}

/// Posts that set balances (processing.md §14.1).
pub(super) fn judge_balances(
    post: &PostContent,
    rules: &Rules,
    effects: &mut Effects,
) -> Result<(), Stop> {
    let is_believed =
        post.post_type == BALANCES_POST_TYPE && rules.balances_addresses.contains(&post.address);
    if is_believed && is_truthy(&post.content) {
        effects.push(Effect::Balances(balances(&post.content)?));
    }
    Ok(())
}

/// False for null, false, zero and everything empty: such contents of special
/// posts say nothing.
pub(super) fn is_truthy(content: &Value) -> bool {
    match content {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// A missing chain or height is the sender's fault; what else is wrong with
/// such a post counts as ours on the network (code -1, tried again).
fn balances(content: &Value) -> Result<Vec<BalanceUpdate>, Rejection> {
    let (Some(chain), Some(height)) = (content.get("chain"), content.get("main_height")) else {
        return Err(Rejection::invalid_format(
            "Missing field(s) chain and/or main_height for balance post",
        ));
    };
    let unusable = || Rejection::bare(Code::InternalError);
    let chain = chain.as_str().and_then(Chain::parse).ok_or_else(unusable)?;
    let height = height.as_i64().ok_or_else(unusable)?;
    let entries = content["balances"].as_object().ok_or_else(unusable)?;
    let dapp = match &content["dapp"] {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        _ => None,
    };
    entries
        .iter()
        .map(|(address, balance)| {
            Ok(BalanceUpdate {
                address: address.clone(),
                chain: chain.as_str().to_owned(),
                dapp: dapp.clone(),
                balance: Decimal::from_json(balance).ok_or_else(unusable)?,
                height,
            })
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::judge::testing::{Known, complete};
    use crate::judge::{Verdict, judge};

    #[test]
    fn an_unreadable_size_is_no_bill() {
        let hash = "0".repeat(64);
        let content =
            json!({"address": "0xA", "time": 1, "item_type": "storage", "item_hash": hash});
        let store = complete("STORE", "0xA", content);
        let mut view = Known::default();
        view.files.insert(hash.clone(), 100 << 20);
        for (unreadable, is_judged) in [(None, true), (Some(hash), false)] {
            view.unreadable = unreadable;
            let now = Timestamp::from_seconds(1);
            let verdict = judge(&store, &view, &Rules::default(), now);
            assert_eq!(verdict.is_ok(), is_judged, "{verdict:?}");
            if let Ok(verdict) = verdict {
                let Verdict::Accept(effects) = verdict else {
                    panic!("{verdict:?}");
                };
                let rows = effects.iter().find_map(|effect| match effect {
                    Effect::Costs { rows, .. } => Some(rows.len()),
                    _ => None,
                });
                assert_eq!(rows, Some(1));
            }
        }
    }
}
