//! What one decode step sees and what it lost: logits per token and attention mass per part, pruned
//! and exact.
//!
//! It serves the inspector, so it uses the oracle's scalar arithmetic. It reads only what the fast
//! path reads.

use super::oracle;
use crate::cache::{HeadView, SequenceCache};
use crate::numbers::count;
use crate::{Error, Result};

/// Share of attention per part of the cache; together 1 unless nothing is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mass {
    /// First tokens.
    pub sink: f64,
    /// Pruned tokens.
    pub middle: f64,
    /// Last tokens.
    pub recent: f64,
}

/// One query head's attention over the tokens of a cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// `q . k / sqrt(head_dim)` per token; `None` where a dropped head does not see it.
    pub logits: Vec<Option<f64>>,
    /// Softmax of the logits, 0 where a token is not seen.
    pub weights: Vec<f64>,
    /// The weights summed by part.
    pub mass: Mass,
}

/// One step of one query head through a cache and, where given, through a dense cache of the same
/// tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The step through the cache.
    pub pruned: Seen,
    /// The step with all channels. Its mass is split by the parts of the pruned cache, so that the
    /// two compare.
    pub exact: Option<Seen>,
}

impl Explanation {
    /// KL(exact || pruned) of the attention weights in nats; infinite when a token that has exact
    /// weight is not seen. `None` without a dense cache.
    pub fn divergence(&self) -> Option<f64> {
        let pairs = self.exact.as_ref()?.weights.iter().zip(&self.pruned.weights);
        Some(
            pairs
                .filter(|&(&exact, _)| exact > 0.0)
                .map(|(exact, pruned)| exact * (exact / pruned).ln())
                .sum(),
        )
    }
}

/// Explains the step of the query row `q`, `[head_dim]`, of query head `head` out of `heads`.
///
/// # Errors
/// When `dense` lacks channels, or holds another number of tokens or another shape than `cache`.
pub fn explain(
    cache: &SequenceCache,
    dense: Option<&SequenceCache>,
    layer: usize,
    (head, heads): (usize, usize),
    q: &[f32],
) -> Result<Explanation> {
    let shape = cache.spec().shape();
    let kv_head = head * shape.kv_heads / heads;
    let view = cache.head(layer, kv_head);
    if let Some(dense) = dense {
        if !dense.spec().is_dense() {
            return Err(Error::input("exact logits need a dense cache; this one lacks channels"));
        }
        if dense.spec().shape() != shape || dense.len(layer) != view.len() {
            return Err(Error::input(format!(
                "the dense cache holds {} tokens of {}, the pruned one {} of {shape}",
                count(dense.len(layer)),
                dense.spec().shape(),
                count(view.len())
            )));
        }
    }
    let exact = dense.map(|dense| seen(&dense.head(layer, kv_head), &view, q));
    Ok(Explanation { pruned: seen(&view, &view, q), exact })
}

/// Attention over `view`; the mass is split by the parts of `parted`.
fn seen(view: &HeadView<'_>, parted: &HeadView<'_>, q: &[f32]) -> Seen {
    let logits = oracle::logits(view, q);
    let weights = oracle::softmax(&logits);
    let parts = parted.parts();
    let mass = |positions: std::ops::Range<usize>| weights[positions].iter().sum();
    let mass =
        Mass { sink: mass(parts.sink), middle: mass(parts.middle), recent: mass(parts.recent) };
    Seen { logits, weights, mass }
}
