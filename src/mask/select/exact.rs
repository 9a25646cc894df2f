//! Exact budget: the largest aligned total that does not exceed the target.
//!
//! A head grows by blocks of `align` units, best first; a last block is shorter where head_dim is
//! not a multiple. Inside a head no block is worth more than the one before it, so taking the most
//! valuable blocks overall keeps the most importance.

use super::limits::Limits;
use super::ranking::Ranking;
use crate::{Error, Result};

/// One block that a head may add.
struct Block {
    gain: f64,
    head: usize,
    index: usize,
}

/// Kept channels per head for a total of at most `total` channels.
pub(super) fn counts(
    ranking: &Ranking,
    limits: &Limits,
    align: usize,
    total: usize,
) -> Result<Vec<usize>> {
    let (unit, per_head) = (ranking.unit(), ranking.per_head());
    let align = (align / unit).max(1);
    let heads = ranking.shape().heads();
    let mut counts: Vec<usize> = (0..heads).map(|head| limits.apply(head, 0)).collect();
    let least: usize = counts.iter().sum();
    let Some(left) = total.checked_sub(least) else {
        return Err(Error::input(format!(
            "floors and locks keep {least} channels: expected at most the budget of {total}"
        )));
    };
    let (mut left, tail, whole) = (left / unit, per_head % align, per_head / align);

    let growing: Vec<(usize, &[f32])> = ranking
        .heads()
        .enumerate()
        .filter(|&(head, _)| !limits.is_locked(head) && counts[head] < per_head * unit)
        .collect();
    let first = |head: usize| counts[head] / unit / align;
    let mut completed = vec![false; heads];
    if tail > 0 {
        for head in to_complete(&growing, first, left, align, tail, whole) {
            completed[head] = true;
        }
        left -= completed.iter().filter(|&&done| done).count() * tail;
    }

    let mut blocks: Vec<Block> = Vec::new();
    for &(head, scores) in &growing {
        for index in first(head)..whole {
            // A head that will be complete takes all its blocks, so these come first.
            let gain = if completed[head] {
                f64::INFINITY
            } else {
                sum(&scores[index * align..][..align])
            };
            blocks.push(Block { gain, head, index });
        }
    }
    let wanted = (left / align).min(blocks.len());
    if wanted > 0 && wanted < blocks.len() {
        blocks.select_nth_unstable_by(wanted - 1, |a, b| {
            b.gain.total_cmp(&a.gain).then(a.head.cmp(&b.head)).then(a.index.cmp(&b.index))
        });
    }
    for block in &blocks[..wanted] {
        counts[block.head] += align * unit;
    }
    for (head, _) in completed.iter().enumerate().filter(|&(_, &done)| done) {
        counts[head] = per_head * unit;
    }
    Ok(counts)
}

/// The heads to fill to the last channel so that whole blocks and short last blocks come closest to
/// `left` units from below: the fewest such heads, those with the most importance.
fn to_complete(
    growing: &[(usize, &[f32])],
    first: impl Fn(usize) -> usize,
    left: usize,
    align: usize,
    tail: usize,
    whole: usize,
) -> Vec<usize> {
    let mut heads: Vec<(f64, usize)> =
        growing.iter().map(|&(head, scores)| (sum(scores), head)).collect();
    heads.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let available: usize = heads.iter().map(|&(_, head)| whole - first(head)).sum();
    let (mut best, mut best_total, mut needed) = (0, 0, 0);
    for number in 0..=heads.len() {
        needed += if number > 0 { whole - first(heads[number - 1].1) } else { 0 };
        let Some(rest) = left.checked_sub(number * tail) else { break };
        let blocks = (rest / align).min(available);
        let total = blocks * align + number * tail;
        if blocks >= needed && (number == 0 || total > best_total) {
            (best, best_total) = (number, total);
        }
    }
    heads[..best].iter().map(|&(_, head)| head).collect()
}

fn sum(scores: &[f32]) -> f64 {
    scores.iter().map(|&score| f64::from(score)).sum()
}
