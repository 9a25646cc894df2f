//! How far two importances agree in the order of a head's channels.

use super::Importance;
use crate::{Error, Result};

/// Spearman's rank correlation of the channels of every head, `[layers, kv_heads]`: the correlation
/// of ranks, where equal scores share their mean rank. `None` for a head whose scores are all equal
/// in one of the two, which has no order.
///
/// # Errors
/// Importances of different shape.
pub fn rank_correlations(a: &Importance, b: &Importance) -> Result<Vec<Option<f64>>> {
    let shape = a.shape();
    if shape != b.shape() {
        return Err(Error::input(format!(
            "importances of different shape cannot be compared: {shape} and {}",
            b.shape()
        )));
    }
    let heads = shape.each_head();
    let correlation = |(layer, head)| {
        correlation(&mean_ranks(a.head(layer, head)), &mean_ranks(b.head(layer, head)))
    };
    Ok(heads.map(correlation).collect())
}

/// The rank of every score, the lowest 1; equal scores share the mean of their ranks.
fn mean_ranks(scores: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0.0; scores.len()];
    let mut done = 0;
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let mean = done as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|&at| ranks[at] = mean);
        done += equal.len();
    }
    ranks
}

/// Pearson's correlation; `None` where one side does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut own_a, mut own_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        own_a += a * a;
        own_b += b * b;
    }
    (own_a > 0.0 && own_b > 0.0).then(|| both / (own_a * own_b).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Shape;

    #[test]
    fn the_order_of_channels_counts_and_not_their_size() {
        let shape = Shape { layers: 1, kv_heads: 3, head_dim: 5 };
        let importance = |scores: [f32; 15]| Importance::new(shape, scores.to_vec()).unwrap();
        let a = importance([1., 2., 3., 4., 5., 1., 2., 3., 4., 5., 7., 7., 7., 7., 7.]);
        let b = importance([10., 20., 30., 99., 5e9, 5., 4., 3., 2., 1., 1., 2., 3., 4., 5.]);
        assert_eq!(rank_correlations(&a, &b).unwrap(), [Some(1.0), Some(-1.0), None]);
        // By hand: ranks 1, 2.5, 2.5, 4, 5 against 2, 1, 3, 4, 5: 8 over the root of 9.5 times 10.
        let shape = Shape { layers: 1, kv_heads: 1, head_dim: 5 };
        let of = |scores: [f32; 5]| Importance::new(shape, scores.to_vec()).unwrap();
        let found =
            rank_correlations(&of([0., 3., 3., 4., 5.]), &of([2., 1., 3., 4., 5.])).unwrap();
        assert!((found[0].unwrap() - 8.0 / 95.0_f64.sqrt()).abs() < 1e-12, "{found:?}");
        assert_eq!(rank_correlations(&a, &of([1.0; 5])).unwrap_err().exit_code(), 2);
    }
}
