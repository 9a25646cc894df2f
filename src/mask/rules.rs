//! Rules that score channels without training: baselines and starting points.
//!
//! Frequency and random need no model. The others turn moments, which the caller gathers from text,
//! into importance.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::select::keep_counts;
use super::{ChannelMask, Importance, Moments, Shape};
use crate::{Error, Result};

/// Slowest rotation first: the score of rotation frequency `i` (0 = fastest) is `(i + 1) / pairs`,
/// equal for both channels of a pair. The last channel of an odd head does not rotate and counts as
/// slowest.
pub fn slowest_first(shape: Shape) -> Importance {
    let pairs = shape.pairs();
    let score = |channel: usize| match shape.partner(channel) {
        Some(_) => (channel % pairs + 1) as f32 / pairs as f32,
        None => 1.0,
    };
    let head: Vec<f32> = (0..shape.head_dim).map(score).collect();
    every_head(shape, &head)
}

/// Uniform scores in (0, 1] from a seeded generator: the baseline that every other rule must beat.
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
/// `[layers, query_heads, head_dim]`, `key_squares` `[layers, kv_heads, head_dim]`; query head `h`
/// reads KV head `h / (query_heads / kv_heads)`.
pub fn think(
    shape: Shape,
    query_heads: usize,
    query_squares: &[f64],
    key_squares: &[f64],
) -> Result<Importance> {
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
        let of_group =
            (0..group).map(|member| query_squares[(head * group + member) * dim + channel]);
        (of_group.sum::<f64>() / group as f64 * key_squares[entry]) as f32
    };
    Importance::new(shape, (0..shape.entries()).map(score).collect())
}

/// The variance of every key channel over the tokens, `[layers, kv_heads, head_dim]`. What is the
/// same in all keys adds the same to all scores of a query, which the softmax takes out again.
pub fn variances(moments: &Moments) -> Vec<f64> {
    let of = |(square, mean): (&f64, &f64)| (square - mean * mean).max(0.0);
    moments.squares.keys.iter().zip(&moments.key_means).map(of).collect()
}

/// Both channels of a rotation pair together, chosen one pair after the other in the manner of
/// RoPElite (EliteKV, arXiv 2503.01586): each time the pair that lowers the variance of what the
/// pairs left out add to the scores of a late query. Queries and keys count as independent, so that
/// the covariance of the parts of two pairs is the sum over their channels of mean q q' times the
/// covariance of k and k'. The importance of a pair is what it lowered, and at most that of the
/// pair before it. The last channel of an odd head does not rotate and counts as a pair.
pub fn greedy_pairs(shape: Shape, moments: &Moments) -> Result<Importance> {
    let (d, pairs) = (shape.head_dim, shape.head_dim.div_ceil(2));
    let channels = |pair: usize| {
        let (first, second) = match pair < d / 2 {
            true => (pair, shape.partner(pair)),
            false => (d - 1, None),
        };
        std::iter::once(first).chain(second)
    };
    let mut scores = vec![0.0; shape.entries()];
    for (head, scores) in scores.chunks_exact_mut(d).enumerate() {
        let of = |table: &'_ [f64], a: usize, b: usize| table[(head * d + a) * d + b];
        let means = &moments.key_means[head * d..][..d];
        let covariance = |i: usize, j: usize| -> f64 {
            let each = channels(i).flat_map(|a| channels(j).map(move |b| (a, b)));
            each.map(|(a, b)| {
                let keys = of(&moments.key_products, a, b) - means[a] * means[b];
                of(&moments.query_products, a, b) * keys
            })
            .sum()
        };
        let table: Vec<f64> = (0..pairs)
            .flat_map(|i| (0..pairs).map(move |j| (i, j)))
            .map(|(i, j)| covariance(i, j))
            .collect();
        // What leaving out would cost beside all pairs that are left out: at first, all are.
        let mut lowers: Vec<f64> = (0..pairs)
            .map(|i| 2.0 * table[i * pairs..][..pairs].iter().sum::<f64>() - table[i * pairs + i])
            .collect();
        let mut left: Vec<usize> = (0..pairs).collect();
        let mut before = f64::INFINITY;
        while let Some(at) = (0..left.len())
            .reduce(|best, at| if lowers[left[at]] > lowers[left[best]] { at } else { best })
        {
            let chosen = left.remove(at);
            before = before.min(lowers[chosen].max(0.0));
            channels(chosen).for_each(|channel| scores[channel] = before as f32);
            left.iter().for_each(|&other| lowers[other] -= 2.0 * table[chosen * pairs + other]);
        }
    }
    Importance::new(shape, scores)
}

/// Bands of rotation that a head's pairs are divided into.
const BANDS: usize = 8;

/// Importance shuffled inside the bands of rotation of every head: eighths of its pairs, fast to
/// slow. A selection by it keeps as many channels of every band as one by the importance itself, so
/// what the two differ in is not frequency. The last channel of an odd head stays.
pub fn shuffled_in_bands(importance: &Importance, seed: u64) -> Importance {
    let shape = importance.shape();
    let pairs = shape.pairs();
    let mut generator = StdRng::seed_from_u64(seed);
    let mut scores = importance.scores().to_vec();
    for head in scores.chunks_exact_mut(shape.head_dim) {
        for band in 0..BANDS {
            let own = band * pairs / BANDS..(band + 1) * pairs / BANDS;
            let channels: Vec<usize> = own.clone().chain(own.map(|pair| pair + pairs)).collect();
            let mut values: Vec<f32> = channels.iter().map(|&channel| head[channel]).collect();
            values.shuffle(&mut generator);
            channels.iter().zip(values).for_each(|(&channel, value)| head[channel] = value);
        }
    }
    Importance::new(shape, scores).expect("the scores of an importance")
}

/// A mix of two importances by rank, so that rules with different units can be combined: `(1 -
/// weight) * rank(first) + weight * rank(second)`. The rank of a score is the share of the positive
/// scores that are at most as large (over all layers, equal scores alike); a score of 0 or below
/// has rank 0, so that what neither rule would keep stays at 0. `weight` is 0..=1.
///
/// # Errors
/// Importances of different shape, and a weight outside 0..=1.
pub fn blend(first: &Importance, second: &Importance, weight: f64) -> Result<Importance> {
    let shape = first.shape();
    if shape != second.shape() {
        return Err(Error::input(format!(
            "importances of different shape cannot be mixed: {shape} and {}",
            second.shape()
        )));
    }
    if !(0.0..=1.0).contains(&weight) {
        return Err(Error::input(format!("weight {weight}: expected a number from 0 to 1")));
    }
    let mixed = ranks(first)
        .into_iter()
        .zip(ranks(second))
        .map(|(a, b)| ((1.0 - weight) * a + weight * b) as f32);
    Importance::new(shape, mixed.collect())
}

/// The rank of every score, 0..=1.
fn ranks(importance: &Importance) -> Vec<f64> {
    let scores = importance.scores();
    let mut order: Vec<u32> =
        (0..scores.len() as u32).filter(|&index| scores[index as usize] > 0.0).collect();
    order.sort_unstable_by(|&a, &b| scores[a as usize].total_cmp(&scores[b as usize]));
    let mut ranks = vec![0.0; scores.len()];
    let mut done = 0;
    for equal in order.chunk_by(|&a, &b| scores[a as usize] == scores[b as usize]) {
        done += equal.len();
        for &index in equal {
            ranks[index as usize] = done as f64 / order.len() as f64;
        }
    }
    ranks
}

/// Share of the kept channels that slowest-first also keeps at equal per-head counts; 0 for a mask
/// that keeps nothing.
pub fn slowest_first_overlap(mask: &ChannelMask) -> f64 {
    let slow = keep_counts(&slowest_first(mask.shape()), &mask.kept_counts());
    let both = mask.bits().iter().zip(slow.bits()).filter(|&(&a, &b)| a && b).count();
    both as f64 / mask.total_kept().max(1) as f64
}

/// The overlap that random channels at equal per-head counts have with a mask on average: sum of
/// c²/head_dim over sum of c.
pub fn random_overlap(mask: &ChannelMask) -> f64 {
    let squares: usize = mask.kept_counts().iter().map(|count| count * count).sum();
    squares as f64 / (mask.shape().head_dim * mask.total_kept().max(1)) as f64
}

fn every_head(shape: Shape, head: &[f32]) -> Importance {
    Importance::new(shape, head.repeat(shape.heads()))
        .expect("one finite score per channel, repeated for every head")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::select;
    use crate::mask::select::Options;

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
        assert_eq!(
            scores.head(0, 0),
            [2.0, 6.0, 12.0, 20.0],
            "heads 0 and 1 average to 2, 3, 4, 5"
        );
        assert_eq!(
            scores.head(0, 1),
            [10.0, 11.0, 12.0, 13.0],
            "heads 2 and 3 average to 10, 11, 12, 13"
        );
        assert_eq!(think(SHAPE, 3, &queries, &keys).unwrap_err().exit_code(), 2);
        assert_eq!(think(SHAPE, 4, &queries[1..], &keys).unwrap_err().exit_code(), 2);
    }

    /// Moments of keys and queries that are given one by one, for one head.
    fn moments(keys: &[Vec<f64>], queries: &[Vec<f64>]) -> Moments {
        let d = keys[0].len();
        let mean = |rows: &[Vec<f64>], of: &dyn Fn(&[f64]) -> f64| {
            rows.iter().map(|row| of(row)).sum::<f64>() / rows.len() as f64
        };
        let squares = |rows: &[Vec<f64>]| (0..d).map(|c| mean(rows, &|x| x[c] * x[c])).collect();
        let products = |rows: &[Vec<f64>]| {
            (0..d * d).map(|at| mean(rows, &|x| x[at / d] * x[at % d])).collect()
        };
        Moments {
            squares: crate::mask::MeanSquares {
                query_heads: 1,
                keys: squares(keys),
                queries: squares(queries),
            },
            key_means: (0..d).map(|c| mean(keys, &|x| x[c])).collect(),
            future_queries: squares(queries),
            key_products: products(keys),
            query_products: products(queries),
        }
    }

    fn numbers(seed: u64, rows: usize, d: usize) -> Vec<Vec<f64>> {
        let mut generator = StdRng::seed_from_u64(seed);
        let mut row = || (0..d).map(|c| generator.random::<f64>() * (1 + c) as f64).collect();
        (0..rows).map(|_| row()).collect()
    }

    #[test]
    fn what_all_keys_share_has_no_variance() {
        let mut keys = numbers(1, 9, 4);
        keys.iter_mut().for_each(|key| key[2] = -7.25);
        let found = variances(&moments(&keys, &numbers(2, 3, 4)));
        assert_eq!(found[2], 0.0);
        let mean = keys.iter().map(|key| key[1]).sum::<f64>() / 9.0;
        let plain = keys.iter().map(|key| (key[1] - mean).powi(2)).sum::<f64>() / 9.0;
        assert!((found[1] - plain).abs() < 1e-12);
    }

    /// Every next pair is the one that leaves the least variance of scores, by plain sums over all
    /// queries and keys.
    #[test]
    fn pairs_are_taken_by_what_they_leave_of_the_scores() {
        for (d, seed) in [(6, 3), (8, 4), (7, 5)] {
            let (keys, queries) = (numbers(seed, 12, d), numbers(seed + 10, 7, d));
            let pairs = d.div_ceil(2);
            let of = |pair: usize| -> Vec<usize> {
                match pair < d / 2 {
                    true => vec![pair, pair + d / 2],
                    false => vec![d - 1],
                }
            };
            // Mean over queries of the variance over keys of what the pairs left out would add.
            let left = |out: &[usize]| -> f64 {
                let channels: Vec<usize> = out.iter().flat_map(|&pair| of(pair)).collect();
                let each = queries.iter().map(|q| {
                    let parts: Vec<f64> =
                        keys.iter().map(|k| channels.iter().map(|&c| q[c] * k[c]).sum()).collect();
                    let mean = parts.iter().sum::<f64>() / parts.len() as f64;
                    parts.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / parts.len() as f64
                });
                each.sum::<f64>() / queries.len() as f64
            };
            let shape = Shape { layers: 1, kv_heads: 1, head_dim: d };
            let found = greedy_pairs(shape, &moments(&keys, &queries)).unwrap();
            let mut out: Vec<usize> = (0..pairs).collect();
            let mut least = f64::INFINITY;
            while !out.is_empty() {
                let without = |pair: usize| -> Vec<usize> {
                    out.iter().copied().filter(|&other| other != pair).collect()
                };
                let best = out
                    .iter()
                    .copied()
                    .min_by(|&a, &b| left(&without(a)).total_cmp(&left(&without(b))))
                    .unwrap();
                let lowered = left(&out) - left(&without(best));
                least = least.min(lowered.max(0.0));
                for channel in of(best) {
                    let score = f64::from(found.head(0, 0)[channel]);
                    assert!(
                        (score - least).abs() < 1e-5 * (1.0 + least),
                        "{channel}: {score}, not {least}"
                    );
                }
                out = without(best);
            }
        }
    }

    #[test]
    fn a_shuffle_in_bands_keeps_the_counts_of_every_band() {
        for head_dim in [64, 10, 7] {
            let shape = Shape { layers: 3, kv_heads: 2, head_dim };
            let own = random(shape, 11);
            let shuffled = shuffled_in_bands(&own, 5);
            assert_eq!(shuffled, shuffled_in_bands(&own, 5));
            assert_ne!(shuffled, shuffled_in_bands(&own, 6));
            let pairs = shape.pairs();
            for (own, other) in
                own.scores().chunks(head_dim).zip(shuffled.scores().chunks(head_dim))
            {
                for band in 0..BANDS {
                    let of = |scores: &[f32]| {
                        let mut values: Vec<f32> = (band * pairs / BANDS
                            ..(band + 1) * pairs / BANDS)
                            .flat_map(|pair| [scores[pair], scores[pair + pairs]])
                            .collect();
                        values.sort_by(f32::total_cmp);
                        values
                    };
                    assert_eq!(of(own), of(other), "band {band} of {head_dim} channels");
                }
            }
        }
    }

    #[test]
    fn a_blend_mixes_ranks_and_leaves_zeros_alone() {
        let first = Importance::new(SHAPE, vec![0.0, 1e-9, 5.0, 5.0, 0.0, 7.0, -1.0, 0.0]).unwrap();
        let second =
            Importance::new(SHAPE, vec![0.0, 400.0, 100.0, 0.0, 300.0, 200.0, 0.0, 0.0]).unwrap();
        // Ranks: 0, 1/4, 3/4, 3/4, 0, 1, 0, 0 and 0, 1, 1/4, 0, 3/4, 1/2, 0, 0.
        assert_eq!(
            blend(&first, &second, 0.0).unwrap().scores(),
            [0.0, 0.25, 0.75, 0.75, 0.0, 1.0, 0.0, 0.0]
        );
        assert_eq!(
            blend(&first, &second, 1.0).unwrap().scores(),
            [0.0, 1.0, 0.25, 0.0, 0.75, 0.5, 0.0, 0.0]
        );
        assert_eq!(
            blend(&first, &second, 0.5).unwrap().scores(),
            [0.0, 0.625, 0.5, 0.375, 0.375, 0.75, 0.0, 0.0]
        );
        // A rule mixed with itself selects what it selects alone.
        let own = random(Shape { layers: 2, kv_heads: 2, head_dim: 32 }, 3);
        let options = Options::new(0.6, 8);
        let selected = |importance: &Importance| select(importance, &options).unwrap();
        assert_eq!(
            selected(&blend(&own, &own, 0.3).unwrap()).kept_counts(),
            selected(&blend(&own, &own, 0.0).unwrap()).kept_counts()
        );
        assert_eq!(blend(&first, &own, 0.5).unwrap_err().exit_code(), 2);
        assert_eq!(blend(&first, &second, 1.5).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn key_norm_refuses_a_mean_that_is_no_number() {
        assert_eq!(key_norm(SHAPE, &[1.5; 8]).unwrap().scores(), [1.5; 8]);
        let error = key_norm(SHAPE, &[1.0, 1.0, 1.0, 1.0, 1.0, f64::NAN, 1.0, 1.0]).unwrap_err();
        assert!(error.to_string().contains("KV head 1, channel 1"), "{error}");
    }
}
