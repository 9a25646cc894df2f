//! Masks and plans to measure with. Only how many channels of each width a head has affects the
//! speed.

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::mask::{CachePlan, ChannelMask, Shape, Window};
use crate::{Result, numbers};

/// Heads of the LeanK authors' Llama-3.1-8B-Instruct mask by kept channels: `(channels, heads)`.
const LLAMA_HEADS: [(usize, usize); 4] = [(0, 47), (32, 120), (64, 67), (96, 22)];

/// A plan to measure.
#[derive(Debug, Clone)]
pub struct BenchPlan {
    /// Its name in the rows.
    pub name: String,
    /// Bits of every K channel and of every head's V.
    pub plan: CachePlan,
    /// Sink, recent and chunk.
    pub window: Window,
}

impl BenchPlan {
    /// Everything at the element type.
    pub fn dense(shape: Shape, window: Window) -> Self {
        Self { name: "dense".to_owned(), plan: CachePlan::full(shape), window }
    }

    /// A mask, named by the share that it prunes.
    pub fn mask(mask: &ChannelMask, window: Window) -> Self {
        let name = format!("mask, {} pruned", numbers::percent(1.0 - mask.kept_ratio(), 1));
        Self { name, plan: CachePlan::of_mask(mask), window }
    }

    /// The specification of its cache.
    pub fn spec(&self, dtype: Dtype) -> Result<CacheSpec> {
        CacheSpec::planned(self.window, dtype, self.plan.clone())
    }
}

/// Every head keeps the same number of random channels, `1 - sparsity` of them.
pub fn equal(shape: Shape, sparsity: f64) -> ChannelMask {
    let kept = ((1.0 - sparsity) * shape.head_dim as f64).round() as usize;
    with_counts(shape, &vec![kept; shape.heads()])
}

/// Heads with the kept counts of the published Llama mask, in random order.
pub fn llama(shape: Shape) -> ChannelMask {
    let mut counts: Vec<usize> =
        LLAMA_HEADS.iter().flat_map(|&(kept, heads)| vec![kept; heads]).collect();
    counts.shuffle(&mut StdRng::seed_from_u64(1));
    with_counts(shape, &counts)
}

fn with_counts(shape: Shape, counts: &[usize]) -> ChannelMask {
    let mut random = StdRng::seed_from_u64(2);
    let mut kept = Vec::with_capacity(shape.entries());
    for &count in counts {
        let mut bits: Vec<bool> = (0..shape.head_dim).map(|channel| channel < count).collect();
        bits.shuffle(&mut random);
        kept.extend(bits);
    }
    ChannelMask::new(shape, kept).expect("one count per head")
}
