//! Streams of tokens: how much flows, and who gets which part
//! (compute.md §8.2, §26).

use beth_protocol::Chain;
use beth_protocol::decimal::Decimal;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::limits;

/// `getFlow(address,address,address)`.
const SELECTOR: &str = "e6a1e888";

/// The token that streams, on both chains.
const SUPER_TOKEN: &str = "c0Fbc4967259786C743361a5885ef49380473dCF";

/// What everybody pays to the community: 0.2 as a binary double, since clients
/// compute with that.
const COMMUNITY_SHARE: &str = "0.2000000000000000111022302463";

/// 10^-18.
const WEI: &str = "0.000000000000000001";

/// Why a flow is not known.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the {chain} node at {url} does not tell the flow ({reason}); check `rpc_{chain_key}` in the configuration", chain_key = chain.to_string().to_lowercase())]
pub struct FlowFault {
    /// Which chain.
    pub chain: Chain,
    /// Who was asked.
    pub url: String,
    /// What happened.
    pub reason: String,
}

/// Knows how much flows from whom to whom.
pub trait Flows: Send + Sync + 'static {
    /// Chains that can be asked.
    fn chains(&self) -> Vec<Chain>;

    /// Tokens a second; zero when nothing flows.
    fn flow<'a>(
        &'a self,
        chain: Chain,
        sender: &'a str,
        receiver: &'a str,
    ) -> BoxFuture<'a, Result<Decimal, FlowFault>>;
}

/// The parts of the node and of the community, cut to whole wei.
pub fn split(flow: &Decimal) -> (Decimal, Decimal) {
    let share = Decimal::parse(COMMUNITY_SHARE).unwrap_or_default();
    let rest = Decimal::from(1u64).minus(&share);
    (
        flow.times(&rest).floor_cost(),
        flow.times(&share).floor_cost(),
    )
}

/// Asks nodes of the chains by JSON-RPC.
#[derive(Clone, Debug)]
pub struct ChainFlows {
    client: reqwest::Client,
    avalanche_url: String,
    base_url: String,
}

impl ChainFlows {
    /// Nodes of Avalanche and Base; an empty URL leaves a chain out.
    pub fn new(client: reqwest::Client, avalanche_url: &str, base_url: &str) -> ChainFlows {
        ChainFlows {
            client,
            avalanche_url: avalanche_url.to_owned(),
            base_url: base_url.to_owned(),
        }
    }

    fn place(&self, chain: Chain) -> Option<(&str, &'static str)> {
        let (url, agreement) = match chain {
            Chain::Avax => (
                &self.avalanche_url,
                "0x6946c5B38Ffea373b0a2340b4AEf0De8F6782e58",
            ),
            Chain::Base => (&self.base_url, "0x19ba78B9cDB05A877718841c574325fdB53601bb"),
            _ => return None,
        };
        (!url.is_empty()).then_some((url, agreement))
    }

    async fn ask(&self, chain: Chain, sender: &str, receiver: &str) -> Result<Decimal, FlowFault> {
        let fault = |url: &str, reason: String| FlowFault {
            chain,
            url: url.to_owned(),
            reason,
        };
        let (url, agreement) = self
            .place(chain)
            .ok_or_else(|| fault("", "no node of this chain is configured".into()))?;
        let (Some(sender), Some(receiver)) = (word(sender), word(receiver)) else {
            // No such account, so nothing flows from or to it.
            return Ok(Decimal::zero());
        };
        let token = word(SUPER_TOKEN).unwrap_or_default();
        let data = format!("0x{SELECTOR}{token}{sender}{receiver}");
        let request = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_call",
            "params": [{"to": agreement, "data": data}, "latest"],
        });
        let answered = async {
            let response = self.client.post(url).json(&request).send().await?;
            response.error_for_status()?.json::<Value>().await
        };
        let answered = tokio::time::timeout(limits::QUERY_DEADLINE, answered).await;
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(fault(url, error.without_url().to_string())),
            Err(_) => return Err(fault(url, "no answer in time".into())),
        };
        let result = answer.get("result").and_then(Value::as_str);
        let rate = result.and_then(flow_rate);
        rate.ok_or_else(|| {
            fault(
                url,
                format!("it answered {answer}").chars().take(200).collect(),
            )
        })
    }
}

impl Flows for ChainFlows {
    fn chains(&self) -> Vec<Chain> {
        let chains = [Chain::Avax, Chain::Base].into_iter();
        chains
            .filter(|chain| self.place(*chain).is_some())
            .collect()
    }

    fn flow<'a>(
        &'a self,
        chain: Chain,
        sender: &'a str,
        receiver: &'a str,
    ) -> BoxFuture<'a, Result<Decimal, FlowFault>> {
        Box::pin(self.ask(chain, sender, receiver))
    }
}

/// An address as 32 bytes in hexadecimal digits.
fn word(address: &str) -> Option<String> {
    let digits = address.strip_prefix("0x").unwrap_or(address);
    let is_address = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_address.then(|| format!("{:0>64}", digits.to_lowercase()))
}

/// The second word of `(timestamp, flowRate, deposit, owedDeposit)`: wei a
/// second, with a sign.
fn flow_rate(result: &str) -> Option<Decimal> {
    let words = result.strip_prefix("0x")?;
    let digits = words.get(64..128)?;
    // Of int96 all that matters is in the last 16 bytes.
    let bytes: [u8; 32] = const_hex::decode(digits).ok()?.try_into().ok()?;
    let low: [u8; 16] = bytes.last_chunk().copied()?;
    let rate = i128::from_be_bytes(low);
    let wei = Decimal::parse(&rate.to_string())?;
    Some(wei.times(&Decimal::parse(WEI)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_the_communitys() {
        let (node, community) = split(&Decimal::parse("0.000015277777777777").unwrap());
        assert_eq!(node.to_cost_string(), "0.000012222222222221");
        assert_eq!(community.to_cost_string(), "0.000003055555555555");
    }

    #[test]
    fn flows_are_read_from_an_answer() {
        let answer = |rate: &str| format!("0x{:064}{rate}{:0128}", 1, 0);
        let positive = format!("{:064x}", 12_222_222_222_221u64);
        let rate = flow_rate(&answer(&positive)).unwrap();
        assert_eq!(rate.to_cost_string(), "0.000012222222222221");
        let negative = flow_rate(&answer(&"f".repeat(64))).unwrap();
        assert!(negative.is_negative());
        for bad in ["", "0x", "0x00", &answer("zz")] {
            assert_eq!(flow_rate(bad), None, "{bad}");
        }
        let address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        let padded = "000000000000000000000000f39fd6e51aad88f6f4ce6ab8827279cfffb92266";
        assert_eq!(word(address).as_deref(), Some(padded));
        assert_eq!(word("FAe4sisG95oZ42w7buUn5qEE4TAnfTTFPiguZUHmhiF"), None);
    }
}
