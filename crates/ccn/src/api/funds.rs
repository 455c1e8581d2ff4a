//! Whether the owner of an upload could pay for it (core-api.md §9.3).
//!
//! Stricter than judging, as upstream is: an upload is refused at the door even
//! where the message alone would be let in for free.

use beth_protocol::Content;
use beth_protocol::content::PaymentType;
use beth_protocol::cost::{self, CREDIT_SECONDS, FileRef, Sizes};
use beth_protocol::decimal::Decimal;
use beth_protocol::judge::payment::prices;
use beth_protocol::judge::rules::Rules;
use beth_protocol::time::Timestamp;
use beth_protocol::view::{View, ViewError};
use beth_store::State;

const MIB: u64 = 1 << 20;

/// The size that is billed: whole MiB.
struct Billed(u64);

impl Sizes for Billed {
    fn referenced(&self, _: FileRef<'_>) -> Option<u64> {
        None
    }

    fn stored(&self, _: &str) -> Option<u64> {
        Some(self.0)
    }
}

/// A file about to be stored.
pub struct Upload<'a> {
    /// The STORE message's content.
    pub content: &'a Content,
    /// Its item hash.
    pub item_hash: &'a str,
    /// Bytes of the file.
    pub size_bytes: u64,
}

/// True when the owner has what this file, beside everything else, needs.
pub fn suffice(
    state: &State<'_>,
    upload: &Upload<'_>,
    rules: &Rules,
    now: Timestamp,
) -> Result<bool, ViewError> {
    let billed = Billed(upload.size_bytes.div_ceil(MIB) * MIB);
    let rows = cost::bill(
        upload.item_hash,
        upload.content,
        &prices(state, rules)?,
        &billed,
    )
    .map_err(|error| ViewError(Box::new(error)))?;
    let payment = cost::payment_type(upload.content);
    let owner = upload.content.address();
    let needed = state
        .committed(owner, payment)?
        .plus(&cost::total(&rows, payment));
    Ok(match payment {
        PaymentType::Hold => state.balance(owner)? >= needed,
        PaymentType::Credit => {
            state.credit_balance(owner, now)? >= needed.times(&Decimal::from(CREDIT_SECONDS))
        }
        PaymentType::Superfluid => true,
    })
}
