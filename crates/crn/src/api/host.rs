//! Host names of programs: the base32 form of an item hash (compute.md §10.1).

pub(super) mod txt;

use std::net::IpAddr;

use beth_protocol::ItemHash;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A digest of 32 bytes takes 52 characters of 5 bits.
const LABEL_CHARACTERS: usize = 52;

/// The host label of a program: 52 characters; `None` for CIDs.
pub fn label_of(item_hash: &ItemHash) -> Option<String> {
    let mut label = String::with_capacity(LABEL_CHARACTERS);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in item_hash.digest()? {
        buffer = buffer << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            label.push(char::from(ALPHABET[(buffer >> bits) as usize & 31]));
        }
    }
    label.push(char::from(ALPHABET[(buffer << (5 - bits)) as usize & 31]));
    Some(label)
}

/// The item hash of a host label, in any case; `None` for other labels.
pub fn item_hash_of_label(label: &str) -> Option<ItemHash> {
    if label.len() != LABEL_CHARACTERS {
        return None;
    }
    let (mut buffer, mut bits) = (0u32, 0);
    let mut digest = Vec::with_capacity(32);
    for character in label.bytes() {
        let value = ALPHABET
            .iter()
            .position(|&known| known == character.to_ascii_lowercase())?;
        buffer = buffer << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            digest.push((buffer >> bits & 0xff) as u8);
        }
    }
    digest.try_into().ok().map(ItemHash::of_digest)
}

/// The program that a `Host` header names.
pub(super) fn item_hash_of_host(host: &str) -> Option<ItemHash> {
    item_hash_of_label(host.split(['.', ':']).next()?)
}

/// True when a `Host` header means the node itself: its domain name, an
/// address, or `localhost`.
pub(super) fn is_own_name(host: &str, domain_name: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
        {
            name
        }
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case(domain_name)
        || name == "localhost"
        || address.parse::<IpAddr>().is_ok()
}

/// True for names below the node's own: labels of programs, or nothing.
pub(super) fn is_below(host: &str, domain_name: &str) -> bool {
    let name = host.split(':').next().unwrap_or_default();
    let name = name.trim_end_matches('.').to_lowercase();
    name.strip_suffix(&domain_name.to_lowercase())
        .is_some_and(|label| label.ends_with('.'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn own_names() {
        for host in [
            "crn.example.org",
            "CRN.example.org:443",
            "127.0.0.1:4020",
            "[::1]:4020",
            "localhost:1",
        ] {
            assert!(is_own_name(host, "crn.example.org"), "{host}");
        }
        for host in [
            "",
            "other.example.org",
            "x.crn.example.org",
            "localhost.evil",
        ] {
            assert!(!is_own_name(host, "crn.example.org"), "{host}");
        }
    }

    #[test]
    fn labels_of_the_vectors() {
        let text = include_str!("../../../../vectors/crn/addressing.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        for case in vectors["base32"].as_array().unwrap() {
            let item_hash = ItemHash::parse(case["item_hash"].as_str().unwrap()).unwrap();
            let label = case["label"].as_str().unwrap();
            assert_eq!(label_of(&item_hash).unwrap(), label);
            assert_eq!(
                item_hash_of_label(&label.to_uppercase()).unwrap(),
                item_hash
            );
            assert_eq!(
                item_hash_of_host(&format!("{label}.example.org:8443")).unwrap(),
                item_hash
            );
            assert_eq!(item_hash_of_label(&label[..50]), None);
        }
    }
}
