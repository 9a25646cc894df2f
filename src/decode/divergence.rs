//! The distance between two next-token distributions: the one definition for commands, screens,
//! reports and tests.

use serde::{Deserialize, Serialize};

use crate::decode::sampler::argmax;
use crate::spread::Spread;

/// What one decode step lost, dense against pruned, over the full vocabulary at temperature 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepDivergence {
    /// KL(dense || pruned) in nats.
    pub kld: f64,
    /// Whether both put the same token first.
    pub same_top: bool,
    /// Log-probability of the token that was fed next, pruned minus dense.
    pub delta_logprob: f64,
    /// Probability of that token, pruned minus dense.
    pub delta_p: f64,
}

impl StepDivergence {
    /// Compares two rows of logits; `next` is the token that was fed next.
    pub fn of(dense: &[f32], pruned: &[f32], next: u32) -> Self {
        let (dense_norm, pruned_norm) = (log_sum_exp(dense), log_sum_exp(pruned));
        let kld: f64 = dense
            .iter()
            .zip(pruned)
            .map(|(&p, &q)| {
                let (log_p, log_q) = (f64::from(p) - dense_norm, f64::from(q) - pruned_norm);
                log_p.exp() * (log_p - log_q)
            })
            .sum();
        let at = next as usize;
        let (log_p, log_q) =
            (f64::from(dense[at]) - dense_norm, f64::from(pruned[at]) - pruned_norm);
        Self {
            // Rounding can make the sum for two equal distributions fall just below zero; the
            // divergence cannot.
            kld: kld.max(0.0),
            same_top: argmax(dense) == argmax(pruned),
            delta_logprob: log_q - log_p,
            delta_p: log_q.exp() - log_p.exp(),
        }
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    f64::from(max) + sum.ln()
}

/// The likeliest tokens of a row of logits with their probabilities, likeliest first; of equal ones
/// the lower id.
pub fn top(logits: &[f32], n: usize) -> Vec<(u32, f32)> {
    let norm = log_sum_exp(logits);
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(n + 1);
    // Few logits reach the list, so most tokens cost one comparison.
    let mut least = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > least || best.len() < n {
            let at = best.partition_point(|&(_, other)| other >= logit);
            best.insert(at, (id as u32, logit));
            best.truncate(n);
            if best.len() == n {
                least = best.last().map_or(f32::INFINITY, |&(_, logit)| logit);
            }
        }
    }
    best.into_iter().map(|(id, logit)| (id, (f64::from(logit) - norm).exp() as f32)).collect()
}

/// Divergence over many steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Divergence {
    /// Steps compared.
    pub steps: usize,
    /// KL(dense || pruned) per step, nats.
    pub kld: Spread,
    /// Share of steps where both put the same token first.
    pub top1_agreement: f64,
    /// Mean change of the log-probability of the token that was fed next.
    pub mean_delta_logprob: f64,
    /// Root mean square of the change of that token's probability.
    pub rms_delta_p: f64,
}

impl Divergence {
    /// Summarises these steps.
    pub fn of(steps: &[StepDivergence]) -> Self {
        if steps.is_empty() {
            return Self::default();
        }
        let n = steps.len() as f64;
        Self {
            steps: steps.len(),
            kld: Spread::of(steps.iter().map(|step| step.kld)),
            top1_agreement: steps.iter().filter(|step| step.same_top).count() as f64 / n,
            mean_delta_logprob: steps.iter().map(|step| step.delta_logprob).sum::<f64>() / n,
            rms_delta_p: (steps.iter().map(|step| step.delta_p.powi(2)).sum::<f64>() / n).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_of_known_distributions() {
        let dense = [0.5_f32.ln(), 0.5_f32.ln()];
        let pruned = [0.25_f32.ln(), 0.75_f32.ln()];
        let step = StepDivergence::of(&dense, &pruned, 0);
        let exact = 0.5 * (0.5_f64 / 0.25).ln() + 0.5 * (0.5_f64 / 0.75).ln();
        assert!((step.kld - exact).abs() < 1e-7);
        assert!((step.delta_p + 0.25).abs() < 1e-7);
        assert!(!step.same_top);
        // Adding a constant to all logits is no change.
        let shifted: Vec<f32> = dense.iter().map(|l| l + 20.0).collect();
        assert!(StepDivergence::of(&dense, &shifted, 1).kld < 1e-12);
    }

    #[test]
    fn top_lists_the_likeliest_first() {
        let found = top(&[0.0, 2.0, 1.0, 2.0], 3);
        assert_eq!(found.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 3, 2]);
        let total: f32 = [0.0_f32, 2.0, 1.0, 2.0].iter().map(|l| l.exp()).sum();
        assert!((found[0].1 - 2.0_f32.exp() / total).abs() < 1e-6);
    }
}
