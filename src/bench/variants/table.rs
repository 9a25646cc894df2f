//! The table: means, spreads over seeds, and differences from the first variant with their errors.

use serde::Serialize;

use super::check::CheckItem;
use super::file::VariantFile;
use super::make::KnownTarget;
use super::results::{DENSE, GivenAnswers, MadeLine, VariantResults};
use crate::eval::paired::{PairedScores, paired};
use crate::spread::Spread;
use crate::{Error, Result};

/// A variant's loss beside the first variant's, window by window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairedLoss {
    /// Mean difference, this one's less the first's, in nats.
    pub mean: f64,
    /// Its standard error over windows; the mean over seeds counts once for each window. `None` for
    /// fewer than two, which say nothing of it.
    pub stderr: Option<f64>,
    /// Windows in which this one loses less.
    pub better: usize,
    /// Windows in which it loses more.
    pub worse: usize,
}

impl PairedLoss {
    /// Of mean losses window by window.
    pub fn of(own: &[f64], first: &[f64]) -> Self {
        let differences: Vec<f64> = own.iter().zip(first).map(|(own, first)| own - first).collect();
        let spread = Spread::of(differences.iter().copied());
        Self {
            mean: spread.mean,
            stderr: (differences.len() > 1).then_some(spread.stderr),
            better: differences.iter().filter(|d| **d < 0.0).count(),
            worse: differences.iter().filter(|d| **d > 0.0).count(),
        }
    }
}

/// Answers beside the dense ones, question by question; the mean over seeds counts once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RecallFigures {
    /// Questions asked.
    pub asked: usize,
    /// Share that dense has right.
    pub dense: f64,
    /// Share that is right.
    pub right: f64,
    /// Mean negative log-probability of the digits less that of dense, in nats.
    pub digit_nll: f64,
    /// The test.
    #[serde(flatten)]
    pub test: PairedScores,
}

/// One variant at one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantRow {
    /// The variant.
    pub variant: String,
    /// The target.
    pub target: String,
    /// Seeds.
    pub seeds: usize,
    /// Bytes of the middle for a dense one's 1 that the target asks for: the most that a mask may have.
    pub target_bytes_share: Option<f64>,
    /// Bytes of the middle for a dense one's 1, mean over seeds.
    pub bytes_share: f64,
    /// Share of channels that it prunes, mean over seeds.
    pub pruned: f64,
    /// Heads that are dropped, mean over seeds.
    pub dropped_heads: f64,
    /// Mean KLD over windows and seeds in nats; `None` where there is no window.
    pub kld: Option<f64>,
    /// Its standard error over windows; `None` for fewer than two.
    pub kld_stderr: Option<f64>,
    /// Standard deviation over seeds of a seed's mean KLD; `None` with one seed.
    pub kld_over_seeds: Option<f64>,
    /// Mean KLD of every window.
    pub window_kld: Vec<f64>,
    /// Beside the first variant at the same target.
    pub paired: Option<PairedLoss>,
    /// Answers; `None` where no question is asked.
    pub recall: Option<RecallFigures>,
    /// Seconds that the masks of this variant took for all targets, mean over seeds; what variants
    /// share counts for the first of them.
    pub seconds: f64,
    /// Mean validation loss of the cut and of what stage 2 kept.
    pub validation: Option<(f64, f64)>,
}

/// The comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantReport {
    /// Seeds that every variant was repeated with.
    pub seeds: Vec<u64>,
    /// The windows' texts, in the order of `window_kld`.
    pub windows: Vec<String>,
    /// All targets of the first variant, then of the next.
    pub rows: Vec<VariantRow>,
    /// Seconds of this run.
    pub seconds: f64,
}

/// The key of a variant's mask with a seed at a target.
type KeyOf<'a> = &'a dyn Fn(usize, u64, usize) -> String;

/// The table of finished results.
pub(super) fn report(
    file: &VariantFile,
    targets: &[KnownTarget],
    results: &VariantResults,
    items: &[CheckItem],
    key: KeyOf<'_>,
) -> Result<VariantReport> {
    let mut rows: Vec<VariantRow> = Vec::new();
    for (at, variant) in file.variants.iter().enumerate() {
        for (index, target) in targets.iter().enumerate() {
            let made: Vec<&MadeLine> = file
                .seeds
                .iter()
                .map(|&seed| {
                    results.made.get(&key(at, seed, index)).ok_or_else(|| missing(&variant.name))
                })
                .collect::<Result<_>>()?;
            let mut row = row(&made, results, items)?;
            (row.variant, row.target) = (variant.name.clone(), target.name.clone());
            row.target_bytes_share = target.share;
            // The first variant's rows are the first, one for each target.
            let first = rows.get(index).filter(|_| at > 0);
            row.paired = first
                .filter(|first| !first.window_kld.is_empty())
                .map(|first| PairedLoss::of(&row.window_kld, &first.window_kld));
            rows.push(row);
        }
    }
    let windows = items.iter().filter_map(|item| item.text.clone()).collect();
    Ok(VariantReport { seeds: file.seeds.clone(), windows, rows, seconds: 0.0 })
}

fn missing(what: &str) -> Error {
    Error::run(format!("a result of {what} is missing"))
}

/// The figures of the masks of all seeds.
fn row(made: &[&MadeLine], results: &VariantResults, items: &[CheckItem]) -> Result<VariantRow> {
    let mean = |value: &dyn Fn(&MadeLine) -> f64| {
        made.iter().map(|made| value(made)).sum::<f64>() / made.len().max(1) as f64
    };
    // By seed and window.
    let mut kld: Vec<Vec<f64>> = vec![Vec::new(); made.len()];
    let (mut dense, mut own): (Vec<&GivenAnswers>, Vec<Vec<&GivenAnswers>>) =
        (Vec::new(), vec![Vec::new(); made.len()]);
    for item in items {
        let at = |plan: &str| (item.id.clone(), plan.to_owned());
        let answers = |plan: &str| results.answers.get(&at(plan)).ok_or_else(|| missing(plan));
        if item.text.is_none() {
            dense.push(answers(DENSE)?);
        }
        for (seed, made) in made.iter().enumerate() {
            match item.text {
                Some(_) => kld[seed]
                    .push(*results.kld.get(&at(&made.plan)).ok_or_else(|| missing(&made.variant))?),
                None => own[seed].push(answers(&made.plan)?),
            }
        }
    }
    let seeds = made.len().max(1) as f64;
    let windows = kld.first().map_or(0, Vec::len);
    let window_kld: Vec<f64> = (0..windows)
        .map(|window| kld.iter().map(|seed| seed[window]).sum::<f64>() / seeds)
        .collect();
    let over_windows = (windows > 0).then(|| Spread::of(window_kld.iter().copied()));
    let of_seeds = kld.iter().map(|seed| seed.iter().sum::<f64>() / windows.max(1) as f64);
    let over_seeds = Spread::of(of_seeds).stderr * seeds.sqrt();
    let validated: Vec<(f32, f32)> = made.iter().filter_map(|made| made.validation).collect();
    let validation = |pick: &dyn Fn(&(f32, f32)) -> f32| {
        validated.iter().map(|pair| f64::from(pick(pair))).sum::<f64>() / validated.len() as f64
    };
    Ok(VariantRow {
        variant: String::new(),
        target: String::new(),
        target_bytes_share: None,
        seeds: made.len(),
        bytes_share: mean(&|made| made.bytes_share),
        pruned: mean(&|made| made.pruned),
        dropped_heads: mean(&|made| made.dropped_heads as f64),
        kld: over_windows.map(|spread| spread.mean),
        kld_stderr: over_windows.filter(|_| windows > 1).map(|spread| spread.stderr),
        kld_over_seeds: (windows > 0 && made.len() > 1).then_some(over_seeds),
        window_kld,
        paired: None,
        recall: (!dense.is_empty()).then(|| recall(&dense, &own)),
        seconds: mean(&|made| made.seconds),
        validation: (!validated.is_empty())
            .then(|| (validation(&|pair| pair.0), validation(&|pair| pair.1))),
    })
}

/// Answers of all seeds, `own[seed][prompt]`, beside dense ones.
fn recall(dense: &[&GivenAnswers], own: &[Vec<&GivenAnswers>]) -> RecallFigures {
    let scores = |given: &[&GivenAnswers]| -> Vec<f64> {
        given.iter().flat_map(|one| &one.right).map(|&right| f64::from(u8::from(right))).collect()
    };
    let nll = |given: &[&GivenAnswers]| -> f64 {
        let all: Vec<f64> = given.iter().flat_map(|one| one.nll.iter().copied()).collect();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    };
    let whole = scores(dense);
    let mut mean = vec![0.0; whole.len()];
    for seed in own {
        mean.iter_mut().zip(scores(seed)).for_each(|(sum, score)| *sum += score);
    }
    // Divided at the end: three seeds that are right are exactly 1.
    mean.iter_mut().for_each(|sum| *sum /= own.len() as f64);
    let share = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    let own_nll = own.iter().map(|seed| nll(seed)).sum::<f64>() / own.len().max(1) as f64;
    RecallFigures {
        asked: whole.len(),
        dense: share(&whole),
        right: share(&mean),
        digit_nll: own_nll - nll(dense),
        test: paired(&whole, &mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_paired_window_by_window() {
        let found = PairedLoss::of(&[0.5, 0.2, 0.3, 0.4], &[0.4, 0.4, 0.4, 0.4]);
        assert!((found.mean + 0.05).abs() < 1e-12);
        // Differences .1, -.2, -.1, 0: variance 1/60.
        let stderr = found.stderr.unwrap();
        assert!((stderr - (0.05_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12, "{stderr}");
        assert_eq!((found.better, found.worse), (2, 1));
        assert_eq!(
            PairedLoss::of(&[0.5], &[0.4]).stderr,
            None,
            "one window says nothing of others"
        );
    }

    #[test]
    fn questions_count_once_however_many_seeds_there_are() {
        let given =
            |right: [bool; 4], nll: f64| GivenAnswers { right: right.to_vec(), nll: vec![nll; 4] };
        let dense = given([true, true, true, false], 0.5);
        let [a, b] =
            [given([true, false, true, false], 0.7), given([true, false, false, false], 0.9)];
        let one = recall(&[&dense], &[vec![&a]]);
        assert_eq!((one.asked, one.dense, one.right), (4, 0.75, 0.5));
        assert_eq!(
            (one.test.lost, one.test.won, one.test.p),
            (1, 0, 0.5),
            "McNemar's with one seed"
        );
        let two = recall(&[&dense], &[vec![&a], vec![&b]]);
        assert_eq!((two.asked, two.right, two.test.lost), (4, 0.375, 2));
        assert!((two.digit_nll - 0.3).abs() < 1e-12);
    }
}
