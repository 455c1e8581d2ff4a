//! Addresses and dates that give messages a special meaning (processing.md
//! §17, §20). Every one can be configured, so that private networks work.

use serde::{Deserialize, Serialize};

/// Special addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Whose `balances-update` posts are believed.
    pub balances_addresses: Vec<String>,
    /// Whose credit posts are believed.
    pub credits_addresses: Vec<String>,
    /// Channels on which credit posts are believed.
    pub credits_channels: Vec<String>,
    /// Owner of the `pricing` and `settings` aggregates.
    pub pricing_address: String,
    /// Owner of the `corechannel` aggregate.
    pub corechannel_address: String,
    /// Whose `aleph-network-metrics` posts are believed.
    pub scoring_addresses: Vec<String>,
    /// The channel on which they are.
    pub scoring_channel: String,
    /// Owners whose aggregates are stored but never built.
    pub unbuilt_aggregate_owners: Vec<String>,
}

impl Default for Rules {
    /// The public network.
    fn default() -> Rules {
        let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
        Rules {
            balances_addresses: list(&[
                "0xB34f25f2c935bCA437C061547eA12851d719dEFb",
                "0xa1B3bb7d2332383D96b7796B908fB7f7F3c2Be10",
            ]),
            credits_addresses: list(&["0x2E4454fAD1906c0Ce6e45cBFA05cE898Ac3AC1dC"]),
            credits_channels: list(&["ALEPH_CREDIT"]),
            pricing_address: "0xFba561a84A537fCaa567bb7A2257e7142701ae2A".into(),
            corechannel_address: "0xa1B3bb7d2332383D96b7796B908fB7f7F3c2Be10".into(),
            scoring_addresses: list(&["0x4D52380D3191274a04846c89c069E6C3F2Ed94e4"]),
            scoring_channel: "aleph-scoring".into(),
            unbuilt_aggregate_owners: list(&["0x51A58800b26AA1451aaaA803d1746687cB88E0501"]),
        }
    }
}

/// Post type of token balances.
pub const BALANCES_POST_TYPE: &str = "balances-update";
/// Post type of measurements of nodes.
pub const METRICS_POST_TYPE: &str = "aleph-network-metrics";
/// Post type of credit grants.
pub const CREDIT_DISTRIBUTION_POST_TYPE: &str = "aleph_credit_distribution";
/// Post type of used credits.
pub const CREDIT_EXPENSE_POST_TYPE: &str = "aleph_credit_expense";
/// Post type of credits that change hands.
pub const CREDIT_TRANSFER_POST_TYPE: &str = "aleph_credit_transfer";

/// Before this envelope time STORE and on-demand PROGRAM are free (strictly).
pub const COST_CUTOFF_SECONDS: i64 = 1_743_775_079;
/// From this envelope time INSTANCE and persistent PROGRAM pay with credits.
pub const HOLD_AND_STREAM_CUTOFF_SECONDS: i64 = 1_773_187_200;
/// From this envelope time STORE and PROGRAM pay with credits too.
pub const CREDIT_ONLY_CUTOFF_SECONDS: i64 = 1_798_761_600;
/// Before this content time credit amounts count
/// [`CREDIT_PRECISION_FACTOR`] times.
pub const CREDIT_PRECISION_CUTOFF_SECONDS: i64 = 1_769_990_400;
/// See [`CREDIT_PRECISION_CUTOFF_SECONDS`].
pub const CREDIT_PRECISION_FACTOR: i64 = 10_000;
/// From this height of its first confirmation on ETH, what is held for a
/// message must be there (processing.md §17, §18.2).
pub const COST_CUTOFF_HEIGHT: i64 = 22_196_000;
