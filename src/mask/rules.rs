//! Rules that give importance without training: baselines and starting points.
//!
//! Frequency and random need no running model. Key norm and ThinK turn mean squares, gathered by whoever runs text through the
//! model, into importance.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::select::keep_counts;
use super::{ChannelMask, Importance, Shape};
use crate::{Error, Result};

/// Slowest rotation first: the score of rotation frequency `i` (0 = fastest) is `(i + 1) / pairs`, equal for both channels of a
/// pair. The last channel of an odd head does not rotate and counts as slowest.
pub fn slowest_first(shape: Shape) -> Importance {
    let pairs = shape.pairs();
    let score = |channel: usize| match shape.partner(channel) {
        Some(_) => (channel % pairs + 1) as f32 / pairs as f32,
        None => 1.0,
    };
    let head: Vec<f32> = (0..shape.head_dim).map(score).collect();
    every_head(shape, &head)
}

/// Uniform scores in (0, 1] from a seeded generator: the floor that every other rule must beat.
pub fn random(shape: Shape, seed: u64) -> Importance {
    let mut generator = StdRng::seed_from_u64(seed);
    let scores = (0..shape.entries()).map(|_| 1.0 - generator.random::<f32>()).collect();
    Importance::new(shape, scores).expect("one finite score was drawn per entry")
}

/// Key norm: the mean of k² per channel; `key_squares` is `[layers, kv_heads, head_dim]`.
pub fn key_norm(shape: Shape, key_squares: &[f64]) -> Result<Importance> {
    Importance::new(shape, key_squares.iter().map(|&square| square as f32).collect())
}

/// ThinK: mean q², averaged over the query heads of a group, times mean k². `query_squares` is
/// `[layers, query_heads, head_dim]`, `key_squares` `[layers, kv_heads, head_dim]`; query head `h` reads KV head
/// `h / (query_heads / kv_heads)`.
pub fn think(shape: Shape, query_heads: usize, query_squares: &[f64], key_squares: &[f64]) -> Result<Importance> {
    let group = query_heads / shape.kv_heads;
    if group == 0 || !query_heads.is_multiple_of(shape.kv_heads) {
        return Err(Error::input(format!(
            "{query_heads} query heads: expected a multiple of the {} KV heads that they read",
            shape.kv_heads
        )));
    }
    if query_squares.len() != group * shape.entries() || key_squares.len() != shape.entries() {
        return Err(Error::input(format!(
            "mean squares of {} query and {} key channels: expected {} and {} for shape {shape}",
            query_squares.len(),
            key_squares.len(),
            group * shape.entries(),
            shape.entries()
        )));
    }
    let dim = shape.head_dim;
    let score = |entry: usize| {
        let (head, channel) = (entry / dim, entry % dim);
        let of_group = (0..group).map(|member| query_squares[(head * group + member) * dim + channel]);
        (of_group.sum::<f64>() / group as f64 * key_squares[entry]) as f32
    };
    Importance::new(shape, (0..shape.entries()).map(score).collect())
}

/// Share of the kept channels that slowest-first also keeps at equal per-head counts; 0 for a mask that keeps nothing.
pub fn slowest_first_overlap(mask: &ChannelMask) -> f64 {
    let slow = keep_counts(&slowest_first(mask.shape()), &mask.kept_counts());
    let both = mask.bits().iter().zip(slow.bits()).filter(|&(&a, &b)| a && b).count();
    both as f64 / mask.total_kept().max(1) as f64
}

/// The overlap that random channels at equal per-head counts have with a mask on average: sum of c²/head_dim over sum of c.
pub fn random_overlap(mask: &ChannelMask) -> f64 {
    let squares: usize = mask.kept_counts().iter().map(|count| count * count).sum();
    squares as f64 / (mask.shape().head_dim * mask.total_kept().max(1)) as f64
}

fn every_head(shape: Shape, head: &[f32]) -> Importance {
    Importance::new(shape, head.repeat(shape.heads())).expect("one finite score per channel, repeated for every head")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { layers: 1, kv_heads: 2, head_dim: 4 };

    #[test]
    fn slowest_first_orders_pairs_from_fast_to_slow() {
        assert_eq!(slowest_first(SHAPE).head(0, 1), [0.5, 1.0, 0.5, 1.0]);
        let odd = Shape { layers: 1, kv_heads: 1, head_dim: 5 };
        assert_eq!(slowest_first(odd).scores(), [0.5, 1.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn random_is_the_seed_s_and_never_zero() {
        let shape = Shape { layers: 4, kv_heads: 4, head_dim: 64 };
        assert_eq!(random(shape, 7), random(shape, 7));
        assert_ne!(random(shape, 7), random(shape, 8));
        assert!(random(shape, 7).scores().iter().all(|&score| score > 0.0 && score <= 1.0));
    }

    #[test]
    fn think_averages_the_queries_of_a_group() {
        let keys = [1.0, 2.0, 3.0, 4.0, 1.0, 1.0, 1.0, 1.0];
        let queries: Vec<f64> = (0..16).map(f64::from).collect();
        let scores = think(SHAPE, 4, &queries, &keys).unwrap();
        assert_eq!(scores.head(0, 0), [2.0, 6.0, 12.0, 20.0], "heads 0 and 1 average to 2, 3, 4, 5");
        assert_eq!(scores.head(0, 1), [10.0, 11.0, 12.0, 13.0], "heads 2 and 3 average to 10, 11, 12, 13");
        assert_eq!(think(SHAPE, 3, &queries, &keys).unwrap_err().exit_code(), 2);
        assert_eq!(think(SHAPE, 4, &queries[1..], &keys).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn key_norm_refuses_a_mean_that_is_no_number() {
        assert_eq!(key_norm(SHAPE, &[1.5; 8]).unwrap().scores(), [1.5; 8]);
        let error = key_norm(SHAPE, &[1.0, 1.0, 1.0, 1.0, 1.0, f64::NAN, 1.0, 1.0]).unwrap_err();
        assert!(error.to_string().contains("KV head 1, channel 1"), "{error}");
    }
}
