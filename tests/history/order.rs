//! Orders of delivery that causality allows.
//!
//! ```text
//!   bonds of the history ─▶ a random order that keeps them all
//!        ─▶ some messages earlier than what they wait for ─▶ some of them twice
//! ```

use super::touch::{Bond, bond};
use super::{Dice, History};

/// One arrival at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message, by its place in the history.
    First(usize),
    /// The same message again, at once or much later.
    Again(usize),
    /// A copy of a message under another signature.
    Forged(usize),
}

/// For each message those it must stay behind.
pub type Bonds = Vec<Vec<(usize, Bond)>>;

pub fn bonds(history: &History) -> Bonds {
    let steps = &history.steps;
    (0..steps.len())
        .map(|later| {
            (0..later)
                .filter_map(|earlier| {
                    bond(&steps[earlier].touches, &steps[later].touches).map(|b| (earlier, b))
                })
                .collect()
        })
        .collect()
}

/// The order of the authors, without any repetition.
pub fn original(history: &History) -> Vec<Delivery> {
    (0..history.steps.len()).map(Delivery::First).collect()
}

/// A random order that causality allows, with early arrivals and repetitions.
pub fn shuffled(bonds: &Bonds, dice: &mut Dice) -> Vec<Delivery> {
    let order = sorted(bonds, dice);
    let order = with_early_arrivals(bonds, &order, dice);
    with_repetitions(&order, dice)
}

/// Any topological order.
fn sorted(bonds: &Bonds, dice: &mut Dice) -> Vec<usize> {
    let mut missing: Vec<usize> = bonds.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..bonds.len()).filter(|&m| missing[m] == 0).collect();
    let mut order = Vec::with_capacity(bonds.len());
    while !ready.is_empty() {
        let next = ready.swap_remove(dice.below(ready.len()));
        order.push(next);
        for (later, before) in bonds.iter().enumerate() {
            if before.iter().any(|(earlier, _)| *earlier == next) {
                missing[later] -= 1;
                if missing[later] == 0 {
                    ready.push(later);
                }
            }
        }
    }
    order
}

/// Moves some messages before what they wait for, but never before anything
/// else they must stay behind. `acts` is when a message is processed: a waiting
/// one with the last message it waits for.
fn with_early_arrivals(bonds: &Bonds, order: &[usize], dice: &mut Dice) -> Vec<usize> {
    let mut arrives = vec![0.0; bonds.len()];
    for (place, &message) in order.iter().enumerate() {
        arrives[message] = place as f64;
    }
    let mut acts = arrives.clone();
    let latest = |acts: &[f64], message: usize, kind: Bond| {
        let places = bonds[message].iter().filter(|(_, bond)| *bond == kind);
        places
            .map(|(earlier, _)| acts[*earlier])
            .fold(-1.0, f64::max)
    };
    for &message in order {
        let kept = latest(&acts, message, Bond::Kept);
        let awaited = latest(&acts, message, Bond::Awaited);
        if awaited > kept && dice.percent(40) {
            // Strictly between: neither end is reached.
            let share = (1 + dice.below(98)) as f64 / 100.0;
            arrives[message] = kept + (awaited - kept) * share;
            acts[message] = awaited;
        }
    }
    let mut moved = order.to_vec();
    moved.sort_by(|a, b| arrives[*a].total_cmp(&arrives[*b]));
    moved
}

fn with_repetitions(order: &[usize], dice: &mut Dice) -> Vec<Delivery> {
    let mut deliveries = Vec::with_capacity(order.len() * 2);
    for (place, &message) in order.iter().enumerate() {
        deliveries.push(Delivery::First(message));
        if dice.percent(15) {
            deliveries.push(Delivery::Again(message));
        }
        if dice.percent(15) {
            deliveries.push(Delivery::Again(order[dice.below(place + 1)]));
        }
        if dice.percent(5) {
            deliveries.push(Delivery::Forged(order[dice.below(place + 1)]));
        }
    }
    deliveries
}
