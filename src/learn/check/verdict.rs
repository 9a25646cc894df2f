//! Ship or do not ship: fixed thresholds on the loss of a mask.

/// The largest loss that a mask may have.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Thresholds {
    /// Digit NLL above dense, nats.
    pub digit_nll: f64,
    /// Mean forced KLD on held-out text, nats.
    pub kld: f64,
    /// Recall below dense, 0 to 1.
    pub recall: f64,
    /// Level of the one-sided test on paired answers.
    pub significance: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { digit_nll: 0.02, kld: 0.05, recall: 0.02, significance: 0.05 }
    }
}

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
    /// The test on paired answers, dense first.
    pub fn of(dense: &[bool], pruned: &[bool]) -> Self {
        let count = |a: bool| dense.iter().zip(pruned).filter(|&(&d, &p)| d == a && p != a).count();
        let (lost, won) = (count(true), count(false));
        let n = lost + won;
        // Binomial(n, 1/2), in logarithms, because n may be in the hundreds.
        let mut ln_choose = 0.0_f64;
        let mut tail = 0.0;
        for k in 0..=n {
            if k > 0 {
                ln_choose += ((n - k + 1) as f64 / k as f64).ln();
            }
            if k >= lost {
                tail += (ln_choose - n as f64 * std::f64::consts::LN_2).exp();
            }
        }
        Self { lost, won, p: tail.min(1.0) }
    }
}

/// The verdict and its reason.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Verdict {
    /// Whether the mask may be used.
    pub ship: bool,
    /// One sentence.
    pub reason: String,
}

impl Verdict {
    /// The verdict on measured values: digit NLL and recall as (dense, learned), KLD, and the test
    /// on paired answers.
    pub fn of(
        nll: (f64, f64),
        recall: (f64, f64),
        kld: f64,
        test: &McNemar,
        limits: &Thresholds,
    ) -> Self {
        let mut faults = Vec::new();
        let more = nll.1 - nll.0;
        let above = |value: f64, limit: f64| value.is_nan() || value > limit;
        if above(more, limits.digit_nll) {
            faults.push(format!(
                "digit NLL is {more:.3} above dense (at most {:.3})",
                limits.digit_nll
            ));
        }
        if above(kld, limits.kld) {
            faults.push(format!("text KLD is {kld:.4} (at most {:.4})", limits.kld));
        }
        let less = recall.0 - recall.1;
        if above(less, limits.recall) {
            faults.push(format!(
                "recall is {:.1} points below dense (at most {:.1})",
                less * 100.0,
                limits.recall * 100.0
            ));
        }
        if test.p < limits.significance {
            faults.push(format!(
                "it loses {} answers and wins {} (one-sided McNemar p = {:.3})",
                test.lost, test.won, test.p
            ));
        }
        let reason = match faults.is_empty() {
            true => format!(
                "digit NLL {more:+.3} against dense, text KLD {kld:.4}, recall {:+.1} points ({} lost, {} won, p = {:.2})",
                -less * 100.0,
                test.lost,
                test.won,
                test.p
            ),
            false => faults.join("; "),
        };
        Self { ship: faults.is_empty(), reason }
    }

    /// `ship` or `do not ship`.
    pub fn word(&self) -> &'static str {
        if self.ship { "ship" } else { "do not ship" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn each_threshold_can_stop_a_mask() {
        let limits = Thresholds::default();
        let fine = McNemar { lost: 3, won: 3, p: 0.66 };
        let of = |nll, recall, kld, test: &McNemar| {
            Verdict::of((0.1, nll), (0.8, recall), kld, test, &limits).ship
        };
        assert!(of(0.12, 0.79, 0.05, &fine));
        assert!(!of(0.121, 0.8, 0.01, &fine));
        assert!(!of(0.1, 0.77, 0.01, &fine));
        assert!(!of(0.1, 0.8, 0.051, &fine));
        assert!(!of(f64::NAN, 0.8, 0.01, &fine) && !of(0.1, 0.8, f64::NAN, &fine));
        assert!(!of(0.1, 0.8, 0.01, &McNemar { lost: 9, won: 1, p: 0.01 }));
    }
}
