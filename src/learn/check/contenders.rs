//! Who is compared: the learned mask, and the training-free rules at its per-head counts and at
//! their own.

use std::sync::Arc;

use crate::Result;
use crate::cache::CacheSpec;
use crate::decode::squares::Squares;
use crate::element::Dtype;
use crate::mask::select::{Options, select};
use crate::mask::{ChannelMask, Importance, Window, keep_counts, rules};

/// How channels were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Every channel.
    Dense,
    /// The mask that was learned.
    Learned,
    /// Mean q² of late queries times mean k².
    Think,
    /// Mean k².
    KeyNorm,
    /// Slowest rotation first.
    Frequency,
    /// Seeded random scores.
    Random,
}

/// Whose counts per head a rule's mask has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Counts {
    /// Those of the learned mask.
    Learned,
    /// Its own: equal counts for ThinK as published, one global quantile for the others.
    Own,
}

/// One mask in the check.
#[derive(Debug, Clone)]
pub struct Contender {
    /// How its channels were chosen.
    pub rule: Rule,
    /// Whose counts it has.
    pub counts: Counts,
    /// Its cache.
    pub spec: Arc<CacheSpec>,
}

fn contender(rule: Rule, counts: Counts, window: Window, mask: ChannelMask) -> Result<Contender> {
    Ok(Contender {
        rule,
        counts,
        spec: Arc::new(CacheSpec::new(mask.shape(), window, Dtype::F16, mask)?),
    })
}

/// Dense and learned alone.
pub fn dense_and_learned(mask: &ChannelMask, window: Window) -> Result<Vec<Contender>> {
    Ok(vec![
        contender(Rule::Dense, Counts::Own, window, ChannelMask::full(mask.shape()))?,
        contender(Rule::Learned, Counts::Learned, window, mask.clone())?,
    ])
}

/// Dense, learned, and every rule at both counts. `squares` come from the training text.
pub fn contenders(
    mask: &ChannelMask,
    window: Window,
    align: usize,
    squares: &Squares,
    seed: u64,
) -> Result<Vec<Contender>> {
    let shape = mask.shape();
    let mut all = dense_and_learned(mask, window)?;
    let sparsity = 1.0 - mask.kept_ratio();
    let equal = ((mask.kept_ratio() * shape.head_dim as f64 / align as f64).round() as usize
        * align)
        .min(shape.head_dim);
    let scores: [(Rule, Importance); 4] = [
        (Rule::Think, squares.think()?),
        (Rule::KeyNorm, squares.key_norm()?),
        (Rule::Frequency, rules::slowest_first(shape)),
        (Rule::Random, rules::random(shape, seed)),
    ];
    for (rule, importance) in scores {
        all.push(contender(
            rule,
            Counts::Learned,
            window,
            keep_counts(&importance, &mask.kept_counts()),
        )?);
        let own = match rule {
            Rule::Think | Rule::Frequency => keep_counts(&importance, &vec![equal; shape.heads()]),
            _ => select(&importance, &Options::new(sparsity, align))?,
        };
        all.push(contender(rule, Counts::Own, window, own)?);
    }
    Ok(all)
}
