//! Masks to measure with. Only the number of channels that each head keeps affects the speed.

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::mask::{ChannelMask, Shape};

/// Heads of the LeanK authors' Llama-3.1-8B-Instruct mask by kept channels: `(channels, heads)`.
const LLAMA_HEADS: [(usize, usize); 4] = [(0, 47), (32, 120), (64, 67), (96, 22)];

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
