//! Which experts rows go through, and with which weights.

/// Rows sorted by the experts that they go through.
#[derive(Debug)]
pub struct Routing {
    /// The experts that some row goes through, in order.
    pub parts: Vec<ExpertRows>,
    /// The softmax that the weights of the chosen experts are entries of, `[rows, experts]`: of all
    /// scores, or of those of the chosen experts alone, with zeros elsewhere, where their weights add
    /// up to 1.
    pub shares: Vec<f32>,
}

/// The rows that go through one expert.
#[derive(Debug, Default)]
pub struct ExpertRows {
    /// The expert.
    pub expert: usize,
    /// The rows, in order.
    pub rows: Vec<usize>,
    /// What the expert's output is multiplied by in each of them.
    pub weights: Vec<f32>,
}

impl Routing {
    /// From the scores of the experts, `[rows, experts]`: a softmax over all, of which the `chosen`
    /// largest stay, divided by their sum where they are `normalised`. Of equal ones the first is
    /// taken.
    pub fn new(scores: Vec<f32>, experts: usize, chosen: usize, normalised: bool) -> Self {
        let mut shares = scores;
        let mut all: Vec<ExpertRows> =
            (0..experts).map(|expert| ExpertRows { expert, ..ExpertRows::default() }).collect();
        let mut order: Vec<usize> = Vec::with_capacity(experts);
        for (row, shares) in shares.chunks_exact_mut(experts).enumerate() {
            softmax(shares);
            order.clear();
            order.extend(0..experts);
            order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
            let (taken, left) = order.split_at(chosen);
            if normalised {
                let sum: f32 = taken.iter().map(|&expert| shares[expert]).sum();
                left.iter().for_each(|&expert| shares[expert] = 0.0);
                taken.iter().for_each(|&expert| shares[expert] /= sum);
            }
            for &expert in taken {
                all[expert].rows.push(row);
                all[expert].weights.push(shares[expert]);
            }
        }
        all.retain(|part| !part.rows.is_empty());
        Self { parts: all, shares }
    }

    /// The gradient of the scores, `[rows, experts]`, from that of the weights of chosen experts, in
    /// the same places, 0 elsewhere. The choice itself has no gradient.
    pub fn back(&self, d_weights: &[f32], experts: usize) -> Vec<f32> {
        let mut d_scores = Vec::with_capacity(d_weights.len());
        let rows = self.shares.chunks_exact(experts).zip(d_weights.chunks_exact(experts));
        for (shares, d_weights) in rows {
            let mean: f32 = shares.iter().zip(d_weights).map(|(share, d)| share * d).sum();
            d_scores.extend(shares.iter().zip(d_weights).map(|(share, d)| share * (d - mean)));
        }
        d_scores
    }
}

fn softmax(x: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f32 = x.iter().sum();
    x.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 8] = [0.1, 1.2, -0.4, 0.9, 2.0, 0.3, 0.3, -1.0];

    /// The weights of a row by expert.
    fn weights(routing: &Routing, row: usize) -> Vec<(usize, f32)> {
        let of = |part: &ExpertRows| {
            let at = part.rows.iter().position(|&held| held == row)?;
            Some((part.expert, part.weights[at]))
        };
        routing.parts.iter().filter_map(of).collect()
    }

    #[test]
    fn the_largest_shares_are_taken_and_of_equal_ones_the_first() {
        let whole = Routing::new(SCORES.to_vec(), 4, 2, false);
        let e: Vec<f32> = SCORES[..4].iter().map(|x| x.exp()).collect();
        let sum: f32 = e.iter().sum();
        let found = weights(&whole, 0);
        assert_eq!(found.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(), [1, 3]);
        assert!((found[0].1 - e[1] / sum).abs() < 1e-6 && (found[1].1 - e[3] / sum).abs() < 1e-6);
        let normalised = Routing::new(SCORES.to_vec(), 4, 2, true);
        let found = weights(&normalised, 0);
        assert!((found[0].1 - e[1] / (e[1] + e[3])).abs() < 1e-6);
        assert!((found[0].1 + found[1].1 - 1.0).abs() < 1e-6);
        let experts: Vec<usize> =
            weights(&normalised, 1).iter().map(|(expert, _)| *expert).collect();
        assert_eq!(experts, [0, 1], "of two that are equal");
        assert_eq!(Routing::new(vec![f32::NAN; 4], 4, 2, true).parts.len(), 2);
    }

    #[test]
    fn the_gradient_of_the_scores_is_that_of_finite_differences() {
        let slopes = [0.7, -1.1, 0.4, 0.2, -0.3, 0.9, 0.5, -0.6];
        for (chosen, normalised) in [(2, false), (2, true), (3, true), (1, true), (4, false)] {
            let value = |scores: &[f32]| -> f64 {
                let routing = Routing::new(scores.to_vec(), 4, chosen, normalised);
                let each = |part: &ExpertRows| -> f64 {
                    let pairs = part.rows.iter().zip(&part.weights);
                    pairs.map(|(row, w)| f64::from(slopes[row * 4 + part.expert] * w)).sum()
                };
                routing.parts.iter().map(each).sum()
            };
            let routing = Routing::new(SCORES.to_vec(), 4, chosen, normalised);
            let mut d_weights = vec![0.0; 8];
            for part in &routing.parts {
                for row in &part.rows {
                    d_weights[row * 4 + part.expert] = slopes[row * 4 + part.expert];
                }
            }
            let found = routing.back(&d_weights, 4);
            // The second row's equal scores are at a choice, where there is no gradient.
            for at in (0..8).filter(|at| chosen == 4 || ![5, 6].contains(at)) {
                let step = 1e-2;
                let moved = |by: f32| {
                    let mut scores = SCORES;
                    scores[at] += by;
                    value(&scores)
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                assert!(
                    (slope - f64::from(found[at])).abs() < 1e-4,
                    "{chosen}: {slope} is not {}",
                    found[at]
                );
            }
        }
    }
}
