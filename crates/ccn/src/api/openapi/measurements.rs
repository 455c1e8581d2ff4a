//! Measurements of nodes (core-api.md §10.5).
#![allow(dead_code, missing_docs)]

use utoipa::ToSchema;

use super::words::ItemHash;

/// How a core node performed.
#[derive(ToSchema)]
pub struct CoreNodeMeasurements {
    metrics: CoreNodeColumns,
}

/// Columns of equal length; times in seconds, null when a probe failed.
#[derive(ToSchema)]
pub struct CoreNodeColumns {
    /// The post that states the measurement.
    item_hash: Vec<ItemHash>,
    /// Seconds since the epoch.
    measured_at: Vec<f64>,
    base_latency: Vec<Option<f64>>,
    base_latency_ipv4: Vec<Option<f64>>,
    metrics_latency: Vec<Option<f64>>,
    aggregate_latency: Vec<Option<f64>>,
    file_download_latency: Vec<Option<f64>>,
    /// Messages that waited.
    pending_messages: Vec<Option<f64>>,
    /// Blocks that were not read yet.
    eth_height_remaining: Vec<Option<f64>>,
}

/// How a compute node performed.
#[derive(ToSchema)]
pub struct ComputeNodeMeasurements {
    metrics: ComputeNodeColumns,
}

/// Columns of equal length; times in seconds, null when a probe failed.
#[derive(ToSchema)]
pub struct ComputeNodeColumns {
    /// The post that states the measurement.
    item_hash: Vec<ItemHash>,
    /// Seconds since the epoch.
    measured_at: Vec<f64>,
    base_latency: Vec<Option<f64>>,
    base_latency_ipv4: Vec<Option<f64>>,
    full_check_latency: Vec<Option<f64>>,
    diagnostic_vm_latency: Vec<Option<f64>>,
}
