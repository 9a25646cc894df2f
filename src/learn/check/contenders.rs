//! The masks in the check: the learned mask, and the training-free rules at its per-head counts, some
//! also at their own.

use std::sync::Arc;

use crate::Result;
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::mask::select::{Options, select};
use crate::mask::{
    ChannelMask, Given, Importance, Moments, Needs, Rule, Sensitivity, Window, keep_counts,
};

/// Which counts per head a rule's mask has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Counts {
    /// Those of the learned mask.
    Learned,
    /// The rule's own counts: equal ones for rules that are published so, one global quantile for
    /// the others.
    Own,
}

/// One mask in the check.
#[derive(Debug, Clone)]
pub struct Contender {
    /// How its channels were chosen.
    pub rule: Rule,
    /// Which counts per head it has.
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

/// Only the dense and the learned contender.
pub fn dense_and_learned(mask: &ChannelMask, window: Window) -> Result<Vec<Contender>> {
    Ok(vec![
        contender(Rule::DENSE, Counts::Own, window, ChannelMask::full(mask.shape()))?,
        contender(Rule::LEARNED, Counts::Learned, window, mask.clone())?,
    ])
}

/// What rules know of the text that was learned from.
#[derive(Debug, Clone)]
pub struct Known {
    /// Moments of keys and queries.
    pub moments: Moments,
    /// The sensitivity, where it could be measured.
    pub sensitivity: Option<Sensitivity>,
    /// Seed of random scores.
    pub seed: u64,
}

/// Rules that are also checked at their own counts: those that are published so, and the one whose
/// counts follow from a loss.
const OWN_COUNTS: [Rule; 4] = [Rule::FISHER, Rule::THINK, Rule::KEY_NORM, Rule::FREQUENCY];

/// Masks of rules in a check where all needs are met.
pub(super) fn rivals() -> usize {
    // The learned mask is no rival of itself.
    Rule::ALL.len() - 1 + OWN_COUNTS.len()
}

/// Dense, learned, every rule at the counts of the learned mask, and some at their own. A rule whose
/// needs are not met is left out.
pub fn contenders(
    mask: &ChannelMask,
    window: Window,
    align: usize,
    known: &Known,
) -> Result<Vec<Contender>> {
    let shape = mask.shape();
    // Shuffled in bands, a mask keeps its counts of every band.
    let bits = mask.bits().iter().map(|&kept| f32::from(u8::from(kept))).collect();
    let bits = Importance::new(shape, bits)?;
    let given = Given {
        moments: Some(&known.moments),
        sensitivity: known.sensitivity.as_ref(),
        learned: Some(&bits),
        ..Given::nothing(shape, known.seed)
    };
    let mut all = dense_and_learned(mask, window)?;
    let sparsity = 1.0 - mask.kept_ratio();
    let equal = ((mask.kept_ratio() * shape.head_dim as f64 / align as f64).round() as usize
        * align)
        .min(shape.head_dim);
    for rule in Rule::ALL {
        if rule == Rule::LEARNED || (rule.needs == Needs::Gradient && known.sensitivity.is_none()) {
            continue;
        }
        let importance = rule.scores(given)?;
        all.push(contender(
            rule,
            Counts::Learned,
            window,
            keep_counts(&importance, &mask.kept_counts()),
        )?);
        if !OWN_COUNTS.contains(&rule) {
            continue;
        }
        let own = match rule.equal_counts {
            true => keep_counts(&importance, &vec![equal; shape.heads()]),
            false => select(&importance, &Options::new(sparsity, align))?,
        };
        all.push(contender(rule, Counts::Own, window, own)?);
    }
    Ok(all)
}
