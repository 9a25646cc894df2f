//! Units of choice (channels, or rotation pairs), sorted by importance within each head.

use super::limits::Limits;
use crate::mask::{ChannelMask, Importance, Shape};

/// Every head's units, best first.
pub(super) struct Ranking {
    shape: Shape,
    /// Channels per unit: 1, or 2 where pairs stay together.
    unit: usize,
    /// Scores of each head's units, best first, `[heads, units per head]`.
    scores: Vec<f32>,
    /// The units that these scores belong to.
    order: Vec<u32>,
}

impl Ranking {
    pub(super) fn new(importance: &Importance, pair_closed: bool) -> Self {
        let shape = importance.shape();
        let (unit, per_head) = if pair_closed { (2, shape.pairs()) } else { (1, shape.head_dim) };
        let mut scores = Vec::with_capacity(shape.heads() * per_head);
        let mut order = Vec::with_capacity(shape.heads() * per_head);
        let mut keys = Vec::with_capacity(per_head);
        for head in importance.scores().chunks(shape.head_dim) {
            // Halves first: the sum of two large scores could leave the range of f32.
            let score = |index: usize| {
                if pair_closed {
                    head[index] / 2.0 + head[index + per_head] / 2.0
                } else {
                    head[index]
                }
            };
            // One integer per unit sorts by falling score, then by rising index, several times
            // faster than a comparison of floats.
            keys.clear();
            keys.extend(
                (0..per_head).map(|index| u64::from(!ascending(score(index))) << 32 | index as u64),
            );
            keys.sort_unstable();
            order.extend(keys.iter().map(|&key| key as u32));
            scores.extend(keys.iter().map(|&key| score(key as u32 as usize)));
        }
        Self { shape, unit, scores, order }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn unit(&self) -> usize {
        self.unit
    }

    /// Units per head.
    pub(super) fn per_head(&self) -> usize {
        self.shape.head_dim / self.unit
    }

    /// The scores of every head, best first.
    pub(super) fn heads(&self) -> impl Iterator<Item = &[f32]> {
        self.scores.chunks(self.per_head())
    }

    /// All scores, in no useful order.
    pub(super) fn all_scores(&self) -> &[f32] {
        &self.scores
    }

    /// The mask that keeps the best `counts[head]` channels of every head, except where a lock says
    /// which ones.
    pub(super) fn mask(&self, counts: &[usize], limits: &Limits) -> ChannelMask {
        let (shape, per_head) = (self.shape, self.per_head());
        let mut kept = vec![false; shape.entries()];
        for (head, bits) in kept.chunks_mut(shape.head_dim).enumerate() {
            if let Some(locked) = limits.channels(head) {
                bits.copy_from_slice(locked);
                continue;
            }
            let best = &self.order[head * per_head..][..(counts[head] / self.unit).min(per_head)];
            for &index in best {
                for member in 0..self.unit {
                    bits[index as usize + member * per_head] = true;
                }
            }
        }
        ChannelMask::new(shape, kept).expect("one bit was made per entry")
    }
}

/// A key that orders like the float: -0 and 0 are equal, as they are for floats. The score is
/// finite.
fn ascending(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}
