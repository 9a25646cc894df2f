//! Ship or do not ship: fixed thresholds on the loss of a mask, and nothing plainer that is better at
//! its bytes.

use super::mcnemar::{self, McNemar};
use super::plain::Cost;
use crate::numbers;
use crate::spread::Spread;

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

/// What a verdict is on.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Mean negative log-probability of the digits, nats: dense, then this. `None` where no answer was
    /// scored.
    pub digit_nll: Option<(f64, f64)>,
    /// Mean forced KLD over all windows, nats.
    pub kld: f64,
    /// That of each window.
    pub windows: Vec<f64>,
    /// The answers; `None` where nothing was asked.
    pub answers: Option<Answers>,
}

/// The same questions, answered by dense and by another side.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Answers {
    /// Questions.
    pub asked: usize,
    /// Share that dense had right.
    #[serde(skip)]
    pub dense: f64,
    /// Share that the other side had right.
    #[serde(rename = "right")]
    pub own: f64,
    /// The test on the pairs.
    #[serde(flatten)]
    pub test: McNemar,
}

impl Answers {
    /// Of the same questions in the same order; `None` where there are none.
    pub fn of(dense: &[bool], own: &[bool]) -> Option<Self> {
        let asked = dense.len();
        let right = |answers: &[bool]| answers.iter().filter(|&&right| right).count() as f64;
        (asked > 0).then(|| Self {
            asked,
            dense: right(dense) / asked as f64,
            own: right(own) / asked as f64,
            test: McNemar::of(dense, own),
        })
    }

    /// Points of recall lost, 0 to 1; below 0 where some were won.
    fn lost(&self) -> f64 {
        self.dense - self.own
    }

    fn words(&self) -> String {
        let McNemar { lost, won, p } = self.test;
        format!(
            "recall {:+.1} points ({lost} lost, {won} won of {}, p = {p:.2})",
            -self.lost() * 100.0,
            numbers::count(self.asked)
        )
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
    /// The verdict on this evidence. A limit that is passed is a fault, on however little; nothing
    /// is said for a mask before both text and answers are enough to tell.
    pub fn of(evidence: &Evidence, limits: &Thresholds) -> Self {
        let faults = evidence.faults(limits);
        if !faults.is_empty() {
            return Self { ship: false, has_evidence: true, reason: faults.join("; ") };
        }
        let missing = evidence.missing(limits);
        let has_evidence = missing.is_empty();
        let reason = missing.into_iter().chain([evidence.words()]).collect::<Vec<_>>().join("; ");
        Self { ship: has_evidence, has_evidence, reason }
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

impl Evidence {
    /// Text alone: one passage, on which nothing was asked.
    pub fn of_passage(kld: f64) -> Self {
        Self { digit_nll: None, kld, windows: vec![kld], answers: None }
    }

    /// Limits that are passed.
    fn faults(&self, limits: &Thresholds) -> Vec<String> {
        let above = |value: f64, limit: f64| value.is_nan() || value > limit;
        let mut faults = Vec::new();
        if let Some((dense, own)) = self.digit_nll
            && above(own - dense, limits.digit_nll)
        {
            faults.push(format!(
                "digit NLL is {:.3} above dense (at most {:.3})",
                own - dense,
                limits.digit_nll
            ));
        }
        if above(self.kld, limits.kld) {
            faults.push(format!("text KLD is {:.4} (at most {:.4})", self.kld, limits.kld));
        }
        let Some(answers) = &self.answers else { return faults };
        if above(answers.lost(), limits.recall) {
            faults.push(format!(
                "recall is {:.1} points below dense (at most {:.1})",
                answers.lost() * 100.0,
                limits.recall * 100.0
            ));
        }
        let McNemar { lost, won, p } = answers.test;
        if p < limits.significance {
            faults.push(format!(
                "it loses {lost} answers and wins {won} (one-sided McNemar p = {p:.3})"
            ));
        }
        faults
    }

    /// Why this is not enough to say that the limits hold.
    fn missing(&self, limits: &Thresholds) -> Vec<String> {
        let mut missing = Vec::new();
        let windows = self.windows.len();
        let error = Spread::of(self.windows.iter().copied()).stderr;
        match (windows > 1).then_some(error) {
            None => {
                missing.push("one window of text does not tell how far others differ".to_owned())
            }
            Some(error) if self.kld + 2.0 * error > limits.kld => {
                let share = (2.0 * error / (limits.kld - self.kld)).powi(2);
                let needed = match (share * windows as f64).ceil() {
                    needed if needed.is_finite() => {
                        format!(", about {} windows would", numbers::count(needed as usize))
                    }
                    _ => String::new(),
                };
                missing.push(format!(
                    "text KLD is {:.4} ± {error:.4} on {windows} windows, which does not tell it from {:.4}{needed}",
                    self.kld, limits.kld
                ));
            }
            Some(_) => {}
        }
        let Some(answers) = &self.answers else {
            missing.push("no question was asked".to_owned());
            return missing;
        };
        let needed = answers.needed(limits);
        if answers.asked < needed {
            missing.push(format!(
                "a loss of {:.1} points shows in {} of checks with {} answers, in {} of those with {}",
                limits.recall * 100.0,
                numbers::percent(answers.power(limits), 0),
                numbers::count(answers.asked),
                numbers::percent(POWER, 0),
                numbers::count(needed)
            ));
        }
        missing
    }

    /// What was measured, in words.
    fn words(&self) -> String {
        let nll = self
            .digit_nll
            .map(|(dense, own)| format!("digit NLL {:+.3} against dense", own - dense));
        let kld = format!("text KLD {}", numbers::nats(self.kld));
        let answers = self.answers.as_ref().map(Answers::words);
        nll.into_iter().chain([kld]).chain(answers).collect::<Vec<_>>().join(", ")
    }
}

/// Chance with which a check should find a loss of the limit.
const POWER: f64 = 0.8;

impl Answers {
    /// Share of pairs that differ: as seen, and at least what a loss of the limit makes differ.
    fn differ(&self, limits: &Thresholds) -> f64 {
        let seen = (self.test.lost + self.test.won) as f64 / self.asked as f64;
        seen.max(limits.recall)
    }

    fn power(&self, limits: &Thresholds) -> f64 {
        mcnemar::power(self.asked, self.differ(limits), limits.recall, limits.significance)
    }

    /// Answers with which the test on pairs finds a loss of the limit often enough.
    fn needed(&self, limits: &Thresholds) -> usize {
        mcnemar::answers_needed(self.differ(limits), limits.recall, limits.significance, POWER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    /// `asked` questions of which dense had four in five right; text of eight windows.
    fn evidence(kld: f64, (lost, won): (usize, usize), asked: usize) -> Evidence {
        let dense: Vec<bool> = (0..asked).map(|n| n < asked * 4 / 5).collect();
        let own = (0..asked).map(|n| match n < asked * 4 / 5 {
            true => n >= lost,
            false => n >= asked - won,
        });
        Evidence {
            digit_nll: Some((0.1, 0.1)),
            kld,
            windows: (0..8).map(|n| kld * (0.9 + 0.2 * (n % 2) as f64)).collect(),
            answers: Answers::of(&dense, &own.collect::<Vec<_>>()),
        }
    }

    fn of(evidence: &Evidence) -> Verdict {
        Verdict::of(evidence, &Thresholds::default())
    }

    /// A check of 14 answers once gave *ship*.
    #[test]
    fn a_check_that_is_too_small_says_how_large_it_should_be() {
        let small = of(&evidence(0.01, (0, 0), 14));
        assert_eq!(small.word(), "not enough evidence");
        let said = "a loss of 2.0 points shows in 0 % of checks with 14 answers, in 80 % of those with 335";
        assert!(small.reason.contains(said), "{}", small.reason);
        let word = |lost_won, asked| of(&evidence(0.01, lost_won, asked)).word();
        assert_eq!((word((0, 0), 335), word((0, 0), 334)), ("ship", "not enough evidence"));
        // Where more pairs differ, chance hides a loss among more answers.
        assert_eq!((word((13, 11), 420), word((30, 28), 1000)), ("not enough evidence", "ship"));
        assert_eq!(of(&evidence(0.06, (0, 0), 14)).word(), "do not ship", "what is seen is said");
        let silent = Evidence { answers: None, ..evidence(0.01, (0, 0), 14) };
        assert_eq!(of(&silent).word(), "not enough evidence");
        assert!(of(&silent).reason.starts_with("no question was asked; digit NLL"));
        // A plain cache that is better is said as well.
        let cost = |name: &str, kld_mean: f64| Cost {
            name: name.to_owned(),
            bytes_share: 0.5,
            tokens: 2048,
            kv_bytes: 500,
            kld_mean,
            recall: Some(0.9),
        };
        let limits = Thresholds::default();
        let beside =
            |kld| small.clone().beside(&cost("learned", 0.02), &[cost("k8v8", kld)], &limits);
        assert_eq!(
            (beside(0.9).word(), beside(0.001).word()),
            ("not enough evidence", "do not ship")
        );
    }

    #[test]
    fn text_whose_error_reaches_the_limit_is_not_enough() {
        let fine = evidence(0.02, (0, 0), 400);
        assert!(of(&fine).ship);
        // 0.04 ± 0.01: two errors reach beyond .05, with four times the windows they would not.
        let windows = vec![0.02, 0.03, 0.05, 0.06, 0.02, 0.06, 0.03, 0.05];
        let near = of(&Evidence { kld: 0.04, windows, ..fine.clone() });
        assert_eq!(near.word(), "not enough evidence", "{}", near.reason);
        assert!(near.reason.contains("0.0400 ± 0.0060 on 8 windows"), "{}", near.reason);
        assert!(near.reason.contains("about 12 windows would"), "{}", near.reason);
        let one = of(&Evidence { windows: vec![0.02], ..fine });
        assert!(
            one.word() == "not enough evidence" && one.reason.starts_with("one window of text")
        );
    }

    #[test]
    fn each_threshold_can_stop_a_mask() {
        let fine = evidence(0.05 - 1e-9, (0, 0), 400);
        let fine = Evidence { windows: vec![0.05 - 1e-9; 8], ..fine };
        assert_eq!(of(&fine).word(), "ship", "{}", of(&fine).reason);
        let stopped = |evidence: Evidence| of(&evidence).word() == "do not ship";
        assert!(stopped(Evidence { digit_nll: Some((0.1, 0.121)), ..fine.clone() }));
        assert!(stopped(Evidence { digit_nll: Some((0.1, f64::NAN)), ..fine.clone() }));
        assert!(stopped(Evidence { kld: 0.051, ..fine.clone() }));
        assert!(stopped(Evidence { kld: f64::NAN, ..fine }));
        // Nine points of a hundred; then five and none of 400, which the test finds at once.
        assert!(stopped(evidence(0.01, (9, 0), 100)) && stopped(evidence(0.01, (5, 0), 400)));
        assert!(!stopped(evidence(0.01, (4, 0), 400)));
    }
}
