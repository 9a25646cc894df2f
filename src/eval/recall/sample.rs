//! One sample as text.

use super::{Essay, RecallTask, codes, lists, needle, symbolic, variables};
use crate::Result;
use crate::random::{SplitMix64, scrambled};

/// A question about a context, and what answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecallSample {
    /// What is read before the question; ends without a line end.
    pub context: String,
    /// The question.
    pub question: String,
    /// The beginning of the answer, which the model goes on from.
    pub lead: String,
    /// What the answer must hold.
    pub references: Vec<String>,
    /// Where the first thing asked for stands in the context, 0 to 1; `None` where it is spread.
    pub depth: Option<f64>,
}

/// Draws a sample with `units` of filling (insertions, words, variables or entries, as the task
/// has them). The same seed, task, length and index give the same sample whatever else is drawn.
pub fn sampled(
    task: RecallTask,
    essay: &Essay,
    (seed, ctx, index): (u64, usize, usize),
    units: usize,
) -> Result<RecallSample> {
    let place = task.name().bytes().fold(seed, |all, byte| scrambled(all ^ u64::from(byte)));
    let mut rng = SplitMix64::new(scrambled(place ^ scrambled(ctx as u64) ^ index as u64));
    // RULER's lists are shuffled by one permutation in every sample of a run.
    let mut fixed = SplitMix64::new(seed);
    match task {
        RecallTask::Vt => Ok(variables::sample(units, &mut rng)),
        RecallTask::Cwe => Ok(lists::common(ctx, units, &mut rng, &mut fixed)),
        RecallTask::Fwe => Ok(lists::coded(ctx, units, &mut rng, &mut fixed)),
        RecallTask::GsmSymbolic => Ok(symbolic::sample(index, units, &mut rng)),
        RecallTask::Codes => codes::sample(units, &mut rng),
        needles => Ok(needle::sample(needles, essay, units, &mut rng, &mut fixed)),
    }
}

/// `count` different numbers of `0..n`, in drawn order; all of them where `count` is `n` or more.
pub(super) fn places(n: usize, count: usize, rng: &mut SplitMix64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut all, count);
    all.truncate(count);
    all
}
