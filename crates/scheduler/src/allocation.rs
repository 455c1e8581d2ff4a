//! Allocations: what a compute node must run, and the signature under which it
//! is told (network.md §23.2, compute.md §5.4).

use std::collections::BTreeSet;

use beth_protocol::placement::Kind;
use beth_protocol::{Account, ItemHash};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The route that takes it.
pub const PATH: &str = "/control/allocations";

/// The complete desired state of one compute node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Allocation {
    /// Programs that run all the time.
    pub persistent_vms: BTreeSet<ItemHash>,
    /// Instances.
    pub instances: BTreeSet<ItemHash>,
    /// Functions that this node is to answer for.
    pub on_demand_vms: BTreeSet<ItemHash>,
    /// Always empty.
    pub jobs: BTreeSet<ItemHash>,
}

impl Allocation {
    /// Adds a workload.
    pub fn insert(&mut self, item_hash: &ItemHash, kind: Kind) {
        let list = match kind {
            Kind::Persistent => &mut self.persistent_vms,
            Kind::Instance => &mut self.instances,
            Kind::OnDemand => &mut self.on_demand_vms,
        };
        list.insert(item_hash.clone());
    }
}

/// The header `Authorization` of a POST to [`PATH`]. `issued_at`: Unix seconds.
pub fn authorization(body: &[u8], issued_at: i64, account: &Account) -> String {
    let digest = const_hex::encode(Sha256::digest(body));
    let payload = serde_json::json!({"body_sha256": digest, "iat": issued_at, "method": "POST", "path": PATH}).to_string();
    let signature = account.sign_text(payload.as_bytes());
    format!(
        "Aleph-EIP191-V1 sig={signature},payload=0x{}",
        const_hex::encode(payload)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use beth_protocol::signature::evm;

    fn vector() -> serde_json::Value {
        serde_json::from_str(include_str!(
            "../../../vectors/network/scheduler/allocation_auth_eip191.json"
        ))
        .unwrap()
    }

    #[test]
    fn signs_as_upstream_does() {
        let vector = vector();
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        let account = Account::ethereum(&text("signer_private_key_hex")).unwrap();
        assert_eq!(account.address(), text("signer"));
        assert_eq!(
            account.sign_text(text("payload_utf8").as_bytes()),
            format!("0x{}", text("signature_hex"))
        );
    }

    #[test]
    fn the_header_says_what_was_signed() {
        let vector = vector();
        let account =
            Account::ethereum(vector["signer_private_key_hex"].as_str().unwrap()).unwrap();
        let header = authorization(
            vector["body_utf8"].as_str().unwrap().as_bytes(),
            1_785_000_000,
            &account,
        );
        let (signature, payload) = header
            .strip_prefix("Aleph-EIP191-V1 sig=")
            .unwrap()
            .split_once(",payload=0x")
            .unwrap();
        let payload = const_hex::decode(payload).unwrap();
        let fields: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            fields,
            serde_json::from_str::<serde_json::Value>(vector["payload_utf8"].as_str().unwrap())
                .unwrap()
        );
        assert!(evm::verify(&payload, signature, account.address()));
    }

    #[test]
    fn sorts_workloads_by_kind() {
        let mut allocation = Allocation::default();
        for (index, kind) in [Kind::OnDemand, Kind::Persistent, Kind::Instance]
            .into_iter()
            .enumerate()
        {
            allocation.insert(&ItemHash::of_bytes(&[index as u8]), kind);
        }
        let json = serde_json::to_value(&allocation).unwrap();
        for (index, name) in ["on_demand_vms", "persistent_vms", "instances"]
            .into_iter()
            .enumerate()
        {
            assert_eq!(
                json[name],
                serde_json::json!([ItemHash::of_bytes(&[index as u8])])
            );
        }
    }
}
