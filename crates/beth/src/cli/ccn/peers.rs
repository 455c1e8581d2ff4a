//! `beth ccn peers`: who is connected to a running node.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beth_ccn::control::{Client, ControlError};
use beth_ccn::peers::{Peer, Peers, Source, Topic};
use serde_json::json;

use super::section;
use crate::cli::Outcome;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, size};
use crate::node::Signals;

/// Pause between two looks with `--watch`.
const PERIOD: Duration = Duration::from_secs(2);
/// Characters of a name that a column shows.
const NAME_CHARS: usize = 22;
/// Absent peers that are shown without `--json`.
const ABSENT_SHOWN: usize = 20;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Config file of the node
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Look again every 2 seconds until interrupted; with --json an object a line
    #[arg(long)]
    watch: bool,
}

/// Runs it.
pub async fn run(args: Args) -> Outcome {
    let output = Output::new(args.json);
    show(&args, output)
        .await
        .map_err(|failure| (output, failure))
}

async fn show(args: &Args, output: Output) -> Result<(), Failure> {
    let folder = section(&args.config)?.folder;
    let open = Client::open(&folder).await;
    let client = open.map_err(|error| failed(&error, &args.config))?;
    let mut signals = Signals::listen().map_err(|error| Failure::new(format!("{error:#}")))?;
    let is_terminal = std::io::stdout().is_terminal();
    let paint = Paint(is_terminal && std::env::var_os("NO_COLOR").is_none());
    loop {
        let asked = client.peers().await;
        let peers = asked.map_err(|error| failed(&error, &args.config))?;
        if args.watch && is_terminal && !output.is_json() {
            output.bytes(b"\x1b[2J\x1b[H")?;
        }
        output.result(&text_of(&peers, paint), &json!(peers))?;
        if !args.watch {
            return Ok(());
        }
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

fn failed(error: &ControlError, config: &Path) -> Failure {
    match error {
        ControlError::Absent(_) => Failure::new(format!(
            "{error}: start it with `beth ccn --config {}`",
            config.display()
        )),
        _ => Failure::new(error.to_string()),
    }
}

/// Colours, for terminals alone.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

fn text_of(peers: &Peers, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.with("1", &peers.peer_id));
    for address in &peers.listening {
        let place = address.split("/p2p/").next().unwrap_or(address);
        text += &format!("  listens on {place}\n");
    }
    for address in &peers.external {
        text += &format!("  reached at {address}\n");
    }
    let rows: Vec<Vec<String>> = peers.connected.iter().map(row_of).collect();
    let heads = [
        "PEER", "ADDRESS", "WAY", "AGENT", ">TRIP", ">SCORE", "MESH", "COMPARED",
    ];
    let count = peers.connected.len();
    text += &titled(&format!("{count} connected"), &heads, &rows, paint);
    if !peers.absent.is_empty() {
        let rows: Vec<Vec<String>> = peers
            .absent
            .iter()
            .take(ABSENT_SHOWN)
            .map(|peer| vec![short(&peer.id), place_of(&peer.address), peer.why.clone()])
            .collect();
        let title = format!("{} known and not connected", peers.absent.len());
        text += &titled(&title, &["PEER", "ADDRESS", "WHY"], &rows, paint);
    }
    let rows: Vec<Vec<String>> = peers.topics.iter().map(topic_row).collect();
    let heads = [
        "TOPIC", ">PEERS", ">MESH", ">IN", ">BYTES", ">OUT", ">BYTES", ">AGAIN", ">WRONG",
    ];
    text += &titled("gossip since the start", &heads, &rows, paint);
    let sources = &peers.contents;
    let rows: Vec<Vec<String>> = sources.iter().map(source_row).collect();
    let heads = ["SOURCE", ">CAME", ">BYTES", ">FAILED", ">LIES"];
    text += &titled("contents from others since the start", &heads, &rows, paint);
    if !peers.http.is_empty() {
        text += &format!("\nasked over HTTP: {}\n", peers.http.join(", "));
    }
    text
}

fn row_of(peer: &Peer) -> Vec<String> {
    let direction = if peer.direction == "inbound" {
        "in"
    } else {
        "out"
    };
    let trip = peer.round_trip_milliseconds;
    let compared = match &peer.visit {
        None => "never".to_owned(),
        Some(visit) => {
            let age = age(visit.age_seconds);
            match (visit.fetched, visit.offered) {
                (0, 0) => format!("{age}, same"),
                (fetched, offered) => format!("{age}, +{fetched} -{offered}"),
            }
        }
    };
    vec![
        short(&peer.id),
        place_of(&peer.address),
        format!("{direction} {}", peer.transport),
        cut(peer.agent.as_deref().unwrap_or("-"), 12),
        trip.map_or_else(|| "-".into(), trip_of),
        format!("{:.1}", peer.score),
        format!("{} of {}", peer.meshes.len(), peer.topics.len()),
        compared,
    ]
}

fn trip_of(milliseconds: f64) -> String {
    match milliseconds {
        0.0..100.0 => format!("{milliseconds:.1} ms"),
        _ => format!("{milliseconds:.0} ms"),
    }
}

fn topic_row(topic: &Topic) -> Vec<String> {
    vec![
        cut(&topic.topic, NAME_CHARS),
        topic.peers.to_string(),
        topic.mesh.to_string(),
        topic.messages_in.to_string(),
        size(topic.bytes_in),
        topic.messages_out.to_string(),
        size(topic.bytes_out),
        topic.duplicates.to_string(),
        topic.withheld.to_string(),
    ]
}

fn source_row(source: &Source) -> Vec<String> {
    vec![
        source.source.clone(),
        source.done.to_string(),
        size(source.bytes),
        source.failed.to_string(),
        source.lies.to_string(),
    ]
}

/// A table below a title. Heads that begin with `>` stand above numbers.
fn titled(title: &str, heads: &[&str], rows: &[Vec<String>], paint: Paint) -> String {
    let mut text = format!("\n{}\n", paint.with("1", title));
    if rows.is_empty() {
        return text;
    }
    let names: Vec<String> = heads.iter().map(|head| head.replace('>', "")).collect();
    let mut widths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let mut line = String::from(" ");
        for ((cell, width), head) in cells.iter().zip(&widths).zip(heads) {
            line += &match head.starts_with('>') {
                true => format!(" {cell:>width$}"),
                false => format!(" {cell:<width$}"),
            };
        }
        line.trim_end().to_owned()
    };
    text += &format!("{}\n", paint.with("2", &line(&names)));
    for row in rows {
        text += &format!("{}\n", line(row));
    }
    text
}

/// The end of a peer id: their beginnings are all the same.
fn short(id: &str) -> String {
    let skipped = id.chars().count().saturating_sub(8);
    match skipped {
        0 => id.to_owned(),
        _ => format!("…{}", id.chars().skip(skipped).collect::<String>()),
    }
}

/// `/ip4/1.2.3.4/tcp/4025` as `1.2.3.4:4025`.
fn place_of(address: &str) -> String {
    let parts: Vec<&str> = address.split('/').collect();
    let place = match parts.as_slice() {
        ["", "ip6", host, _, port, ..] => format!("[{host}]:{port}"),
        ["", "ip4" | "dns" | "dns4" | "dns6", host, _, port, ..] => format!("{host}:{port}"),
        _ => address.to_owned(),
    };
    match place.is_empty() {
        true => "-".to_owned(),
        false => cut(&place, NAME_CHARS),
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.chars().count() > chars {
        true => text.chars().take(chars - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn age(seconds: f64) -> String {
    match seconds {
        0.0..100.0 => format!("{seconds:.0} s"),
        100.0..6_000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beth_ccn::peers::{Absent, Comparison};

    #[test]
    fn tables_are_aligned_and_not_wide() {
        let peer = |visit| Peer {
            id: "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo".into(),
            address: "/ip4/203.113.122.111/udp/40255/quic-v1".into(),
            direction: "outbound".into(),
            transport: "quic".into(),
            agent: Some("a-long-name/of-an-agent/1.2.3".into()),
            round_trip_milliseconds: Some(1_234.5),
            score: -100.0,
            topics: vec!["A".into(), "B".into()],
            visit,
            ..Peer::default()
        };
        let visit = Comparison {
            age_seconds: 5_999.0,
            fetched: 1_234,
            offered: 12,
            ..Comparison::default()
        };
        let peers = Peers {
            peer_id: "QmMe".into(),
            connected: vec![peer(None), peer(Some(visit))],
            absent: vec![Absent {
                why: "cut off for another 9 s".into(),
                ..Absent::default()
            }],
            ..Peers::default()
        };
        let text = text_of(&peers, Paint(false));
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        let place = |line: &str, word| Some(line.split_once(word)?.0.chars().count());
        let column = |word| text.lines().find_map(|line| place(line, word)).unwrap_or(0);
        assert!(column("WAY") > 0 && column("WAY") == column("out quic"));
        assert!(text.contains("100 min, +1234 -12"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn places() {
        assert_eq!(place_of("/ip4/1.2.3.4/tcp/4025"), "1.2.3.4:4025");
        assert_eq!(place_of("/ip6/::1/udp/1/quic-v1"), "[::1]:1");
        assert_eq!(place_of("http://a"), "http://a");
        assert_eq!(place_of(""), "-");
    }
}
