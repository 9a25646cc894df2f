//! Ship or do not ship: fixed thresholds on the loss of a mask, and nothing plainer that is better at
//! its bytes.

use super::plain::Cost;
use crate::numbers;

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
    /// Whether enough was asked to tell; where not, nothing is said against the mask.
    pub has_evidence: bool,
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
        Self { ship: faults.is_empty(), has_evidence: true, reason }
    }

    /// The verdict on the loss on text, and where questions were asked on the answers too: recall
    /// of dense and pruned, 0 to 1, and the test on the pairs.
    pub fn of_text(kld: f64, answers: Option<((f64, f64), &McNemar)>, limits: &Thresholds) -> Self {
        let mut ship = kld <= limits.kld;
        let limit = if ship { String::new() } else { format!(" (at most {:.4})", limits.kld) };
        let mut reason = format!("text KLD is {}{limit}", numbers::nats(kld));
        if let Some(((dense, pruned), test)) = answers {
            ship &= dense - pruned <= limits.recall && test.p >= limits.significance;
            reason += &format!(
                ", recall {:+.1} points ({} lost, {} won, p = {:.2})",
                (pruned - dense) * 100.0,
                test.lost,
                test.won,
                test.p
            );
        }
        Self { ship, has_evidence: true, reason }
    }

    /// The verdict on so many answers. Where even a mask that loses as many points as it may, and wins
    /// nothing back, would pass the test on pairs, a mask that passed has not shown anything.
    pub fn on_answers(self, answers: usize, limits: &Thresholds) -> Self {
        let needed = answers_needed(limits);
        if !self.ship || answers >= needed {
            return self;
        }
        let reason = format!(
            "a check of {} answers cannot tell a loss of {:.1} points from chance, one of {} can; {}",
            numbers::count(answers),
            limits.recall * 100.0,
            numbers::count(needed),
            self.reason
        );
        Self { ship: false, has_evidence: false, reason }
    }

    /// Says what plain caches cost and lose, and takes `ship` back where one of them is better at
    /// these bytes.
    pub fn beside(self, own: &Cost, plain: &[Cost], limits: &Thresholds) -> Self {
        if plain.is_empty() {
            return self;
        }
        let better = |cost: &&Cost| cost.is_better_than(own, limits.recall);
        let best = plain.iter().filter(better).min_by(|a, b| a.kld_mean.total_cmp(&b.kld_mean));
        let costs: Vec<String> =
            plain.iter().map(|cost| format!("{} {}", cost.name, cost.words())).collect();
        let all = format!(
            "{}; {} at {} tokens; plain caches: {}",
            self.reason,
            own.words(),
            numbers::count(own.tokens),
            costs.join("; ")
        );
        match best {
            Some(best) => Self {
                ship: false,
                has_evidence: true,
                reason: format!("{} is plainer, not larger, and loses less: {all}", best.name),
            },
            None => Self { reason: all, ..self },
        }
    }

    /// `ship`, `do not ship` or `not enough evidence`.
    pub fn word(&self) -> &'static str {
        match (self.ship, self.has_evidence) {
            (true, _) => "ship",
            (false, true) => "do not ship",
            (false, false) => "not enough evidence",
        }
    }
}

/// Answers among which a loss of the limit is so many lost ones that the test on pairs finds them:
/// `k` losses and no win have a probability of `0.5^k`.
fn answers_needed(limits: &Thresholds) -> usize {
    let losses = limits.significance.log2().abs().floor() + 1.0;
    (losses / limits.recall).ceil() as usize
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
    fn nothing_ships_where_something_plainer_is_better_at_these_bytes() {
        let limits = Thresholds::default();
        let cost = |name: &str, kv_bytes: usize, kld_mean: f64, recall: f64| Cost {
            name: name.to_owned(),
            bytes_share: kv_bytes as f64 / 1000.0,
            tokens: 2048,
            kv_bytes,
            kld_mean,
            recall: Some(recall),
        };
        let fine = Verdict { ship: true, has_evidence: true, reason: "fine".to_owned() };
        let own = cost("learned", 610, 0.02, 0.9);
        let beside = |plain: &[Cost]| fine.clone().beside(&own, plain, &limits);

        let larger = beside(&[cost("k8v8", 611, 0.001, 0.9)]);
        assert!(larger.ship && larger.reason.contains("k8v8 61.1 % of the bytes, KLD 0.0010"));
        assert!(beside(&[cost("k4v4", 300, 0.02, 0.9)]).ship, "it loses as much");
        assert!(beside(&[cost("k4v4", 300, 0.01, 0.87)]).ship, "it recalls less");
        assert_eq!(beside(&[]), fine);

        let plain = [cost("k8v8", 610, 0.001, 0.9), cost("q8_0", 531, 0.0005, 0.9)];
        let found = beside(&plain);
        assert!(!found.ship && found.reason.starts_with("q8_0 is plainer"), "{}", found.reason);
        assert!(found.reason.contains("61.0 % of the bytes, KLD 0.0200 and recall 90.0 %"));
        assert!(found.reason.contains("at 2,048 tokens"));
        // What failed anyway still fails, whatever is beside it.
        let faulty = Verdict { ship: false, has_evidence: true, reason: "text KLD".to_owned() };
        assert!(!faulty.beside(&own, &[cost("k8v8", 700, 1.0, 0.0)], &limits).ship);
        let of_text = |kld, answers| Verdict::of_text(kld, answers, &limits).ship;
        assert!(of_text(0.05, None) && !of_text(0.051, None) && !of_text(f64::NAN, None));
        let (even, worse) =
            (McNemar { lost: 3, won: 3, p: 0.66 }, McNemar { lost: 9, won: 1, p: 0.01 });
        assert!(of_text(0.01, Some(((0.9, 0.89), &even))));
        assert!(!of_text(0.01, Some(((0.9, 0.87), &even))));
        assert!(!of_text(0.01, Some(((0.9, 0.89), &worse))));
    }

    /// A check of 14 answers once gave *ship*.
    #[test]
    fn a_check_that_is_too_small_says_how_large_it_should_be() {
        let limits = Thresholds::default();
        assert_eq!(answers_needed(&limits), 250);
        let even = McNemar { lost: 0, won: 0, p: 1.0 };
        let of = |nll, answers| {
            let verdict = Verdict::of((0.1, nll), (0.8, 0.8), 0.01, &even, &limits);
            verdict.on_answers(answers, &limits)
        };
        let small = of(0.1, 14);
        assert_eq!(small.word(), "not enough evidence");
        assert!(small.reason.contains("14 answers") && small.reason.contains("one of 250 can"));
        assert_eq!((of(0.1, 250).word(), of(0.1, 249).ship), ("ship", false));
        assert_eq!(of(0.9, 14).word(), "do not ship", "what is seen is said");
        // As many losses as the limit allows are found by then.
        let lost = McNemar::of(&[true; 5], &[false; 5]);
        assert!(lost.p < limits.significance && McNemar::of(&[true; 4], &[false; 4]).p > 0.05);
        // A plain cache that is better is said as well.
        let cost = |name: &str, kld_mean: f64| Cost {
            name: name.to_owned(),
            bytes_share: 0.5,
            tokens: 2048,
            kv_bytes: 500,
            kld_mean,
            recall: Some(0.9),
        };
        let beside =
            |kld| of(0.1, 14).beside(&cost("learned", 0.02), &[cost("k8v8", kld)], &limits);
        assert_eq!(
            (beside(0.9).word(), beside(0.001).word()),
            ("not enough evidence", "do not ship")
        );
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
