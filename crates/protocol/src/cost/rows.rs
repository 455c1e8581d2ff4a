//! The rows of each kind of bill (processing.md §16.2–§16.7).

use super::prices::Rate;
use super::{CostError, CostRow, CostType, FileRef, Prices, STORE_MIB_MIN, Sizes};
use crate::content::machine::{MachineResources, Volume};
use crate::content::{
    InstanceContent, PaymentType, ProgramContent, StoreContent, VerifiedProgramContent,
};
use crate::decimal::Decimal;

const PREMIUM: &str = "instance_gpu_premium";
const STANDARD: &str = "instance_gpu_standard";

fn mib(bytes: u64) -> Decimal {
    // A division by 2^20 is exact in at most 20 further digits.
    Decimal::from(bytes).over(1 << 20)
}

fn least_credit(payment: PaymentType, credit: Decimal) -> Decimal {
    if payment == PaymentType::Credit {
        credit.max(Decimal::from(1u64).over(3600))
    } else {
        credit
    }
}

/// One storage row before rounding.
struct Disk {
    cost_type: CostType,
    name: String,
    reference: Option<String>,
    size_mib: Decimal,
}

impl Disk {
    fn row(self, rate: &Rate, payment: PaymentType) -> CostRow {
        let credit = least_credit(payment, self.size_mib.times(&rate.credit_per_second));
        CostRow {
            cost_type: self.cost_type,
            name: self.name,
            reference: self.reference,
            hold: self.size_mib.times(&rate.hold).floor_cost(),
            stream: self.size_mib.times(&rate.stream_per_second).floor_cost(),
            credit: credit.floor_cost(),
            size_mib: Some(self.size_mib),
        }
    }
}

pub(super) fn store(
    item_hash: &str,
    content: &StoreContent,
    prices: &Prices,
    sizes: &impl Sizes,
) -> Result<Vec<CostRow>, CostError> {
    let payment = content
        .payment
        .as_ref()
        .map_or(PaymentType::Hold, |p| p.payment_type);
    let bytes = sizes.stored(content.item_hash.as_str()).unwrap_or(0);
    if bytes == 0 {
        return Ok(Vec::new());
    }
    let size_mib = mib(bytes);
    let mut billed = size_mib.clone();
    if payment == PaymentType::Credit {
        billed = billed.max(Decimal::from(STORE_MIB_MIN));
    }
    let disk = Disk {
        cost_type: CostType::Storage,
        name: CostType::Storage.as_str().into(),
        reference: Some(item_hash.to_owned()),
        size_mib: billed,
    };
    let mut row = disk.row(&prices.storage("storage")?, payment);
    row.size_mib = Some(size_mib);
    Ok(vec![row])
}

pub(super) fn program(
    content: &ProgramContent,
    prices: &Prices,
    sizes: &impl Sizes,
) -> Result<Vec<CostRow>, CostError> {
    let persistent = content.on.persistent == Some(true);
    let product = if persistent {
        "program_persistent"
    } else {
        "program"
    };
    let payment = content
        .payment
        .as_ref()
        .map_or(PaymentType::Hold, |p| p.payment_type);
    let multiplier = if !persistent && content.environment.internet {
        2
    } else {
        1
    };
    let mut disks = Vec::new();
    let mut file = |cost_type: CostType, reference: &str, use_latest: bool| {
        if let Some(bytes) = sizes.referenced(FileRef {
            reference,
            use_latest,
        }) {
            let name = cost_type.as_str().into();
            disks.push(Disk {
                cost_type,
                name,
                reference: Some(reference.to_owned()),
                size_mib: mib(bytes),
            });
        }
    };
    file(
        CostType::Code,
        content.code.reference.as_str(),
        content.code.use_latest,
    );
    file(
        CostType::Runtime,
        content.runtime.reference.as_str(),
        content.runtime.use_latest,
    );
    if let Some(data) = &content.data {
        file(
            CostType::Data,
            data.reference.as_str(),
            data.use_latest == Some(true),
        );
    }
    disks.extend(volumes(&content.volumes, sizes));
    let machine = Machine {
        product,
        payment,
        multiplier,
        resources: &content.resources,
    };
    machine.rows(disks, prices)
}

pub(super) fn instance(
    content: &InstanceContent,
    prices: &Prices,
    sizes: &impl Sizes,
) -> Result<Vec<CostRow>, CostError> {
    let payment = content
        .payment
        .as_ref()
        .map_or(PaymentType::Hold, |p| p.payment_type);
    let mut disks = vec![Disk {
        cost_type: CostType::Rootfs,
        name: CostType::Rootfs.as_str().into(),
        reference: Some(content.rootfs.parent.reference.to_string()),
        size_mib: Decimal::from(content.rootfs.size_mib),
    }];
    disks.extend(volumes(&content.volumes, sizes));
    let gpus: Vec<&str> = content
        .requirements
        .iter()
        .flat_map(|r| r.gpu.iter().flatten())
        .map(|gpu| gpu.device_id.as_str())
        .collect();
    if !gpus.is_empty() {
        return gpu_instance(&gpus, &content.resources, payment, disks, prices);
    }
    let confidential = content.environment.trusted_execution.is_some();
    let product = if confidential {
        "instance_confidential"
    } else {
        "instance"
    };
    Machine {
        product,
        payment,
        multiplier: 1,
        resources: &content.resources,
    }
    .rows(disks, prices)
}

pub(super) fn verified(
    content: &VerifiedProgramContent,
    prices: &Prices,
) -> Result<Vec<CostRow>, CostError> {
    let payment = content
        .payment
        .as_ref()
        .map_or(PaymentType::Credit, |p| p.payment_type);
    let product = "instance_confidential";
    Machine {
        product,
        payment,
        multiplier: 1,
        resources: &content.resources,
    }
    .rows(Vec::new(), prices)
}

fn volumes(volumes: &[Volume], sizes: &impl Sizes) -> Vec<Disk> {
    let mut disks = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let (cost_type, reference, size_mib, mount) = match volume {
            Volume::Immutable(v) => {
                let file = FileRef {
                    reference: v.reference.as_str(),
                    use_latest: v.use_latest,
                };
                let Some(bytes) = sizes.referenced(file) else {
                    continue;
                };
                (
                    CostType::ImmutableVolume,
                    Some(v.reference.to_string()),
                    mib(bytes),
                    &v.mount,
                )
            }
            Volume::Persistent(v) => (
                CostType::PersistentVolume,
                None,
                Decimal::from(v.size_mib),
                &v.mount,
            ),
            Volume::Ephemeral(v) => (
                CostType::PersistentVolume,
                None,
                Decimal::from(v.size_mib),
                &v.mount,
            ),
        };
        let label = match mount.as_deref() {
            Some(mount) if !mount.is_empty() => mount.to_owned(),
            _ => format!("CostType.{}", cost_type.as_str()),
        };
        disks.push(Disk {
            cost_type,
            name: format!("#{index}:{label}"),
            reference,
            size_mib,
        });
    }
    disks
}

/// An executable without graphics cards.
struct Machine<'a> {
    product: &'static str,
    payment: PaymentType,
    multiplier: u64,
    resources: &'a MachineResources,
}

impl Machine<'_> {
    fn rows(&self, disks: Vec<Disk>, prices: &Prices) -> Result<Vec<CostRow>, CostError> {
        let size = prices.unit_size(self.product)?;
        let units = self
            .resources
            .vcpus
            .max(self.resources.memory.div_ceil(size.memory_mib));
        let rate = prices.compute_unit(self.product)?;
        let billed = Decimal::from(units.saturating_mul(self.multiplier));
        let credit = least_credit(self.payment, billed.times(&rate.credit_per_second));
        let mut rows = vec![CostRow {
            cost_type: CostType::Execution,
            name: self.product.into(),
            reference: None,
            hold: billed.times(&rate.hold).floor_cost(),
            stream: billed.times(&rate.stream_per_second).floor_cost(),
            credit: credit.floor_cost(),
            size_mib: None,
        }];
        let storage = prices.storage(self.product)?;
        let included = Decimal::from(size.disk_mib.saturating_mul(units));
        rows.extend(with_discount(disks, &storage, self.payment, &included));
        Ok(rows)
    }
}

fn with_discount(
    disks: Vec<Disk>,
    storage: &Rate,
    payment: PaymentType,
    included_mib: &Decimal,
) -> Vec<CostRow> {
    let mut rows: Vec<CostRow> = disks
        .into_iter()
        .map(|disk| disk.row(storage, payment))
        .collect();
    let sum = |amount: fn(&CostRow) -> &Decimal| {
        rows.iter().map(|row| amount(row).clone()).sum::<Decimal>()
    };
    let discount =
        |spent: Decimal, rate: &Decimal| spent.min(included_mib.times(rate)).negated().floor_cost();
    let row = CostRow {
        cost_type: CostType::Discount,
        name: CostType::Discount.as_str().into(),
        reference: None,
        hold: discount(sum(|r| &r.hold), &storage.hold),
        stream: discount(sum(|r| &r.stream), &storage.stream_per_second),
        credit: discount(sum(|r| &r.credit), &storage.credit_per_second),
        size_mib: None,
    };
    rows.push(row);
    rows
}

fn gpu_instance(
    device_ids: &[&str],
    resources: &MachineResources,
    payment: PaymentType,
    disks: Vec<Disk>,
    prices: &Prices,
) -> Result<Vec<CostRow>, CostError> {
    // Products in order of first use, with their units.
    let mut products: Vec<(&'static str, u64)> = Vec::new();
    for device_id in device_ids {
        let model = prices.gpu_model(device_id)?;
        let (product, units) = [PREMIUM, STANDARD]
            .into_iter()
            .find_map(|product| {
                prices
                    .gpu_units(product, model)
                    .map(|units| (product, units))
            })
            .ok_or_else(|| CostError::UnknownGpu(model.to_owned()))?;
        match products.iter_mut().find(|(name, _)| *name == product) {
            Some(entry) => entry.1 += units,
            None => products.push((product, units)),
        }
    }
    let dominant = if products.iter().any(|(name, _)| *name == PREMIUM) {
        PREMIUM
    } else {
        STANDARD
    };
    let needed = resources.vcpus.max(
        resources
            .memory
            .div_ceil(prices.unit_size(dominant)?.memory_mib),
    );
    let granted: u64 = products.iter().map(|(_, units)| units).sum();
    if let Some(entry) = products.iter_mut().find(|(name, _)| *name == dominant) {
        entry.1 += needed.saturating_sub(granted);
    }
    let mut rows = Vec::new();
    for (product, units) in &products {
        let rate = prices.compute_unit(product)?;
        let units = Decimal::from(*units);
        rows.push(CostRow {
            cost_type: CostType::Execution,
            name: (*product).into(),
            reference: None,
            hold: units.times(&rate.hold).floor_cost(),
            stream: units.times(&rate.stream_per_second).floor_cost(),
            credit: units.times(&rate.credit_per_second).floor_cost(),
            size_mib: None,
        });
    }
    let size = prices.unit_size(PREMIUM)?;
    let units = resources
        .vcpus
        .max(resources.memory.div_ceil(size.memory_mib));
    let included = Decimal::from(size.disk_mib.saturating_mul(units));
    rows.extend(with_discount(
        disks,
        &prices.storage(PREMIUM)?,
        payment,
        &included,
    ));
    Ok(rows)
}
