//! How much to keep: a sparsity or bytes, spread over heads by the global quantile or exactly.

use super::exact;
use super::limits::Limits;
use super::options::{Budget, ByteBudget, Options};
use super::ranking::Ranking;
use crate::mask::bytes;
use crate::numbers::{self, count};
use crate::{Error, Result};

/// Kept channels per head at a sparsity.
pub(super) fn at_sparsity(
    ranking: &Ranking,
    limits: &Limits,
    options: &Options,
    sparsity: f64,
) -> Result<Vec<usize>> {
    if !(0.0..=1.0).contains(&sparsity) {
        return Err(Error::input(format!("sparsity {sparsity}: expected a number from 0 to 1")));
    }
    match options.budget {
        Budget::Exact => {
            let entries = ranking.shape().entries() as f64;
            // A sparsity such as 0.9 is not exact in binary: a total that is whole except for that
            // error is taken as whole.
            let total = ((1.0 - sparsity) * entries + 1e-9 * entries).floor() as usize;
            exact::counts(ranking, limits, options.align, total)
        }
        _ => {
            let threshold = quantile(&mut ranking.all_scores().to_vec(), sparsity);
            Ok(above(ranking, limits, options, threshold))
        }
    }
}

/// Kept channels per head of the largest selection whose cache fits the byte budget.
pub(super) fn within_bytes(
    ranking: &Ranking,
    limits: &Limits,
    options: &Options,
    budget: &ByteBudget,
) -> Result<Vec<usize>> {
    budget.window.check()?;
    let shape = ranking.shape();
    let weigh = |counts: &[usize]| {
        bytes::pruned_of_counts(shape, counts, budget.window, budget.tokens, budget.element_size)
    };
    let mut thresholds = Vec::new();
    if options.budget != Budget::Exact {
        thresholds = ranking.all_scores().iter().map(|&score| f64::from(score)).collect();
        thresholds.sort_unstable_by(f64::total_cmp);
        thresholds.push(f64::INFINITY);
    }
    // Step 0 keeps the most, the last step the least; both rules shrink from step to step, so
    // bisection finds the first that fits.
    let least = if options.budget == Budget::Exact {
        shape.entries() - limits.least()
    } else {
        thresholds.len() - 1
    };
    let at = |step: usize| match options.budget {
        Budget::Exact => exact::counts(ranking, limits, options.align, shape.entries() - step),
        _ => Ok(above(ranking, limits, options, thresholds[step])),
    };
    let mut fitting = at(least)?;
    let smallest = weigh(&fitting).total();
    if smallest > budget.bytes {
        return Err(Error::input(format!(
            "a cache of {} tokens weighs at least {} bytes with this window and these floors: expected a budget of that or \
             more, found {} bytes",
            count(budget.tokens),
            count(smallest as usize),
            count(budget.bytes as usize)
        )));
    }
    let (mut low, mut high) = (0, least);
    while low < high {
        let middle = low + (high - low) / 2;
        let counts = at(middle)?;
        if weigh(&counts).total() <= budget.bytes {
            (fitting, high) = (counts, middle);
        } else {
            low = middle + 1;
        }
    }
    if fitting.iter().sum::<usize>() > 0 {
        return Ok(fitting);
    }
    // Only the mask that drops every head fits. The step before the first such one keeps the least.
    let is_empty = |counts: &[usize]| counts.iter().all(|&kept| kept == 0);
    let (mut low, mut high) = (0, least);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_empty(&at(middle)?) { high = middle } else { low = middle + 1 }
    }
    let finer = match options.budget {
        Budget::Exact => "",
        _ => ", or the exact budget, which has finer steps",
    };
    let expected = match low.checked_sub(1) {
        Some(step) => {
            format!("expected {} or more{finer}", numbers::bytes(weigh(&at(step)?).total()))
        }
        None => "expected importance above 0 somewhere, which this one does not have".to_owned(),
    };
    Err(Error::input(format!(
        "a cache of {} tokens fits {} only where every head is dropped: {expected}",
        count(budget.tokens),
        numbers::bytes(budget.bytes)
    )))
}

/// Kept channels per head: how many scores reach the threshold, rounded to the alignment.
fn above(ranking: &Ranking, limits: &Limits, options: &Options, threshold: f64) -> Vec<usize> {
    let (unit, per_head) = (ranking.unit(), ranking.per_head());
    let align = (options.align / unit).max(1);
    let upstream = options.budget == Budget::UpstreamTies;
    let count = |scores: &[f32]| {
        let counts = |score: f32| f64::from(score) >= threshold && (upstream || score > 0.0);
        let n = scores.partition_point(|&score| counts(score));
        let n = if upstream {
            ((n + align / 2) / align * align).min(per_head)
        } else {
            round(n, align, per_head)
        };
        n * unit
    };
    ranking.heads().map(count).enumerate().map(|(head, count)| limits.apply(head, count)).collect()
}

/// `n` rounded to the nearest multiple of the alignment, halves upwards; at most all channels, and
/// all of them where `n` is all.
pub(super) fn round(n: usize, align: usize, all: usize) -> usize {
    if n == all { all } else { ((n + align / 2) / align * align).min(all) }
}

/// The quantile of all scores with linear interpolation, as NumPy computes it in double precision;
/// `scores` are reordered.
fn quantile(scores: &mut [f32], q: f64) -> f64 {
    let position = q * (scores.len() - 1) as f64;
    let below = position.floor();
    let fraction = position - below;
    let (_, &mut low, rest) = scores.select_nth_unstable_by(below as usize, f32::total_cmp);
    // The next larger score is the smallest of those behind; there is none at q = 1.
    let high = rest.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    let (low, high) = (f64::from(low), f64::from(high));
    // NumPy interpolates from the nearer end, so that equal ends give exactly that value.
    if fraction < 0.5 {
        low + (high - low) * fraction
    } else {
        high - (high - low) * (1.0 - fraction)
    }
}
