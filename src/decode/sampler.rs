//! Choosing the next token from logits.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{Error, Result};

/// How tokens are chosen. Filters apply in the order of the fields; temperature 0 is greedy and
/// ignores the filters.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sampling {
    /// Divides the logits of tokens that appeared before (multiplies negative ones); 1 changes
    /// nothing.
    pub repeat_penalty: f32,
    /// 0 takes the largest logit.
    pub temperature: f32,
    /// Keeps the `k` largest; 0 keeps all.
    pub top_k: usize,
    /// Keeps the smallest set of largest probabilities that reaches `p`; 1 keeps all.
    pub top_p: f32,
    /// Keeps probabilities of at least `p` times the largest; 0 keeps all.
    pub min_p: f32,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { repeat_penalty: 1.0, temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: 0 }
    }
}

impl Sampling {
    /// The sampling of one sequence of a batch: with a seed of its own, so that equal prompts get
    /// different answers.
    pub fn of_sequence(&self, index: usize) -> Self {
        Self { seed: self.seed.wrapping_add(index as u64), ..self.clone() }
    }

    /// Refuses values outside their range, naming the first.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top-p", self.top_p, f32::MIN_POSITIVE, 1.0),
            ("min-p", self.min_p, 0.0, 1.0),
            ("repeat penalty", self.repeat_penalty, f32::MIN_POSITIVE, 100.0),
        ];
        match ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
            Some((what, value, low, high)) => {
                let low = if low > 0.0 && low < 1e-6 { 0.0 } else { low };
                Err(Error::input(format!("{what} must be {low} to {high}, not {value}")))
            }
            None => Ok(()),
        }
    }
}

/// One sequence's sampler with its random numbers.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: StdRng,
    scratch: Vec<(f32, u32)>,
}

impl Sampler {
    /// A sampler with newly seeded random numbers.
    pub fn new(sampling: Sampling) -> Self {
        Self { rng: StdRng::seed_from_u64(sampling.seed), sampling, scratch: Vec::new() }
    }

    /// How it chooses.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// The next token after `history` (prompt and generated tokens).
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> u32 {
        let greedy = self.sampling.temperature == 0.0;
        if greedy && self.sampling.repeat_penalty == 1.0 {
            return argmax(logits);
        }
        let candidates = &mut self.scratch;
        candidates.clear();
        candidates.extend(logits.iter().copied().zip(0..));
        if self.sampling.repeat_penalty != 1.0 {
            let mut seen = history.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for token in seen {
                if let Some((logit, _)) = candidates.get_mut(token as usize) {
                    let penalty = self.sampling.repeat_penalty;
                    let changed = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
                    // A tiny penalty must not make infinities, whose differences are no numbers.
                    *logit = changed.clamp(f32::MIN, f32::MAX);
                }
            }
        }
        // Largest first, lower id first among equals.
        let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if greedy {
            return candidates
                .iter()
                .min_by(|a, b| order(a, b))
                .expect("a vocabulary is not empty")
                .1;
        }
        if self.sampling.top_k > 0 && self.sampling.top_k < candidates.len() {
            candidates.select_nth_unstable_by(self.sampling.top_k - 1, order);
            candidates.truncate(self.sampling.top_k);
        }
        candidates.sort_unstable_by(order);
        let max = candidates[0].0;
        for (logit, _) in candidates.iter_mut() {
            *logit = ((*logit - max) / self.sampling.temperature).exp();
        }
        let total: f32 = candidates.iter().map(|(weight, _)| weight).sum();
        let floor = self.sampling.min_p * candidates[0].0;
        let mut reached = 0.0;
        let mut kept = 0;
        for (weight, _) in candidates.iter() {
            if kept > 0 && (*weight < floor || reached >= self.sampling.top_p * total) {
                break;
            }
            reached += weight;
            kept += 1;
        }
        let mut draw = self.rng.random::<f32>() * reached;
        for (weight, token) in &candidates[..kept] {
            draw -= weight;
            if draw < 0.0 {
                return *token;
            }
        }
        candidates[kept - 1].1
    }
}

/// The largest logit's token, the lowest id among equals.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// Natural logarithm of the softmax probability of one token at temperature 1, accumulated in f64.
pub fn logprob(logits: &[f32], token: u32) -> f32 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    // Logits can lie further apart than f32 reaches; what is printed stays a number.
    ((f64::from(logits[token as usize] - max) - sum.ln()) as f32).max(f32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sampling: Sampling, logits: &[f32], history: &[u32]) -> Vec<usize> {
        let mut sampler = Sampler::new(sampling);
        let mut counts = vec![0; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.sample(logits, history) as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_largest_and_the_lowest_among_equals() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
        let mut sampler = Sampler::new(Sampling { repeat_penalty: 2.0, ..Sampling::default() });
        assert_eq!(sampler.sample(&[1.0, 3.0, 2.0, -1.0], &[]), 1);
        assert_eq!(
            sampler.sample(&[1.0, 3.0, 2.0, -1.0], &[1, 1]),
            2,
            "the penalty counts a token once"
        );
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0_f32, 1.0, 2.0];
        let found =
            counts(Sampling { temperature: 1.0, seed: 7, ..Sampling::default() }, &logits, &[]);
        let total: f32 = logits.iter().map(|l| l.exp()).sum();
        for (logit, count) in logits.iter().zip(found) {
            assert!((count as f32 / 20_000.0 - logit.exp() / total).abs() < 0.015);
        }
    }

    #[test]
    fn filters_cut_the_tail() {
        let logits = [0.0, 1.0, 2.0, 3.0];
        let warm = Sampling { temperature: 1.0, ..Sampling::default() };
        let zero =
            |counts: Vec<usize>| counts.iter().map(|&c| usize::from(c > 0)).collect::<Vec<_>>();
        assert_eq!(zero(counts(Sampling { top_k: 2, ..warm.clone() }, &logits, &[])), [0, 0, 1, 1]);
        // softmax is .032 .087 .237 .644
        assert_eq!(
            zero(counts(Sampling { top_p: 0.7, ..warm.clone() }, &logits, &[])),
            [0, 0, 1, 1]
        );
        assert_eq!(
            zero(counts(Sampling { top_p: 0.6, ..warm.clone() }, &logits, &[])),
            [0, 0, 0, 1]
        );
        assert_eq!(zero(counts(Sampling { min_p: 0.1, ..warm }, &logits, &[])), [0, 1, 1, 1]);
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
        let draw = |seed| {
            let mut sampler =
                Sampler::new(Sampling { temperature: 1.5, seed, ..Sampling::default() });
            (0..40).map(|_| sampler.sample(&logits, &[])).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let logits = [0.3_f32, -2.0, 40.0, 39.0];
        let sum: f64 = (0..4).map(|t| f64::from(logprob(&logits, t)).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn extreme_logits_and_penalties_give_numbers() {
        let logits = [f32::MAX, f32::MIN, 0.0];
        assert_eq!(logprob(&logits, 1), f32::MIN);
        assert_eq!(logprob(&logits, 0), 0.0);
        // With infinities the difference to the largest would be no number, and the last be drawn.
        let found = counts(
            Sampling { repeat_penalty: 1e-37, temperature: 1.0, ..Sampling::default() },
            &[2.0, 30.0, 20.0],
            &[1],
        );
        assert_eq!(found, [0, 20_000, 0]);
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let wrong = Sampling { top_p: 1.5, ..Sampling::default() }.check().unwrap_err().to_string();
        assert_eq!(wrong, "top-p must be 0 to 1, not 1.5");
        assert!(Sampling { temperature: f32::NAN, ..Sampling::default() }.check().is_err());
    }
}
