//! What messages cost (core-api.md §8).
#![allow(dead_code, missing_docs)]

use serde_json::Value;
use utoipa::ToSchema;

use super::words::{Amount, ItemHash, PaymentType};

/// What a message costs: tokens to hold, or tokens or credits a second, by the
/// way it is paid for.
#[derive(ToSchema)]
pub struct Bill {
    charged_address: String,
    cost: Amount,
    detail: Vec<CostDetail>,
    payment_type: PaymentType,
    /// The same as `cost`, as a number.
    required_tokens: f64,
}

/// One line of a bill, in all three ways to pay.
#[derive(ToSchema)]
pub struct CostDetail {
    /// Credits a second.
    cost_credit: Amount,
    /// Tokens to hold.
    cost_hold: Amount,
    /// Tokens a second.
    cost_stream: Amount,
    name: String,
    #[schema(required)]
    size_mib: Option<f64>,
    r#type: CostType,
}

/// What a recalculation did.
#[derive(ToSchema)]
pub struct Recalculation {
    message: String,
    recalculated_count: u64,
    total_messages: u64,
    /// Price lists there ever were, the built-in one included.
    #[schema(required = false)]
    pricing_changes_found: u64,
    /// Messages without a bill; left out when there are none.
    #[schema(required = false)]
    errors: Vec<RecalculationError>,
}

/// A message whose bill could not be computed.
#[derive(ToSchema)]
pub struct RecalculationError {
    item_hash: String,
    error: String,
}

/// What a line of a bill is for.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CostType {
    Execution,
    ExecutionInstanceVolumeRootfs,
    ExecutionProgramVolumeCode,
    ExecutionProgramVolumeRuntime,
    ExecutionProgramVolumeData,
    ExecutionVolumePersistent,
    ExecutionVolumeInmutable,
    ExecutionVolumeDiscount,
    Storage,
}

/// A message that need not be signed.
#[derive(ToSchema)]
pub struct EstimateRequest {
    message: EstimatedMessage,
}

/// Any other member is ignored.
#[derive(ToSchema)]
pub struct EstimatedMessage {
    r#type: EstimatedType,
    /// The content as JSON text. Files may state their size as
    /// `estimated_size_mib`, in MiB.
    item_content: String,
    /// SHA-256 of `item_content`.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    item_hash: String,
}

/// Messages that cost something.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum EstimatedType {
    Instance,
    Program,
    Store,
    #[schema(rename = "V-PROGRAM")]
    VerifiedProgram,
}

/// The content of an INSTANCE, whose members may be left out as in a message;
/// `time` and `allow_amend`, too.
#[derive(ToSchema)]
pub struct EstimatedInstance {
    address: String,
    #[schema(value_type = Object)]
    environment: Value,
    #[schema(value_type = Object)]
    resources: Value,
    #[schema(value_type = Object)]
    rootfs: Value,
    #[schema(value_type = Object, required = false)]
    payment: Value,
    #[schema(value_type = Vec<Object>, required = false)]
    volumes: Vec<Value>,
}

/// What everything costs that a filter finds.
#[derive(ToSchema)]
pub struct Costs {
    summary: CostSummary,
    filters: CostFilters,
    /// With `include_details`: a page of resources by their hash.
    #[schema(required)]
    resources: Option<Vec<ResourceCost>>,
    #[schema(required)]
    pagination_page: Option<u64>,
    #[schema(required)]
    pagination_total: Option<u64>,
    #[schema(required)]
    pagination_per_page: Option<u64>,
    #[schema(required)]
    pagination_item: Option<String>,
}

/// Sums of all resources.
#[derive(ToSchema)]
pub struct CostSummary {
    /// Of resources that are paid in any way.
    total_consumed_credits: u64,
    total_cost_hold: Amount,
    total_cost_stream: Amount,
    total_cost_credit: Amount,
    resource_count: u64,
}

/// What was asked for.
#[derive(ToSchema)]
pub struct CostFilters {
    #[schema(required)]
    address: Option<String>,
    #[schema(required)]
    item_hash: Option<String>,
    payment_type: PaymentType,
}

/// One resource.
#[derive(ToSchema)]
pub struct ResourceCost {
    item_hash: ItemHash,
    owner: String,
    payment_type: PaymentType,
    consumed_credits: u64,
    cost_hold: Amount,
    cost_stream: Amount,
    cost_credit: Amount,
    /// With `include_details=2`: the lines of its bill.
    #[schema(required)]
    detail: Option<Vec<CostDetail>>,
}
