//! Runs of channels that have one width.

use super::head::{Choice, Head, Unit};
use super::problem::Costs;
use crate::mask::Width;

/// The head with its free units gathered into runs of `run` units, by what they would choose alone
/// at this price: the widest first, and among those of one width the nearest to a wider one. A last
/// run is shorter where their number is not a multiple.
pub(super) fn gathered(head: &Head, run: usize, price: f64, costs: &Costs) -> Head {
    let alone = head.stored(price, costs);
    let (locked, free): (Vec<usize>, Vec<usize>) =
        (0..head.units.len()).partition(|&at| head.units[at].locked);
    let mut free: Vec<(Width, f64, usize)> = free
        .into_iter()
        .map(|at| (alone.k[at], pull(&head.units[at], alone.k[at], price, costs), at))
        .collect();
    free.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    let mut units: Vec<Unit> = locked.into_iter().map(|at| head.units[at].clone()).collect();
    for members in free.chunks(run) {
        let mut members = members.iter().map(|&(_, _, at)| &head.units[at]);
        let mut gathered = members.next().expect("a run has a unit").clone();
        for unit in members {
            gathered.channels.extend(&unit.channels);
            for (sum, damage) in gathered.damage.iter_mut().zip(unit.damage) {
                *sum += damage;
            }
        }
        units.push(gathered);
    }
    if !free.len().is_multiple_of(run)
        && let Some(last) = units.last_mut()
    {
        last.short = true;
    }
    Head { units, ..head.clone() }
}

/// How much nearer a unit is to the next wider width than to the next narrower one.
fn pull(unit: &Unit, width: Width, price: f64, costs: &Costs) -> f64 {
    let at = unit.widths.iter().position(|&other| other == width).unwrap_or(0);
    let cost = |at: usize| unit.cost(unit.widths[at], price, costs);
    let narrower = at.checked_sub(1).map_or(0.0, |below| cost(below) - cost(at));
    let wider = if at + 1 < unit.widths.len() { cost(at + 1) - cost(at) } else { 0.0 };
    narrower - wider
}

/// Exchanges the widths of two free units of one head wherever that lowers the damage, until
/// nothing does. `fine` is the head before its units were gathered; returns the widths of its
/// units.
pub(super) fn exchanged(fine: &Head, gathered: &Head, choice: &Choice) -> Choice {
    let mut k = vec![Width::Zero; fine.units.len()];
    for (unit, &width) in gathered.units.iter().zip(&choice.k) {
        for channel in &unit.channels {
            // A pair's unit begins with its lower channel, whose number is the unit's.
            if let Some(width_of_unit) = k.get_mut(*channel) {
                *width_of_unit = width;
            }
        }
    }
    if choice.v == Width::Zero {
        return Choice { v: choice.v, k };
    }
    let free: Vec<usize> = (0..k.len()).filter(|&at| !fine.units[at].locked).collect();
    // Every exchange lowers the damage, so this ends; the bound is for damages that rounding moves
    // back and forth.
    for _ in 0..fine.units.len() {
        let mut moved = false;
        for (i, &a) in free.iter().enumerate() {
            for &b in &free[i + 1..] {
                let (x, y) = (k[a].index(), k[b].index());
                let (one, two) = (&fine.units[a].damage, &fine.units[b].damage);
                if x != y && one[y] + two[x] < one[x] + two[y] {
                    k.swap(a, b);
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    Choice { v: choice.v, k }
}
