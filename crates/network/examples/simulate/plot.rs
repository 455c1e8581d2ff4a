//! A picture of four runs: 100 and 1,000 nodes, with and without cancelling
//! copies (gossipsub 1.2).
//!
//! ```text
//!   ┌ share of deliveries by delay ┐ ┌ bytes a node sends for a message ┐
//! ```

use std::fmt::Write;

use crate::model::outcome::Outcome;
use crate::model::settings::Settings;
use crate::model::world::World;

/// A run, and how it is drawn.
struct Run {
    name: String,
    colour: &'static str,
    dashes: &'static str,
    outcome: Outcome,
}

/// Where a panel is, and what its axes tell.
struct Panel {
    left: f64,
    width: f64,
    x_max: f64,
    y_max: f64,
}

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 470.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 380.0;
const INK: &str = "#222222";
const GRID: &str = "#dddddd";
/// First copies, further ones, all else.
const PARTS: [(&str, &str); 3] = [
    ("first copy", "#2e7d4f"),
    ("duplicates", "#e0a030"),
    ("control", "#7b3f98"),
];

/// Runs the four and draws them; also tells their figures.
pub fn draw(settings: &Settings) -> (String, String) {
    let mut runs = Vec::new();
    let styles = [
        (100, true, "#1f5fa8", ""),
        (100, false, "#4fb3e8", "7 5"),
        (1_000, true, "#b3261e", ""),
        (1_000, false, "#f08a24", "7 5"),
    ];
    for (nodes, cancels, colour, dashes) in styles {
        let mut settings = settings.clone();
        settings.nodes = nodes;
        if !cancels {
            settings.gossip.dont_want_bytes = usize::MAX;
        }
        let with = if cancels { "with" } else { "without" };
        runs.push(Run {
            name: format!("{} nodes, {with} IDONTWANT", grouped(nodes)),
            colour,
            dashes,
            outcome: World::new(settings).run(),
        });
    }
    let mut told = String::new();
    for run in &runs {
        let _ = write!(told, "== {}\n{}", run.name, run.outcome);
    }
    (picture(settings, &runs), told)
}

fn picture(settings: &Settings, runs: &[Run]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"13\" fill=\"{INK}\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let (low, high) = settings.latency;
    let title = format!(
        "Simulated gossip: {} kB messages, links of {}–{} ms, {} Mbit/s a node",
        settings.bytes / 1_000,
        low.as_millis(),
        high.as_millis(),
        settings.bandwidth / 1_000_000
    );
    text(&mut svg, (WIDTH / 2.0, 26.0), ("middle", 16), &title);
    delays(&mut svg, runs);
    bytes(&mut svg, runs);
    svg.push_str("</svg>\n");
    svg
}

fn delays(svg: &mut String, runs: &[Run]) {
    let slowest = runs.iter().map(|run| run.outcome.percentile(1.0));
    let slowest = slowest.fold(0.0, f64::max);
    let panel = Panel {
        left: 70.0,
        width: 500.0,
        x_max: ((slowest + 20.0) / 100.0).ceil().max(6.0) * 100.0,
        y_max: 100.0,
    };
    text(
        svg,
        (panel.left + panel.width / 2.0, 52.0),
        ("middle", 14),
        "share of deliveries, %, by delay",
    );
    for step in 0..=5 {
        let share = f64::from(step) * 20.0;
        panel.across(svg, share, &format!("{share}"));
    }
    for step in 0..=6 {
        let delay = panel.x_max / 6.0 * f64::from(step);
        let x = panel.x(delay);
        line(svg, (x, TOP), (x, BOTTOM), GRID);
        text(
            svg,
            (x, BOTTOM + 18.0),
            ("middle", 12),
            &format!("{delay:.0}"),
        );
    }
    text(
        svg,
        (panel.left + panel.width / 2.0, BOTTOM + 38.0),
        ("middle", 13),
        "ms from publication to a node that checked it",
    );
    let limit = panel.x(500.0);
    line(svg, (limit, TOP), (limit, BOTTOM), "#888888");
    text(
        svg,
        (limit + 5.0, BOTTOM - 8.0),
        ("start", 12),
        "target of p95",
    );
    for (place, run) in runs.iter().enumerate() {
        let mut points = String::new();
        for step in 0..=200 {
            let share = f64::from(step) / 200.0;
            let x = panel.x(run.outcome.percentile(share));
            let _ = write!(points, "{x:.1},{:.1} ", panel.y(share * 100.0));
        }
        let (colour, dashes) = (run.colour, run.dashes);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.4\" stroke-dasharray=\"{dashes}\"/>",
            points.trim_end()
        );
        let at = (
            panel.left + 10.0 + 265.0 * (place / 2) as f64,
            BOTTOM + 58.0 + 19.0 * (place % 2) as f64,
        );
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{colour}\" stroke-width=\"2.8\" stroke-dasharray=\"{dashes}\"/>",
            at.0,
            at.1 - 4.0,
            at.0 + 34.0,
            at.1 - 4.0
        );
        text(svg, (at.0 + 42.0, at.1), ("start", 12), &run.name);
    }
}

fn bytes(svg: &mut String, runs: &[Run]) {
    let most = runs.iter().map(|run| run.outcome.node_bytes / 1e3);
    let most = most.fold(1.0, f64::max);
    let unit = 10.0_f64.powf(most.log10().floor()) * 2.0;
    let panel = Panel {
        left: 650.0,
        width: 310.0,
        x_max: runs.len() as f64,
        y_max: ((most * 1.12) / unit).ceil() * unit,
    };
    text(
        svg,
        (panel.left + panel.width / 2.0, 52.0),
        ("middle", 14),
        "kB that a node sends for a message",
    );
    let steps = (panel.y_max / unit).round() as u32;
    for step in 0..=steps {
        let value = unit * f64::from(step);
        panel.across(svg, value, &format!("{value}"));
    }
    for (place, run) in runs.iter().enumerate() {
        let left = panel.x(place as f64 + 0.18);
        let width = panel.x(0.64) - panel.left;
        let mut base = 0.0;
        for (part, (_, colour)) in parts(&run.outcome).into_iter().zip(PARTS) {
            let (top, bottom) = (panel.y(base + part), panel.y(base));
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                bottom - top
            );
            base += part;
        }
        let middle = left + width / 2.0;
        text(
            svg,
            (middle, panel.y(base) - 6.0),
            ("middle", 12),
            &format!("{base:.1}"),
        );
        let (nodes, with) = run.name.split_once(" nodes, ").unwrap_or((&run.name, ""));
        let with = with.trim_end_matches(" IDONTWANT");
        text(
            svg,
            (middle, BOTTOM + 18.0),
            ("middle", 11),
            &format!("{nodes} nodes"),
        );
        text(svg, (middle, BOTTOM + 34.0), ("middle", 12), with);
    }
    for (place, (name, colour)) in PARTS.into_iter().enumerate() {
        let at = panel.left + 10.0 + 105.0 * place as f64;
        let y = BOTTOM + 58.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{at}\" y=\"{}\" width=\"13\" height=\"13\" fill=\"{colour}\"/>",
            y - 11.0
        );
        text(svg, (at + 19.0, y), ("start", 12), name);
    }
}

fn grouped(number: usize) -> String {
    match number {
        ..1_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    }
}

/// What a node sends for a message, in kB, as in [`PARTS`].
fn parts(outcome: &Outcome) -> [f64; 3] {
    let all = outcome.node_bytes / 1e3;
    let control = all * outcome.control;
    let first = (all - control) / (1.0 + outcome.duplicates);
    [first, all - control - first, control]
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        self.left + self.width * (value / self.x_max)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (value / self.y_max)
    }

    /// A line of the grid, and its number.
    fn across(&self, svg: &mut String, value: f64, label: &str) {
        let y = self.y(value);
        line(svg, (self.left, y), (self.left + self.width, y), GRID);
        text(svg, (self.left - 8.0, y + 4.0), ("end", 12), label);
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), (anchor, size): (&str, u32), words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{words}</text>"
    );
}
