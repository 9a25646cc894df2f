//! Spends the bytes that a price leaves.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::head::{Choice, Drop, Head};
use super::problem::Costs;
use crate::mask::Width;

/// A unit, or V, that becomes wider.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    /// Damage avoided per byte.
    gain: f64,
    bytes: u64,
    from: Width,
    head: usize,
    /// `None` is V.
    unit: Option<usize>,
    to: Width,
}

impl Eq for Step {}

impl Ord for Step {
    /// The most gain first, then the narrowest, then the first head and unit.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.gain.total_cmp(&other.gain))
            .then(other.from.cmp(&self.from))
            .then(other.head.cmp(&self.head))
            .then(other.unit.cmp(&self.unit))
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Widens choices as long as `left` bytes allow it, what avoids the most damage per byte first, and
/// takes dropped heads back where that pays. What is predicted to change nothing is widened last;
/// what is predicted to do harm never is.
pub(super) fn spend(
    heads: &[Head],
    choices: &mut [Choice],
    price: f64,
    costs: &Costs,
    mut left: u64,
) -> u64 {
    for least in [f64::MIN_POSITIVE, 0.0] {
        loop {
            if least > 0.0 {
                left = widen(heads, choices, costs, left, least);
            }
            match take_back(heads, choices, price, costs, left, least) {
                Some(bytes) => left -= bytes,
                None => break,
            }
        }
        left = widen(heads, choices, costs, left, least);
    }
    left
}

/// Widens units and V of stored heads where that avoids at least `least` damage per byte.
fn widen(heads: &[Head], choices: &mut [Choice], costs: &Costs, mut left: u64, least: f64) -> u64 {
    let mut heap: BinaryHeap<Step> = BinaryHeap::new();
    for (at, head) in heads.iter().enumerate() {
        let units = (0..head.units.len()).map(Some).chain([None]);
        heap.extend(units.filter_map(|unit| step(heads, choices, (at, unit), costs, left, least)));
    }
    while let Some(next) = heap.pop() {
        let place = (next.head, next.unit);
        if next.bytes <= left {
            let choice = &mut choices[next.head];
            match next.unit {
                Some(unit) => choice.k[unit] = next.to,
                None => choice.v = next.to,
            }
            left -= next.bytes;
        }
        // The bytes only become fewer, so a unit without a step now has none later.
        heap.extend(step(heads, choices, place, costs, left, least));
    }
    left
}

/// The best step of one unit, or of V, that `left` bytes allow.
fn step(
    heads: &[Head],
    choices: &[Choice],
    (at, unit): (usize, Option<usize>),
    costs: &Costs,
    left: u64,
    least: f64,
) -> Option<Step> {
    let (head, choice) = (&heads[at], &choices[at]);
    if choice.v == Width::Zero {
        return None;
    }
    let (from, widths) = match unit {
        Some(unit) => (choice.k[unit], &head.units[unit].widths),
        None => (choice.v, &head.v_widths),
    };
    if let Some(unit) = unit
        && head.units[unit].short
        && from == Width::Zero
        && !head.others_are_stored(unit, &choice.k)
    {
        return None;
    }
    let cost = |width: Width| match unit {
        Some(unit) => {
            (head.units[unit].damage[width.index()], head.units[unit].bytes(width, costs))
        }
        None => (head.v_damage[width.index()], costs.v[width.index()]),
    };
    let (damage, bytes) = cost(from);
    widths
        .iter()
        .filter(|&&to| to > from)
        .filter_map(|&to| {
            let (less, more) = cost(to);
            let bytes = more.checked_sub(bytes).filter(|&bytes| (1..=left).contains(&bytes))?;
            let gain = (damage - less) / bytes as f64;
            (gain >= least).then_some(Step { gain, bytes, from, head: at, unit, to })
        })
        // Of equal gains the shorter step.
        .max_by(|a, b| a.gain.total_cmp(&b.gain).then(b.bytes.cmp(&a.bytes)))
}

/// Stores the dropped head that avoids the most damage per byte; returns its bytes.
fn take_back(
    heads: &[Head],
    choices: &mut [Choice],
    price: f64,
    costs: &Costs,
    left: u64,
    least: f64,
) -> Option<u64> {
    let mut best: Option<(f64, usize, u64, Choice)> = None;
    for (at, head) in heads.iter().enumerate() {
        if choices[at].v != Width::Zero || head.drop == Drop::Must {
            continue;
        }
        let Some((choice, bytes)) = fitting(head, price, costs, left) else { continue };
        let gain = (head.v_damage[0] - head.damage(&choice)) / bytes as f64;
        if gain >= least && best.as_ref().is_none_or(|(most, ..)| gain > *most) {
            best = Some((gain, at, bytes, choice));
        }
    }
    let (_, at, bytes, choice) = best?;
    choices[at] = choice;
    Some(bytes)
}

/// The best stored choice of a head that `left` bytes allow, at this price or the next higher one
/// of a ladder.
fn fitting(head: &Head, price: f64, costs: &Costs, left: u64) -> Option<(Choice, u64)> {
    const FIRST: f64 = 1e-15;
    let highest =
        1.0 + head.v_damage[0] + head.units.iter().map(|unit| unit.damage[0]).sum::<f64>();
    let mut price = price;
    loop {
        let choice = head.stored(price, costs);
        let bytes = head.bytes(&choice, costs);
        if bytes <= left {
            return Some((choice, bytes));
        }
        if price > highest {
            return None;
        }
        price = (price * 2.0).max(FIRST);
    }
}
