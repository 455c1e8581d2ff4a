//! What a run came to.

use std::fmt;

use super::clock::{Time, milliseconds};
use super::ledger::Ledger;
use super::settings::Settings;

/// Figures of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From the birth of a message to a node, for each that gossip brought, in
    /// milliseconds and in order.
    pub delays: Vec<f64>,
    /// Shares of what nodes should have got, by what brought it.
    pub by_gossip: f64,
    /// See above.
    pub by_visit: f64,
    /// Copies that a node had already, for each message.
    pub duplicates: f64,
    /// Bytes of gossip that a node sent for each message.
    pub node_bytes: f64,
    /// The same of the node that sent most.
    pub node_bytes_max: f64,
    /// Bytes of gossip for each byte that somebody got.
    pub payload_factor: f64,
    /// Share of gossip that is no messages.
    pub control: f64,
    /// Bytes of questions and answers of visits, a node and minute.
    pub question_bytes: f64,
    /// Bytes of messages that visits moved, a node and minute.
    pub moved_bytes: f64,
    /// Messages that visits moved for each that was new where it came.
    pub moved_factor: f64,
    /// Visits, a node and minute; and the share of those that moved something.
    pub visits: f64,
    /// See above.
    pub moving: f64,
    /// From when everything was said, whole and back to when all our nodes had
    /// all messages, in seconds; `None`: they had not.
    pub convergence: Option<f64>,
    /// What our nodes missed in the end.
    pub missing: u64,
}

impl Outcome {
    /// The figures of a ledger after so many messages.
    pub fn of(settings: &Settings, ledger: &Ledger, messages: usize) -> Outcome {
        let mut delays: Vec<f64> = ledger.delays.iter().copied().map(milliseconds).collect();
        delays.sort_by(f64::total_cmp);
        let nodes = settings.nodes as f64;
        let expected = ledger.expected.max(1) as f64;
        let gossip = (ledger.payload.bytes + ledger.control.bytes) as f64;
        let got = (ledger.by_gossip * settings.bytes as u64).max(1) as f64;
        let each = nodes * messages.max(1) as f64;
        let quiet = ledger.quiet.unwrap_or_default();
        let minutes = minutes(ledger.ended.saturating_sub(ledger.began())) * nodes;
        Outcome {
            by_gossip: ledger.by_gossip as f64 / expected,
            by_visit: ledger.by_visit as f64 / expected,
            duplicates: ledger.duplicates as f64 / each,
            node_bytes: gossip / each,
            node_bytes_max: ledger.sent.iter().copied().max().unwrap_or_default() as f64
                / messages.max(1) as f64,
            payload_factor: gossip / got,
            control: ledger.control.bytes as f64 / gossip.max(1.0),
            question_bytes: ledger.questions.bytes as f64 / minutes,
            moved_bytes: ledger.moved.bytes as f64 / minutes,
            moved_factor: ledger.moved_messages as f64 / ledger.brought.max(1) as f64,
            visits: ledger.visits as f64 / minutes,
            moving: ledger.moving_visits as f64 / ledger.visits.max(1) as f64,
            convergence: ledger
                .converged
                .map(|at| milliseconds(at - quiet.min(at)) / 1e3),
            missing: ledger.missing(),
            delays,
        }
    }

    /// The delay that such a share of deliveries did not exceed, in milliseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        percentile(&self.delays, share)
    }

    /// The figures by name.
    pub fn figures(&self) -> [(&'static str, f64); 12] {
        [
            ("by_gossip", self.by_gossip),
            ("by_reconciliation", self.by_visit),
            ("duplicates", self.duplicates),
            ("node_bytes", self.node_bytes),
            ("node_bytes_max", self.node_bytes_max),
            ("payload_factor", self.payload_factor),
            ("control_share", self.control),
            ("visits_a_minute", self.visits),
            ("question_bytes_a_minute", self.question_bytes),
            ("moved_bytes_a_minute", self.moved_bytes),
            ("moved_factor", self.moved_factor),
            ("convergence_seconds", self.convergence.unwrap_or(f64::NAN)),
        ]
    }
}

/// The value that such a share of ordered values does not exceed.
pub fn percentile(ordered: &[f64], share: f64) -> f64 {
    let last = ordered.len().saturating_sub(1);
    let place = (share * last as f64).round() as usize;
    ordered.get(place).copied().unwrap_or_default()
}

fn minutes(span: Time) -> f64 {
    (milliseconds(span) / 60_000.0).max(f64::MIN_POSITIVE)
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delay = |share| self.percentile(share);
        writeln!(
            out,
            "delay            p50 {:.0}  p95 {:.0}  p99 {:.0}  max {:.0} ms",
            delay(0.5),
            delay(0.95),
            delay(0.99),
            delay(1.0)
        )?;
        writeln!(
            out,
            "delivered        {:.3} %  by gossip {:.3}, by reconciliation {:.3}",
            (self.by_gossip + self.by_visit) * 100.0,
            self.by_gossip * 100.0,
            self.by_visit * 100.0
        )?;
        writeln!(
            out,
            "duplicates       {:.2}  a message and node",
            self.duplicates
        )?;
        writeln!(
            out,
            "gossip           {:.1} kB sent a message and node, {:.1} by the busiest; factor {:.2}, control {:.1} %",
            self.node_bytes / 1e3,
            self.node_bytes_max / 1e3,
            self.payload_factor,
            self.control * 100.0
        )?;
        writeln!(
            out,
            "reconciliation   {:.1} visits, {:.1} kB of questions, {:.1} kB of messages a node and minute; {:.1} % of visits moved some",
            self.visits,
            self.question_bytes / 1e3,
            self.moved_bytes / 1e3,
            self.moving * 100.0
        )?;
        if self.by_visit > 0.01 {
            writeln!(
                out,
                "moved            {:.2} messages for each that was new where it came",
                self.moved_factor
            )?;
        }
        match self.convergence {
            Some(seconds) => writeln!(out, "converged        {seconds:.1} s after the end"),
            None => writeln!(out, "converged        no: {} missing", self.missing),
        }
    }
}
