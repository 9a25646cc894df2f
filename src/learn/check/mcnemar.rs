//! McNemar's exact test on paired answers, and how many answers it needs to find a loss.

/// McNemar's exact test on paired answers, one-sided: does the pruned side lose more than it wins?
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct McNemar {
    /// Answers that only dense gave.
    pub lost: usize,
    /// Answers that only the pruned side gave.
    pub won: usize,
    /// Probability of at least `lost` losses among the pairs that differ, if both sides were
    /// equally good.
    pub p: f64,
}

impl McNemar {
    /// The test where nothing was asked: it finds nothing.
    pub fn of_none() -> Self {
        Self { lost: 0, won: 0, p: 1.0 }
    }

    /// The test on paired answers, dense first.
    pub fn of(dense: &[bool], pruned: &[bool]) -> Self {
        let count = |a: bool| dense.iter().zip(pruned).filter(|&(&d, &p)| d == a && p != a).count();
        let (lost, won) = (count(true), count(false));
        let n = lost + won;
        Self { lost, won, p: Binomial::new(n).tail(n, 0.5, lost) }
    }
}

/// Chance that the test on so many pairs finds, at `level`, that `less` of all answers (0 to 1) were lost,
/// where a share of `differ` of the pairs differs. Exact: over every number of pairs that may differ
/// (S. W. Duffy, *Asymptotic and exact power for the McNemar test*, Biometrics 40, 1984).
pub fn power(answers: usize, differ: f64, less: f64, level: f64) -> f64 {
    let binomial = Binomial::new(answers);
    // Of the pairs that differ, the share that is lost.
    let lost = (differ + less) / (2.0 * differ);
    // Numbers of pairs that differ which are not as good as impossible.
    let (mean, reach) = (answers as f64 * differ, 8.0 * (answers as f64 * differ).sqrt() + 8.0);
    let (first, last) = ((mean - reach).max(0.0) as usize, ((mean + reach) as usize).min(answers));
    (first..=last)
        .filter_map(|n| {
            let critical = binomial.critical(n, level)?;
            Some(binomial.probability(answers, differ, n) * binomial.tail(n, lost, critical))
        })
        .sum()
}

/// The fewest answers with which [`power`] is at least `wanted`.
pub fn answers_needed(differ: f64, less: f64, level: f64, wanted: f64) -> usize {
    let enough = |answers| power(answers, differ, less, level) >= wanted;
    let mut high = 16;
    while !enough(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = (low + high) / 2;
        if enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Binomial probabilities, in logarithms, because there may be thousands.
struct Binomial {
    /// Logarithms of the factorials.
    factorials: Vec<f64>,
}

impl Binomial {
    /// Of at most so many.
    fn new(most: usize) -> Self {
        let mut factorials = vec![0.0; most + 1];
        for n in 1..=most {
            factorials[n] = factorials[n - 1] + (n as f64).ln();
        }
        Self { factorials }
    }

    /// P(X = k), X ~ Binomial(n, p).
    fn probability(&self, n: usize, p: f64, k: usize) -> f64 {
        // 0 times the logarithm of 0 is 0 here.
        let times = |count: usize, p: f64| if count == 0 { 0.0 } else { count as f64 * p.ln() };
        let choose = self.factorials[n] - self.factorials[k] - self.factorials[n - k];
        (choose + times(k, p) + times(n - k, 1.0 - p)).exp()
    }

    /// The least k with P(X >= k) of at most `level`, X ~ Binomial(n, 1/2).
    fn critical(&self, n: usize, level: f64) -> Option<usize> {
        let mut tail = 0.0;
        for k in (0..=n).rev() {
            tail += self.probability(n, 0.5, k);
            if tail > level {
                return (k < n).then_some(k + 1);
            }
        }
        None
    }

    /// P(X >= k).
    fn tail(&self, n: usize, p: f64, k: usize) -> f64 {
        (k..=n).map(|k| self.probability(n, p, k)).sum::<f64>().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn mcnemar_is_the_exact_binomial_tail() {
        let pairs = |lost: usize, won: usize, same: usize| {
            let dense = [vec![true; lost], vec![false; won], vec![true; same]].concat();
            let pruned = [vec![false; lost], vec![true; won], vec![true; same]].concat();
            McNemar::of(&dense, &pruned)
        };
        // P(X >= 5), X ~ B(5, 1/2) = 1/32; P(X >= 8), X ~ B(10, 1/2) = (45 + 10 + 1) / 1024.
        assert!((pairs(5, 0, 20).p - 1.0 / 32.0).abs() < 1e-12);
        assert!((pairs(8, 2, 5).p - 56.0 / 1024.0).abs() < 1e-12);
        assert_eq!(pairs(0, 0, 7), McNemar { lost: 0, won: 0, p: 1.0 });
        assert!(pairs(400, 100, 0).p < 1e-30);
    }

    #[test]
    fn power_is_what_simulated_checks_find() {
        let (answers, differ, less, level) = (300, 0.06, 0.03, 0.05);
        let mut random = StdRng::seed_from_u64(5);
        let checks = 4000;
        let found = (0..checks)
            .filter(|_| {
                let draws: Vec<f64> = (0..answers).map(|_| random.random()).collect();
                let lost: Vec<bool> =
                    draws.iter().map(|&draw| draw < (differ + less) / 2.0).collect();
                let won: Vec<bool> =
                    draws.iter().map(|&draw| draw >= 1.0 - (differ - less) / 2.0).collect();
                let dense: Vec<bool> = won.iter().map(|&won| !won).collect();
                let pruned: Vec<bool> = lost.iter().map(|&lost| !lost).collect();
                McNemar::of(&dense, &pruned).p <= level
            })
            .count();
        let simulated = found as f64 / checks as f64;
        let exact = power(answers, differ, less, level);
        // Three standard errors of 4,000 checks.
        assert!((simulated - exact).abs() < 0.024, "{simulated} and {exact}");
    }

    #[test]
    fn more_answers_are_needed_where_more_pairs_differ() {
        let needed = |differ| answers_needed(differ, 0.02, 0.05, 0.8);
        // All that differ are lost: five of them must come, and 335 are the first n with
        // P(Binomial(n, .02) >= 5) >= .8.
        assert_eq!(needed(0.02), 335);
        // R. R. Connor (Biometrics 43, 1987), without continuity: 879 at 5.7 %; the exact test asks more.
        let usual = needed(0.057);
        assert!((879..1000).contains(&usual), "{usual}");
        assert!(
            power(usual, 0.057, 0.02, 0.05) >= 0.8 && power(usual / 2, 0.057, 0.02, 0.05) < 0.8
        );
    }
}
