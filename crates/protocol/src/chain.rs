//! The 33 chains a message may name, and how each one's signatures are checked
//! (messages.md §2.2).

use serde::{Deserialize, Serialize};

/// How signatures of a chain are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scheme {
    Evm,
    Ed25519,
    Substrate,
    Cosmos,
    Nuls,
    Nuls2,
    Avalanche,
    Tezos,
    /// The chain parses, but nobody can verify it.
    Unverifiable,
}

macro_rules! chains {
    ($($variant:ident $text:literal $name:literal $scheme:ident),* $(,)?) => {
        /// A chain, by its value in `chain`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum Chain { $(#[serde(rename = $text)] $variant),* }

        impl Chain {
            /// Every chain, in the order of its value.
            pub const ALL: &'static [Chain] = &[$(Chain::$variant),*];

            /// The wire spelling.
            pub fn as_str(self) -> &'static str { match self { $(Chain::$variant => $text),* } }

            /// Upstream's member name, used in one error text.
            pub fn member_name(self) -> &'static str { match self { $(Chain::$variant => $name),* } }

            /// How its signatures are verified.
            pub fn scheme(self) -> Scheme { match self { $(Chain::$variant => Scheme::$scheme),* } }

            /// Reads the wire spelling (case sensitive).
            pub fn parse(text: &str) -> Option<Chain> {
                match text { $($text => Some(Chain::$variant),)* _ => None }
            }
        }
    };
}

chains! {
    Arb "ARB" "ARBITRUM" Evm, Aurora "AURORA" "AURORA" Unverifiable, Avax "AVAX" "AVAX" Avalanche,
    Base "BASE" "BASE" Evm, Blast "BLAST" "BLAST" Evm, Bob "BOB" "BOB" Evm, Bsc "BSC" "BSC" Evm,
    Csdk "CSDK" "CSDK" Cosmos, Cyber "CYBER" "CYBER" Evm, Dot "DOT" "DOT" Substrate,
    Es "ES" "ECLIPSE" Ed25519, Eth "ETH" "ETH" Evm, Etherlink "ETHERLINK" "ETHERLINK" Evm,
    Frax "FRAX" "FRAXTAL" Evm, Hype "HYPE" "HYPE" Evm, Ink "INK" "INK" Evm, Lens "LENS" "LENS" Evm,
    Linea "LINEA" "LINEA" Evm, Lisk "LISK" "LISK" Evm, Metis "METIS" "METIS" Evm,
    Mode "MODE" "MODE" Evm, Neo "NEO" "NEO" Evm, Nuls "NULS" "NULS" Nuls, Nuls2 "NULS2" "NULS2" Nuls2,
    Op "OP" "OPTIMISM" Evm, Pol "POL" "POL" Evm, Sol "SOL" "SOL" Ed25519, Stt "STT" "SOMNIA" Unverifiable,
    Sonic "SONIC" "SONIC" Evm, Tezos "TEZOS" "TEZOS" Tezos, Unichain "UNICHAIN" "UNICHAIN" Evm,
    Wld "WLD" "WORLDCHAIN" Evm, Zora "ZORA" "ZORA" Evm,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_three_chains_round_trip() {
        assert_eq!(Chain::ALL.len(), 33);
        for &chain in Chain::ALL {
            assert_eq!(Chain::parse(chain.as_str()), Some(chain));
        }
        assert_eq!(Chain::parse("eth"), None);
    }
}
