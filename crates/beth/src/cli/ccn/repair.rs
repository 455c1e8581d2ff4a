//! `beth ccn repair`: whether a node has what it must keep.

use std::path::PathBuf;
use std::time::Duration;

use beth_ccn::CcnConfig;
use beth_ccn::control::{Client, ControlError};
use beth_ccn::repair::{Fault, FaultKind, Progress, Report, Wish, check_folder};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::section;
use crate::cli::Outcome;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, size, table};
use crate::cli::progress::Bar;
use crate::node::Signals;

/// Pause between two looks at the progress.
const TICK: Duration = Duration::from_millis(200);
/// Faults that are shown one by one without `--json`.
const SHOWN: usize = 20;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Config file of the node
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only look, change nothing
    #[arg(long)]
    check: bool,
    /// Also compute the state digest again from every row
    #[arg(long)]
    deep: bool,
    /// Write the result as one JSON object on the last line of standard output
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(args: Args) -> Outcome {
    let output = Output::new(args.json);
    repair(&args, output)
        .await
        .map_err(|failure| (output, failure))
}

async fn repair(args: &Args, output: Output) -> Result<(), Failure> {
    let config = section(&args.config)?;
    let wish = Wish {
        is_check: args.check,
        is_deep: args.deep,
    };
    let mut signals = Signals::listen().map_err(|error| Failure::new(format!("{error:#}")))?;
    let cancel = CancellationToken::new();
    let (sender, progress) = watch::channel(Progress::default());
    let work = ask(&config, wish, (&sender, cancel.clone()), output);
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(TICK);
    let mut bar = Bar::new();
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = signals.next() => match cancel.is_cancelled() {
                true => break Err(Failure::new("stopped; what was mended stays so")),
                false => cancel.cancel(),
            },
            _ = tick.tick() => {
                let now = progress.borrow().clone();
                let rate = bar.rate(now.bytes);
                bar.show(share(&now), &sentence(&now, rate));
            }
        }
    };
    bar.clear();
    let (report, is_running) = done?;
    tell(&report, is_running, output)
}

/// A running node repairs; the folder of another one is only looked at.
async fn ask(
    config: &CcnConfig,
    wish: Wish,
    (progress, cancel): (&watch::Sender<Progress>, CancellationToken),
    output: Output,
) -> Result<(Report, bool), Failure> {
    match Client::open(&config.folder).await {
        Ok(client) => {
            let repaired = tokio::select! {
                repaired = client.repair(wish, progress) => repaired,
                () = cancel.cancelled() => {
                    return Err(Failure::new("stopped before the end; what was mended stays so"));
                }
            };
            let report = repaired.map_err(|error| Failure::new(error.to_string()))?;
            Ok((report, true))
        }
        Err(ControlError::Absent(folder)) => {
            if !wish.is_check {
                output.note(&format!(
                    "no core node runs in {}, so nothing can be fetched: its folder is only checked",
                    folder.display()
                ));
            }
            let checked = check_folder(config, wish, progress, cancel).await;
            let report = checked.map_err(|error| Failure::new(error.to_string()))?;
            Ok((report, false))
        }
        Err(other) => Err(Failure::new(other.to_string())),
    }
}

fn share(now: &Progress) -> Option<f64> {
    // A content costs more than its bytes: finding and opening it.
    let weight = |contents: u64, bytes: u64| (contents * 4_096 + bytes) as f64;
    let total = weight(now.contents_total, now.bytes_total);
    (total > 0.0).then(|| (weight(now.contents, now.bytes) / total).min(1.0))
}

fn sentence(now: &Progress, rate: f64) -> String {
    let mut text = format!(
        "{} of {} contents, {}, {}/s",
        now.contents,
        now.contents_total,
        size(now.bytes),
        size(rate as u64)
    );
    if now.faults > 0 {
        text += &format!(", {} wrong, {} mended", now.faults, now.mended);
    }
    if now.is_at_state {
        text += "; looking at the state";
    }
    text
}

/// The table, and the exit code.
fn tell(report: &Report, is_running: bool, output: Output) -> Result<(), Failure> {
    let text = text_of(report);
    let mut facts = match json!(report) {
        Value::Object(facts) => facts,
        _ => Map::new(),
    };
    facts.insert("is_running".into(), is_running.into());
    facts.insert("is_whole".into(), report.is_whole().into());
    if report.is_whole() {
        return output.result(&text, &Value::Object(facts));
    }
    let sentence = verdict(report, is_running);
    if output.is_json() {
        return Err(Failure {
            facts: Box::new(facts),
            ..Failure::new(sentence)
        });
    }
    output.result(&text, &Value::Null)?;
    Err(Failure::new(sentence))
}

fn verdict(report: &Report, is_running: bool) -> String {
    let left = report.faulty() - report.mended;
    if !report.is_complete {
        return "it was stopped before its end: run it again to see the rest".into();
    }
    if !report.state.is_empty() {
        let count = report.state.len();
        return format!(
            "the state is wrong in {count} ways: keep a copy of the folder, and import the messages into a new one with `beth ccn import`"
        );
    }
    match (left, report.wish.is_check, is_running) {
        (0, ..) => format!("{} contents were wrong and are right now", report.mended),
        (_, true, true) => {
            format!("{left} contents are wrong: run `beth ccn repair` without --check")
        }
        (_, _, false) => format!(
            "{left} contents are wrong: start the node and run `beth ccn repair` to fetch them"
        ),
        _ => format!(
            "{left} contents are wrong and nobody who was asked has them: see `beth ccn peers`, add nodes to `content_peers`, and repair again"
        ),
    }
}

fn text_of(report: &Report) -> String {
    let mut rows = vec![
        (
            "contents",
            format!(
                "{}, {} read in {:.1} s",
                report.contents(),
                size(report.bytes),
                report.seconds
            ),
        ),
        ("whole", report.whole.to_string()),
    ];
    let counts = [
        ("missing", report.missing),
        ("rotten", report.rotten),
        ("noted wrong", report.missized),
        ("unprovable", report.unprovable),
    ];
    for (name, count) in counts {
        if count > 0 {
            rows.push((name, count.to_string()));
        }
    }
    if report.faulty() > 0 {
        rows.push(("mended", report.mended.to_string()));
    }
    rows.push(("messages", report.messages.to_string()));
    let digest = match (report.wish.is_deep, report.state.is_empty()) {
        (true, true) => format!("{}, as computed from every row", report.digest),
        _ => report.digest.clone(),
    };
    rows.push(("digest", digest));
    let state = match report.state.is_empty() {
        true if report.is_complete => "fits together".to_owned(),
        true => "not looked at".to_owned(),
        false => format!("{} faults", report.state.len()),
    };
    rows.push(("state", state));
    let mut text = table(&rows);
    for fault in report.faults.iter().take(SHOWN) {
        text += &format!("\n{}", line_of(fault));
    }
    let unshown = (report.faulty() as usize).saturating_sub(report.faults.len().min(SHOWN));
    if unshown > 0 {
        text += &format!("\nand {unshown} more contents");
    }
    for fault in report.state.iter().take(SHOWN) {
        text += &format!("\nstate    {fault}");
    }
    text
}

fn line_of(fault: &Fault) -> String {
    let kind = match fault.kind {
        FaultKind::Missing => "missing",
        FaultKind::Rotten => "rotten",
        FaultKind::Missized => "noted",
    };
    let end = if fault.is_mended { "mended" } else { "wrong" };
    format!(
        "{kind:<8} {end:<6}  {}\n                 {}",
        fault.hash, fault.detail
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(is_mended: bool) -> Report {
        Report {
            is_complete: true,
            rotten: 1,
            mended: u64::from(is_mended),
            faults: vec![Fault {
                hash: "aa".into(),
                kind: FaultKind::Rotten,
                detail: "its bytes have the hash bb".into(),
                is_mended,
            }],
            ..Report::default()
        }
    }

    #[test]
    fn every_end_has_its_sentence() {
        let verdict = |report: &Report, is_running| verdict(report, is_running);
        assert!(verdict(&fault(true), true).contains("are right now"));
        assert!(verdict(&fault(false), true).contains("nobody who was asked"));
        assert!(verdict(&fault(false), false).contains("start the node"));
        let mut check = fault(false);
        check.wish.is_check = true;
        assert!(verdict(&check, true).contains("without --check"));
        check.is_complete = false;
        assert!(verdict(&check, true).contains("stopped"));
        let text = text_of(&fault(true));
        assert!(text.contains("rotten   mended  aa"), "{text}");
    }
}
