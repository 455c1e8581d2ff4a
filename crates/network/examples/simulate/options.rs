//! The words of the command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::model::settings::{Scenario, Settings};

/// What is asked for.
#[derive(Debug, Default)]
pub struct Options {
    pub settings: Settings,
    /// Where figures go, as `figure,at,value`.
    pub csv: Option<PathBuf>,
    /// Where the picture of four runs goes.
    pub plot: Option<PathBuf>,
    /// So many real nodes beside the model of them.
    pub real: Option<usize>,
}

/// What there is.
pub const USAGE: &str = "simulate [options]
  --nodes 1000              --neighbours 30 | all    of a node, half of them called by it
  --messages 100            --rate 5                 a second, all nodes together
  --bytes 10000             of a message
  --latency 50-150          one way, in ms           --bandwidth 100     Mbit/s each way
  --loss 0                  share of packets         --upstream-share 0  of nodes
  --check 50                µs before passing on     --seed 1
  --scenario calm | churn | partition
  --dont-want 1000          bytes from which copies are cancelled; off: never
  --flood on | off          own messages go to all neighbours
  --mesh 6/5/12/2           members: wanted, fewest, most, outbound
  --lazy 6/0.25             neighbours told of messages: fewest, share
  --visits 30/2             seconds to a neighbour in step, to one that was not
  --redial 1/60             seconds: first pause before a lost neighbour is called, longest
  --settle 0                ms for which visits leave messages to the gossip
  --csv FILE                the distribution of delays
  --plot FILE               an SVG of 100 and 1,000 nodes
  --real NODES              so many real nodes in this process, and the model of them";

impl Options {
    /// Reads words; an error says which one is wrong.
    pub fn read(words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options::default();
        let mut words = words;
        while let Some(name) = words.next() {
            let value = words.next().ok_or(format!("{name} needs a value"))?;
            options
                .set(&name, &value)
                .ok_or(format!("{name} {value} is not understood"))?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let settings = &mut self.settings;
        match name {
            "--nodes" => settings.nodes = number(value)?,
            "--neighbours" if value == "all" => settings.neighbours = None,
            "--neighbours" => settings.neighbours = Some(number(value)?),
            "--messages" => settings.messages = number(value)?,
            "--rate" => settings.rate = number(value)?,
            "--bytes" => settings.bytes = number(value)?,
            "--latency" => {
                let (low, high) = value.split_once('-')?;
                settings.latency = (milliseconds(low)?, milliseconds(high)?);
            }
            "--bandwidth" => settings.bandwidth = (number::<f64>(value)? * 1e6) as u64,
            "--loss" => settings.loss = number(value)?,
            "--upstream-share" => settings.upstream_share = number(value)?,
            "--check" => settings.check = Duration::from_micros(number(value)?),
            "--seed" => settings.seed = number(value)?,
            "--scenario" => {
                let known = Scenario::ALL.iter().find(|(name, _)| *name == value);
                settings.scenario = known?.1;
            }
            "--settle" => settings.settle = milliseconds(value)?,
            "--csv" => self.csv = Some(value.into()),
            "--plot" => self.plot = Some(value.into()),
            "--real" => self.real = Some(number(value)?),
            _ => self.set_parameter(name, value)?,
        }
        Some(())
    }

    /// Those that nodes have for all of them in [`beth_network::parameters`].
    fn set_parameter(&mut self, name: &str, value: &str) -> Option<()> {
        let Settings {
            gossip,
            visits,
            redials,
            ..
        } = &mut self.settings;
        match name {
            "--dont-want" if value == "off" => gossip.dont_want_bytes = usize::MAX,
            "--dont-want" => gossip.dont_want_bytes = number(value)?,
            "--flood" => gossip.flood_publish = value == "on",
            "--mesh" => {
                let parts: Vec<usize> = value.split('/').map_while(number).collect();
                let mesh = &mut gossip.mesh;
                [mesh.peers, mesh.low, mesh.high, mesh.outbound_min] = parts.try_into().ok()?;
            }
            "--lazy" => {
                let (least, share) = value.split_once('/')?;
                (gossip.lazy, gossip.lazy_share) = (number(least)?, number(share)?);
            }
            "--visits" => {
                let (period, again) = value.split_once('/')?;
                visits.period = Duration::from_secs_f64(number(period)?);
                visits.again = Duration::from_secs_f64(number(again)?);
            }
            "--redial" => {
                let (first, longest) = value.split_once('/')?;
                redials.first = Duration::from_secs_f64(number(first)?);
                redials.longest = Duration::from_secs_f64(number(longest)?);
            }
            _ => return None,
        }
        Some(())
    }
}

fn number<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

fn milliseconds(value: &str) -> Option<Duration> {
    Some(Duration::from_millis(number(value)?))
}
