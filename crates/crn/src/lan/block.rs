//! Blocks of addresses in the notation `172.16.0.0/12` or `fc00::/7`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A block of addresses: the first one and how many leading bits all share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Block {
    first: IpAddr,
    prefix_bits: u8,
}

/// Why a text is no block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no block of addresses; write it as 172.16.0.0/12 or 2001:db8::/64")]
pub struct NotABlock(String);

impl Block {
    /// The block of so many leading bits that holds an address. More bits than
    /// the address has mean the address alone.
    pub fn around(address: IpAddr, prefix_bits: u8) -> Block {
        match address {
            IpAddr::V4(address) => {
                let prefix_bits = prefix_bits.min(32);
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(prefix_bits))
                    .unwrap_or(0);
                let first = Ipv4Addr::from_bits(address.to_bits() & mask).into();
                Block { first, prefix_bits }
            }
            IpAddr::V6(address) => {
                let prefix_bits = prefix_bits.min(128);
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(prefix_bits))
                    .unwrap_or(0);
                let first = Ipv6Addr::from_bits(address.to_bits() & mask).into();
                Block { first, prefix_bits }
            }
        }
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// How many leading bits its addresses share.
    pub fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }

    /// True when an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4()
            && Block::around(address, self.prefix_bits) == *self
    }

    /// True when it is one of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix_bits)
    }
}

impl FromStr for Block {
    type Err = NotABlock;

    fn from_str(text: &str) -> Result<Block, NotABlock> {
        let wrong = || NotABlock(text.chars().take(80).collect());
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        let block = Block::around(address, bits);
        match block.first == address && block.prefix_bits == bits {
            true => Ok(block),
            false => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Block {
    type Error = NotABlock;

    fn try_from(text: String) -> Result<Block, NotABlock> {
        text.parse()
    }
}

impl From<Block> for String {
    fn from(block: Block) -> String {
        block.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_writes_and_holds() {
        for (text, inside, outside) in [
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("169.254.169.254/32", "169.254.169.254", "169.254.169.255"),
            ("fc00::/7", "fdff::1", "fe80::1"),
            ("2001:db8::10/124", "2001:db8::1f", "2001:db8::20"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            let block: Block = text.parse().unwrap();
            assert_eq!(block.to_string(), text);
            assert!(block.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(
                !block.contains(outside.parse().unwrap()),
                "{text} {outside}"
            );
        }
    }

    #[test]
    fn refuses() {
        for text in [
            "",
            "172.16.0.0",
            "172.16.0.1/12",
            "172.16.0.0/33",
            "fc00::/129",
            "x/1",
            "1.2.3.4/-1",
        ] {
            assert!(text.parse::<Block>().is_err(), "{text}");
        }
    }
}
