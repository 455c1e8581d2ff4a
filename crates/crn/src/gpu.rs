//! Graphics cards that can be given to a machine (compute.md §18).
//!
//! Only what `lspci -mmnnn` tells: displays and accelerators that no driver of
//! this node holds (`vfio-pci`). A card of a vendor that we do not know is left
//! out; it must not keep the node from starting.

use serde::Serialize;

use crate::network_settings::CompatibleGpu;

/// One card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// `NVIDIA`, `AMD` or `Intel`.
    pub vendor: String,
    /// Product name of the network's settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// As the bus names it.
    pub device_name: String,
    /// `0300` or `0302`.
    pub device_class: String,
    /// `02:00.0`.
    pub pci_host: String,
    /// `10de:26b9`.
    pub device_id: String,
    /// The network pays for it.
    pub compatible: bool,
}

/// The cards in the output of `lspci -mmnnn`, of those that `is_free` accepts
/// by their place on the bus.
pub fn parse(text: &str, is_free: impl Fn(&str) -> bool) -> Vec<Gpu> {
    text.lines()
        .filter_map(card)
        .filter(|card| is_free(&card.pci_host))
        .collect()
}

/// Says which cards the network pays for, and as what.
pub fn name_models(gpus: &mut [Gpu], known: &[CompatibleGpu]) {
    for gpu in gpus {
        let known = known.iter().find(|known| known.device_id == gpu.device_id);
        gpu.compatible = known.is_some();
        gpu.model = known.map(|known| known.model.clone());
    }
}

fn card(line: &str) -> Option<Gpu> {
    let (place, rest) = line.split_once(' ')?;
    let mut fields = rest.split('"').skip(1).step_by(2);
    let (class, vendor, device) = (fields.next()?, fields.next()?, fields.next()?);
    let device_class = number(class)?;
    if !matches!(device_class, "0300" | "0302") {
        return None;
    }
    let vendor_id = number(vendor)?;
    let vendor = match vendor_id {
        "10de" => "NVIDIA",
        "1002" => "AMD",
        "8086" => "Intel",
        _ => return None,
    };
    let device_name = device.rsplit_once(" [")?.0;
    Some(Gpu {
        vendor: vendor.to_owned(),
        model: None,
        device_name: device_name.to_owned(),
        device_class: device_class.to_owned(),
        pci_host: place.to_owned(),
        device_id: format!("{vendor_id}:{}", number(device)?),
        compatible: false,
    })
}

/// `26b9` of `AD102GL [L40S] [26b9]`.
fn number(text: &str) -> Option<&str> {
    let (_, number) = text.strip_suffix(']')?.rsplit_once('[')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then_some(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_a_bus() {
        let text = "\
00:02.0 \"VGA compatible controller [0300]\" \"Some Vendor [abcd]\" \"Strange [0001]\" -r01 \"\" \"\"
01:00.0 \"VGA compatible controller [0300]\" \"NVIDIA Corporation [10de]\" \"AD104 [RTX 4000] [27b2]\" -ra1 \"x\" \"y\"
02:00.0 \"3D controller [0302]\" \"NVIDIA Corporation [10de]\" \"AD102GL [L40S] [26b9]\" -ra1 \"NVIDIA [10de]\" \"Device [1851]\"
03:00.0 \"Ethernet controller [0200]\" \"Intel Corporation [8086]\" \"I210 [1533]\" \"\" \"\"
nonsense
";
        let mut gpus = parse(text, |place| place != "01:00.0");
        let known = CompatibleGpu {
            model: "L40S".into(),
            device_id: "10de:26b9".into(),
            ..CompatibleGpu::default()
        };
        name_models(&mut gpus, &[known]);
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/crn/usage_capability.json"))
                .unwrap();
        let recorded = &vectors["responses"]["/about/usage/system"]["body"]["gpu"]["devices"];
        assert_eq!(&serde_json::to_value(&gpus).unwrap(), recorded);
        name_models(&mut gpus, &[]);
        assert!(!gpus[0].compatible && gpus[0].model.is_none());
    }
}
