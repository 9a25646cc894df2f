//! What the engine measures, as events carry it.

use serde::{Deserialize, Serialize};

use crate::decode::divergence::Divergence;
use crate::machine::DeviceMemory;
use crate::numbers::count;
use crate::spread::{MedianInterval, Spread};

/// The mask that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The current mask, as of this revision.
    Now(u64),
    /// The trial with this number.
    Trial(u64),
}

/// The measurement of a mask over the last tokens, in forced mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Which mask.
    pub subject: Subject,
    /// Loss against dense.
    pub divergence: Divergence,
    /// KLD of each step in nats, in their order; empty in older recordings.
    #[serde(default)]
    pub klds: Vec<f32>,
    /// The dense side's time per step, milliseconds: of the steps made beside the mask's, in turn. In
    /// older recordings it was measured when it generated these tokens.
    pub a_ms: Spread,
    /// The mask's time per step, milliseconds.
    pub b_ms: Spread,
    /// Time of a step of the mask over that of the dense step made right before or after it: what
    /// slows the machine down slows both. `None` for too few steps, and in older recordings.
    #[serde(default)]
    pub beside: Option<MedianInterval>,
    /// Bytes of the mask's cache after the last token.
    pub kv: usize,
    /// Bytes of the dense cache after the last token.
    pub dense_kv: usize,
    /// Trials that are still waiting.
    pub left: usize,
    /// A checksum of the tokens that it covers and of their place; 0 in older recordings.
    #[serde(default)]
    pub over: u32,
    /// Tokens in the cache after the last step; 0 in older recordings.
    #[serde(default)]
    pub cached: usize,
    /// Of its steps, those at the end whose tokens only repeat a loop of the text.
    #[serde(default)]
    pub repeats: usize,
    /// Of its steps, those that saw a middle: in the others nothing was pruned. `None` in older
    /// recordings.
    #[serde(default)]
    pub with_middle: Option<usize>,
}

impl Measured {
    /// Whether nothing was pruned in any of its steps, because none had a middle yet: then it says
    /// nothing of the mask.
    pub fn is_before_middle(&self) -> bool {
        self.with_middle == Some(0)
    }

    /// What its steps say less by, in words: those without a middle, and those of a loop.
    pub fn weakness(&self) -> Option<String> {
        weakness(self.divergence.steps, self.with_middle, self.repeats)
    }

    /// Whether the mean KLD is told apart from another mask's over the same steps: the mean of the
    /// differences, step by step, is 1.96 of its standard errors or more away from 0. What one step
    /// loses, most masks lose, so the means' own errors would say next to nothing. False where the
    /// steps are not known, or not the same.
    pub fn is_told_apart(&self, other: &Self) -> bool {
        let is_known = !self.klds.is_empty() && self.klds.len() == other.klds.len();
        if !is_known || self.over != other.over {
            return false;
        }
        let both = self.klds.iter().zip(&other.klds);
        let differences = Spread::of(both.map(|(own, other)| f64::from(*own) - f64::from(*other)));
        differences.mean.abs() > 1.96 * differences.stderr
    }

    /// The steps that it covers, in words: how many, and at which lengths of the context.
    pub fn covered(&self) -> String {
        let steps = count(self.divergence.steps);
        match self.place() {
            Some(place) => format!("{steps} steps, {place}"),
            None => format!("{steps} steps"),
        }
    }

    /// At which lengths of the context its steps are; `None` without steps, or where it is not known.
    pub fn place(&self) -> Option<String> {
        let steps = self.divergence.steps;
        let before = self.cached.checked_sub(steps).filter(|_| steps > 0)?;
        Some(format!("ctx {}–{}", count(before + 1), count(self.cached)))
    }
}

/// What `steps` steps say less by, in words, where anything: those without a middle, in which nothing
/// was pruned, and those that repeat a loop of the text, which is easy.
pub fn weakness(steps: usize, with_middle: Option<usize>, repeats: usize) -> Option<String> {
    let without = with_middle.map_or(0, |with| steps.saturating_sub(with));
    let without = (without > 0).then(|| match without == steps {
        true => "nothing pruned".to_owned(),
        false => format!("nothing pruned in {}", count(without)),
    });
    let repeats = (repeats > 0).then(|| match repeats == steps {
        true => "all in a loop".to_owned(),
        false => format!("{} in a loop", count(repeats)),
    });
    let both: Vec<String> = without.into_iter().chain(repeats).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

/// The times of both sides over the same tokens, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Steps of each side.
    pub steps: usize,
    /// Time per step of the dense side, milliseconds.
    pub a_ms: Spread,
    /// Time per step of the pruned side, milliseconds.
    pub b_ms: Spread,
}

/// How fast the machine reads memory, and what a step reads of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// 1e9 bytes a second, over all threads that decode; the best of several passes.
    pub gbps: f64,
    /// Those threads.
    pub threads: usize,
    /// Bytes of weights that a decode step reads: all but the rows of an embedding that only looks
    /// tokens up.
    pub weights: u64,
    /// How long decode waited for the measurement, in milliseconds.
    pub ms: f64,
}

/// Milliseconds of a step by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMs {
    /// The whole step with sampling, by the session's clock.
    pub total: f64,
    /// Attention over the cache.
    pub attention: f64,
    /// Linear layers.
    pub projections: f64,
    /// Output projection.
    pub logits: f64,
    /// Norms, rotation, appending.
    pub rest: f64,
}

/// Mean `|q_c k_c|` over the middle and the steps since the last report, row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// One number per channel; 0 for channels that are not stored.
    pub activity: Vec<f32>,
    /// Steps that were averaged.
    pub steps: usize,
    /// Tokens of the middle.
    pub middle: usize,
}

/// Detail of the watched head as of the last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadDetail {
    /// Layer.
    pub layer: usize,
    /// KV head.
    pub head: usize,
    /// Attention mass of the last step per query head: sink, middle, recent.
    pub mass: Vec<[f32; 3]>,
    /// Mean q² per channel over the steps of the run and the query heads of the group.
    pub q_energy: Vec<f32>,
    /// Mean k² per channel over a sample of the keys that are stored with that channel.
    pub k_energy: Vec<f32>,
}

/// Memory as the system and the allocator see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident bytes of the process.
    pub resident: Option<u64>,
    /// Memory of the GPU, where there is one.
    #[serde(default)]
    pub device: Option<DeviceMemory>,
    /// Bytes that the cache has allocated.
    pub kv_allocated: u64,
    /// Bytes of the elements that it stored at the same moment; none in older recordings.
    #[serde(default)]
    pub kv_stored: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(klds: Vec<f32>) -> Measured {
        let kld = Spread::of(klds.iter().map(|&kld| f64::from(kld)));
        Measured {
            subject: Subject::Trial(0),
            divergence: Divergence {
                steps: klds.len(),
                kld,
                top1_agreement: 1.0,
                mean_delta_logprob: 0.0,
                rms_delta_p: 0.0,
            },
            klds,
            a_ms: Spread::default(),
            b_ms: Spread::default(),
            beside: None,
            kv: 1,
            dense_kv: 1,
            left: 0,
            over: 1,
            cached: 64,
            repeats: 0,
            with_middle: None,
        }
    }

    /// Steps spread over decades, so the means' own errors hide what every step shows.
    #[test]
    fn masks_are_told_apart_step_by_step() {
        let steps = || (0..64).map(|step| 10f32.powi(step % 6 - 6));
        let one = measured(steps().collect());
        let more = measured(steps().map(|kld| kld * 1.1).collect());
        let (own, other) = (one.divergence.kld, more.divergence.kld);
        assert!((own.mean - other.mean).abs() < own.stderr.hypot(other.stderr), "hidden");
        assert!(one.is_told_apart(&more) && more.is_told_apart(&one));
        let way = |step: usize| if step.is_multiple_of(2) { 1.1 } else { 0.9 };
        let noisy = steps().enumerate().map(|(step, kld)| kld * way(step / 6));
        assert!(!one.is_told_apart(&measured(noisy.collect())));
        assert!(!one.is_told_apart(&one), "the same");
        // An older recording, other tokens.
        assert!(!one.is_told_apart(&measured(Vec::new())));
        assert!(!one.is_told_apart(&Measured { over: 2, ..more }));
    }
    #[test]
    fn what_weakens_a_measurement_is_said() {
        let of =
            |with_middle, repeats| Measured { with_middle, repeats, ..measured(vec![0.1; 64]) };
        assert_eq!(of(Some(64), 0).weakness(), None);
        assert_eq!(of(None, 0).weakness(), None, "an older recording");
        let nothing = of(Some(0), 0);
        assert!(nothing.is_before_middle());
        assert_eq!(nothing.weakness().as_deref(), Some("nothing pruned"));
        let some = of(Some(40), 56);
        assert!(!some.is_before_middle());
        assert_eq!(some.weakness().as_deref(), Some("nothing pruned in 24, 56 in a loop"));
    }
}
