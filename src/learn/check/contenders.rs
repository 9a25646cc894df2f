//! The masks in the check: the learned mask, and the training-free rules at its per-head counts and
//! at their own.

use std::sync::Arc;

use crate::Result;
use crate::cache::CacheSpec;
use crate::decode::squares::Squares;
use crate::element::Dtype;
use crate::mask::select::{Options, select};
use crate::mask::{ChannelMask, Given, Needs, Rule, Window, keep_counts};

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
    for rule in Rule::ALL {
        let importance = match rule.needs {
            Needs::Text => squares.importance(rule)?,
            Needs::Nothing => rule.scores(Given::nothing(shape, seed))?,
            // There is no other file to choose by.
            Needs::File => continue,
        };
        all.push(contender(
            rule,
            Counts::Learned,
            window,
            keep_counts(&importance, &mask.kept_counts()),
        )?);
        let own = match rule.equal_counts {
            true => keep_counts(&importance, &vec![equal; shape.heads()]),
            false => select(&importance, &Options::new(sparsity, align))?,
        };
        all.push(contender(rule, Counts::Own, window, own)?);
    }
    Ok(all)
}
