//! `beth ccn import`: messages from a dump or from another core node.

use std::path::PathBuf;
use std::time::Duration;

use beth_ccn::import::{self, Progress, Report, Source};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::section;
use crate::cli::Outcome;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, table};
use crate::cli::progress::Bar;
use crate::node::Signals;

/// Pause between two looks at the progress.
const TICK: Duration = Duration::from_millis(200);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file with one JSON message a line, perhaps compressed by gzip; `-` for standard input; or the
    /// URL of a core node
    #[arg(value_name = "FILE|URL")]
    source: String,
    /// Config file of the node
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write the result as one JSON object on the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(args: Args) -> Outcome {
    let output = Output::new(args.json);
    load(&args, output)
        .await
        .map_err(|failure| (output, failure))
}

async fn load(args: &Args, output: Output) -> Result<(), Failure> {
    let failed = |error: String| Failure::new(error);
    let config = section(&args.config)?;
    let source = Source::parse(&args.source);
    let mut signals = Signals::listen().map_err(|error| failed(format!("{error:#}")))?;
    let cancel = CancellationToken::new();
    let (sender, progress) = watch::channel(Progress::default());
    let work = import::run(config, source, sender, cancel.clone());
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(TICK);
    let mut bar = Bar::new();
    let report = loop {
        tokio::select! {
            report = &mut work => break report,
            () = signals.next() => cancel.cancel(),
            _ = tick.tick() => {
                let now = progress.borrow().clone();
                let rate = bar.rate(now.entries);
                bar.show(now.share, &sentence(&now, rate));
            }
        }
    };
    bar.clear();
    let report = report.map_err(|error| failed(error.to_string()))?;
    let object = facts(&report);
    match &report.failure {
        None => output.result(&table_of(&report), &Value::Object(object)),
        Some(failure) => Err(Failure {
            facts: Box::new(object),
            text: table_of(&report),
            ..failed(failure.to_string())
        }),
    }
}

fn sentence(now: &Progress, rate: f64) -> String {
    let mut text = format!("{} messages, {rate:.0}/s", now.entries);
    if now.waiting > 0 {
        text += &format!(", {} waiting", now.waiting);
    }
    if now.rejected > 0 {
        text += &format!(", {} rejected", now.rejected);
    }
    if now.is_settling && now.waiting > 0 {
        text += ": trying what waits once more";
    }
    text
}

fn rate(report: &Report) -> f64 {
    report.tally.entries() as f64 / report.elapsed.as_secs_f64().max(1e-3)
}

fn facts(report: &Report) -> Map<String, Value> {
    let tally = &report.tally;
    let rejected = tally.refused.iter().map(|(code, refused)| {
        json!({
            "code": code, "count": refused.count, "item_hash": refused.item_hash, "reason": refused.reason,
        })
    });
    let skipped = tally
        .first_skipped
        .iter()
        .map(|line| json!({"line": line.number, "fault": line.fault}));
    let facts = [
        ("processed", tally.processed.into()),
        ("known", tally.known.into()),
        ("waiting", tally.waiting().into()),
        ("rejected", rejected.collect()),
        ("skipped", tally.skipped.into()),
        ("first_skipped", skipped.collect()),
        ("resumed", report.is_resumed.into()),
        ("seconds", report.elapsed.as_secs_f64().into()),
        ("per_second", rate(report).into()),
    ];
    facts
        .into_iter()
        .map(|(name, fact)| (name.to_owned(), fact))
        .collect()
}

fn table_of(report: &Report) -> String {
    let tally = &report.tally;
    let begun = if report.is_resumed {
        ", from where the last import was interrupted"
    } else {
        ""
    };
    let mut rows = vec![
        (
            "read",
            format!(
                "{} messages in {:.1} s, {:.0}/s{begun}",
                tally.entries(),
                report.elapsed.as_secs_f64(),
                rate(report)
            ),
        ),
        ("processed", tally.processed.to_string()),
        ("known", tally.known.to_string()),
    ];
    if tally.waiting() > 0 {
        let text = format!(
            "{}; what they wait for has not come, a running node goes on trying",
            tally.waiting()
        );
        rows.push(("waiting", text));
    }
    for (code, refused) in &tally.refused {
        let text = format!(
            "{} with code {code}, e.g. {}: {}",
            refused.count, refused.item_hash, refused.reason
        );
        rows.push(("rejected", text));
    }
    for line in &tally.first_skipped {
        rows.push(("skipped", format!("line {}: {}", line.number, line.fault)));
    }
    let unshown = tally.skipped - tally.first_skipped.len() as u64;
    if unshown > 0 {
        rows.push(("skipped", format!("{unshown} more lines")));
    }
    table(&rows)
}
