//! The price list: the `pricing` and `settings` aggregates of the foundation,
//! or the built-in defaults (processing.md §16.1).

use serde_json::{Map, Value};

use super::CostError;
use crate::decimal::Decimal;

/// Prices in force.
#[derive(Clone, Debug)]
pub struct Prices {
    pricing: Map<String, Value>,
    settings: Map<String, Value>,
}

/// Prices of one kind of unit: tokens held, tokens and credits per hour.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    pub hold: Decimal,
    pub stream_per_second: Decimal,
    pub credit_per_second: Decimal,
}

/// Size of a compute unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitSize {
    pub memory_mib: u64,
    pub disk_mib: u64,
}

impl Prices {
    /// The built-in price list.
    pub fn defaults() -> Prices {
        Prices::new(None, None)
    }

    /// The list in these aggregates; each one absent means its default. There
    /// is no fallback member by member.
    pub fn new(
        pricing: Option<Map<String, Value>>,
        settings: Option<Map<String, Value>>,
    ) -> Prices {
        let built_in = |text: &str| match serde_json::from_str(text) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        };
        Prices {
            pricing: pricing.unwrap_or_else(|| built_in(include_str!("default_pricing.json"))),
            settings: settings.unwrap_or_else(|| built_in(include_str!("default_settings.json"))),
        }
    }

    /// The `pricing` list.
    pub fn pricing(&self) -> &Map<String, Value> {
        &self.pricing
    }

    /// The `settings` list.
    pub fn settings(&self) -> &Map<String, Value> {
        &self.settings
    }

    fn product(&self, product: &str) -> Result<&Value, CostError> {
        self.pricing
            .get(product)
            .ok_or_else(|| CostError::NoProduct(product.to_owned()))
    }

    pub(super) fn storage(&self, product: &str) -> Result<Rate, CostError> {
        Ok(rate(&self.product(product)?["price"]["storage"]))
    }

    pub(super) fn compute_unit(&self, product: &str) -> Result<Rate, CostError> {
        let product = self.product(product)?;
        if product.get("compute_unit").is_none_or(Value::is_null) {
            return Ok(Rate::default());
        }
        Ok(rate(&product["price"]["compute_unit"]))
    }

    pub(super) fn unit_size(&self, product: &str) -> Result<UnitSize, CostError> {
        let product = self.product(product)?;
        let has_tiers = product["tiers"]
            .as_array()
            .is_some_and(|tiers| !tiers.is_empty());
        let unit = if has_tiers {
            &product["compute_unit"]
        } else {
            &Value::Null
        };
        Ok(UnitSize {
            memory_mib: unit["memory_mib"]
                .as_u64()
                .filter(|&mib| mib > 0)
                .unwrap_or(2048),
            disk_mib: unit["disk_mib"].as_u64().unwrap_or(0),
        })
    }

    /// Model of a graphics card by its device id.
    pub(super) fn gpu_model(&self, device_id: &str) -> Result<&str, CostError> {
        self.settings
            .get("compatible_gpus")
            .and_then(Value::as_array)
            .and_then(|gpus| {
                gpus.iter()
                    .find(|gpu| gpu["device_id"].as_str() == Some(device_id))
            })
            .and_then(|gpu| gpu["model"].as_str())
            .ok_or_else(|| CostError::UnknownGpu(device_id.to_owned()))
    }

    /// Compute units of a model in a product's tiers.
    pub(super) fn gpu_units(&self, product: &str, model: &str) -> Option<u64> {
        self.pricing.get(product)?["tiers"]
            .as_array()?
            .iter()
            .find(|tier| tier["model"].as_str() == Some(model))
            .and_then(|tier| tier["compute_units"].as_u64())
    }
}

fn rate(price: &Value) -> Rate {
    let amount = |key: &str| Decimal::from_json(&price[key]).unwrap_or_default();
    if let Some(single) = Decimal::from_json(price) {
        return Rate {
            hold: single,
            ..Rate::default()
        };
    }
    Rate {
        hold: amount("holding"),
        stream_per_second: amount("payg").over(3600),
        credit_per_second: amount("credit").over(3600),
    }
}
