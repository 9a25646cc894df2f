//! Tests on paired scores: McNemar's where answers are right or wrong, a bootstrap where they can be
//! right in part.

use crate::learn::check::McNemar;
use crate::random::SplitMix64;

/// A mask's scores beside the dense ones.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct PairedScores {
    /// Samples with a lower score than dense.
    pub lost: usize,
    /// Samples with a higher score.
    pub won: usize,
    /// One-sided: McNemar's exact test, or the share of bootstrap means that are not below 0.
    pub p: f64,
    /// Bounds of the mean difference in points, 95 % of the bootstrap means; `None` where McNemar's
    /// test applies.
    pub interval: Option<[f64; 2]>,
}

/// Bootstrap samples.
const DRAWS: usize = 10_000;

/// Compares scores of 0 to 1, sample by sample.
pub fn paired(dense: &[f64], other: &[f64]) -> PairedScores {
    let differences: Vec<f64> = other.iter().zip(dense).map(|(own, dense)| own - dense).collect();
    let lost = differences.iter().filter(|difference| **difference < 0.0).count();
    let won = differences.iter().filter(|difference| **difference > 0.0).count();
    let binary = |scores: &[f64]| scores.iter().all(|&score| score == 0.0 || score == 1.0);
    if binary(dense) && binary(other) {
        let right = |scores: &[f64]| scores.iter().map(|&score| score == 1.0).collect::<Vec<_>>();
        let test = McNemar::of(&right(dense), &right(other));
        return PairedScores { lost, won, p: test.p, interval: None };
    }
    // The same draws for every mask, so that equal scores give equal figures.
    let mut rng = SplitMix64::new(differences.len() as u64);
    let n = differences.len();
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| (0..n).map(|_| differences[rng.below(n)]).sum::<f64>() / n as f64)
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let not_below = means.iter().filter(|mean| **mean >= 0.0).count();
    let at = |share: f64| 100.0 * means[((share * DRAWS as f64) as usize).min(DRAWS - 1)];
    PairedScores {
        lost,
        won,
        p: not_below as f64 / DRAWS as f64,
        interval: Some([at(0.025), at(0.975)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_and_wrong_answers_are_tested_exactly() {
        let dense = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
        let own = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let found = paired(&dense, &own);
        assert_eq!((found.lost, found.won, found.interval), (5, 0, None));
        assert!((found.p - 1.0 / 32.0).abs() < 1e-12);
    }

    #[test]
    fn part_scores_have_an_interval_around_their_mean() {
        let dense: Vec<f64> = (0..200).map(|at| f64::from(at % 4) / 3.0).collect();
        let own: Vec<f64> = (0..200).map(|at| f64::from((at + at / 100) % 4) / 3.0).collect();
        let found = paired(&dense, &own);
        let [low, high] = found.interval.unwrap();
        let mean = 100.0 * own.iter().zip(&dense).map(|(o, d)| o - d).sum::<f64>() / 200.0;
        assert!(low < mean && mean < high && high - low < 15.0, "{low} {mean} {high}");
        let same = paired(&dense, &dense);
        assert_eq!((same.lost, same.won, same.p, same.interval), (0, 0, 1.0, Some([0.0, 0.0])));
        let worse: Vec<f64> = dense.iter().map(|score| score * 0.5).collect();
        assert!(paired(&dense, &worse).p < 1e-3);
    }
}
