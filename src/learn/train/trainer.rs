//! The training loop: which update comes next, and when training ends.

use super::settings::Settings;
use super::state::TrainState;
use crate::learn::engine::{self, DistillLoss, Factors, Sample};
use crate::learn::optim::schedule;
use crate::mask::{ChannelMask, Importance, Shape, select};
use crate::model::Model;
use crate::random::SplitMix64;
use crate::{Error, Result};

/// Which stage a training is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Training the real factors.
    Importance,
    /// Training the binary mask.
    Mask,
    /// Training has ended.
    Done,
}

/// The result of one update.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Update {
    /// Stage that it belongs to.
    pub stage: Stage,
    /// Its number in that stage, from 0.
    pub step: usize,
    /// Distillation loss before the update.
    pub distill: f64,
    /// Weighted regularisation before the update.
    pub reg: f64,
    /// Mean factor after the update.
    pub mean: f64,
    /// Share of channels that the cut at the target keeps after the update.
    pub kept: f64,
}

/// A training over prefilled samples.
pub struct Trainer<'a> {
    model: &'a Model,
    settings: &'a Settings,
    /// Samples to train on.
    samples: &'a [Sample],
    /// Samples that are only used to choose between masks.
    validation: &'a [Sample],
    /// The current state.
    pub state: TrainState,
}

impl<'a> Trainer<'a> {
    /// A new training, or one continued from a saved state of the same settings.
    pub fn new(
        model: &'a Model,
        settings: &'a Settings,
        samples: &'a [Sample],
        validation: &'a [Sample],
        state: Option<TrainState>,
    ) -> Result<Self> {
        if samples.is_empty() || validation.is_empty() {
            return Err(Error::input(
                "learning needs at least one sample to learn from and one to choose by",
            ));
        }
        let shape = model.config().mask_shape();
        let state = state.unwrap_or_else(|| TrainState::new(shape));
        if state.alpha.len() != shape.entries() {
            return Err(Error::input(format!(
                "the checkpoint has {} factors, the model {}",
                state.alpha.len(),
                shape.entries()
            )));
        }
        let mut trainer = Self { model, settings, samples, validation, state };
        if trainer.state.stage == Stage::Importance && trainer.state.step == settings.steps {
            // The importance was learned elsewhere: later masks must improve on its cut.
            trainer.begin_masks()?;
        }
        Ok(trainer)
    }

    fn shape(&self) -> Shape {
        self.model.config().mask_shape()
    }

    /// The current importance.
    pub fn importance(&self) -> Result<Importance> {
        Importance::new(self.shape(), self.state.alpha.clone())
    }

    /// The mask that the importance gives at the target.
    pub fn cut(&self) -> Result<ChannelMask> {
        select(&self.importance()?, &self.settings.options())
    }

    /// Makes one update; `None` when all are made. A loss or gradient that is not finite is an
    /// error and leaves the state unchanged.
    pub fn step(&mut self) -> Result<Option<Update>> {
        match self.state.stage {
            Stage::Importance => self.importance_step().map(Some),
            Stage::Mask => self.mask_step().map(Some),
            Stage::Done => Ok(None),
        }
    }

    fn importance_step(&mut self) -> Result<Update> {
        let Settings { steps, lr, reg, window, .. } = *self.settings;
        let step = self.state.step;
        let sample = &self.samples[self.sample_at(step, 0)];
        let factors = Factors::soft(self.shape(), self.state.alpha.clone())?;
        let found = engine::distill(
            &self.model.decoder,
            window,
            &factors,
            sample,
            self.settings.variant.loss,
        )?;
        let entries = self.state.alpha.len() as f64;
        let mean = |alpha: &[f32]| alpha.iter().map(|&a| f64::from(a)).sum::<f64>() / entries;
        let update_reg = reg * mean(&self.state.alpha);
        self.check_loss(found.loss, found.gradient.iter(), sample)?;
        // |a| has slope 1 above 0, and none at 0. The regularisation stops once the mean is down to
        // the share to keep: beyond that, a small model would lose far more channels than asked
        // for.
        let pressed = mean(&self.state.alpha) > 1.0 - self.settings.sparsity;
        let slope = if pressed { (reg / entries) as f32 } else { 0.0 };
        let gradient: Vec<f32> = found
            .gradient
            .iter()
            .zip(&self.state.alpha)
            .map(|(g, &a)| g + if a > 0.0 { slope } else { 0.0 })
            .collect();
        self.update(&gradient, schedule(lr, step, steps));
        self.state.losses.push(found.loss as f32);
        self.state.step += 1;
        if self.state.step == steps {
            self.begin_masks()?;
        }
        let kept = self.cut()?.kept_ratio();
        Ok(Update {
            stage: Stage::Importance,
            step,
            distill: found.loss,
            reg: update_reg,
            mean: mean(&self.state.alpha),
            kept,
        })
    }

    /// Ends stage 1. Later masks must improve on its cut.
    fn begin_masks(&mut self) -> Result<()> {
        let loss = self.validate(&self.cut()?)?;
        self.state.first_alpha.clone_from(&self.state.alpha);
        self.state.first_loss = loss as f32;
        self.state.best_alpha.clone_from(&self.state.alpha);
        self.state.best_loss = loss as f32;
        self.state.optimiser = crate::learn::optim::AdamW::new(self.state.alpha.len());
        self.state.step = 0;
        self.state.stage = if self.settings.mask_steps > 0 { Stage::Mask } else { Stage::Done };
        Ok(())
    }

    fn mask_step(&mut self) -> Result<Update> {
        let Settings { mask_steps, mask_lr, accumulate, window, variant, .. } = *self.settings;
        let step = self.state.step;
        let cut = self.cut()?;
        let factors = match variant.authors {
            true => Factors::soft(self.shape(), weighed(&self.state.alpha, &cut))?,
            false => Factors::masked(&cut),
        };
        let mut gradient = vec![0.0_f32; self.state.alpha.len()];
        let mut loss = 0.0;
        for turn in 0..accumulate {
            let sample =
                &self.samples[self.sample_at(self.settings.steps + step * accumulate + turn, 1)];
            let found =
                engine::distill(&self.model.decoder, window, &factors, sample, variant.loss)?;
            self.check_loss(found.loss, found.gradient.iter(), sample)?;
            loss += found.loss / accumulate as f64;
            gradient
                .iter_mut()
                .zip(&found.gradient)
                .for_each(|(sum, g)| *sum += g / accumulate as f32);
        }
        self.update(&gradient, schedule(mask_lr, step, mask_steps));
        self.state.mask_losses.push(loss as f32);
        self.state.step += 1;
        let last = self.state.step == mask_steps;
        if last || self.state.step.is_multiple_of(VALIDATE_EVERY) {
            let found = self.validate(&self.cut()?)? as f32;
            if found < self.state.best_loss || (last && variant.authors) {
                self.state.best_loss = found;
                self.state.best_alpha.clone_from(&self.state.alpha);
            }
            // The training diverges: the masks will not get better, and the best one is kept.
            if last || (found > DIVERGED * self.state.first_loss && !variant.authors) {
                self.state.alpha.clone_from(&self.state.best_alpha);
                self.state.stage = Stage::Done;
            }
        }
        let kept = self.cut()?.kept_ratio();
        let mean = self.state.alpha.iter().map(|&a| f64::from(a)).sum::<f64>()
            / self.state.alpha.len() as f64;
        Ok(Update { stage: Stage::Mask, step, distill: loss, reg: 0.0, mean, kept })
    }

    fn update(&mut self, gradient: &[f32], lr: f64) {
        self.state.optimiser.step(&mut self.state.alpha, gradient, lr);
        let kept =
            |a: f32| if self.settings.variant.bf16 { half::bf16::from_f32(a).to_f32() } else { a };
        self.state.alpha.iter_mut().for_each(|a| *a = kept(a.clamp(0.0, 1.0)));
    }

    /// Mean loss of a mask, as deployed, over the validation samples.
    fn validate(&self, mask: &ChannelMask) -> Result<f64> {
        let factors = Factors::masked(mask);
        let mut sum = 0.0;
        for sample in self.validation {
            let Settings { window, variant, .. } = *self.settings;
            sum += engine::loss(&self.model.decoder, window, &factors, sample, variant.loss)?;
        }
        Ok(sum / self.validation.len() as f64)
    }

    /// Uses every sample once per round, in a new order each round.
    fn sample_at(&self, turn: usize, stage: u64) -> usize {
        let (round, at) = (turn / self.samples.len(), turn % self.samples.len());
        let mut rng = SplitMix64::new(
            self.settings.seed ^ (round as u64 + 1).wrapping_mul(0x9E37_79B9) ^ stage << 48,
        );
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        rng.shuffle(&mut order, self.samples.len());
        order[at]
    }

    /// Ends the training if the loss is not finite, or so large that the states have little to do
    /// with the teacher's.
    fn check_loss<'g>(
        &self,
        loss: f64,
        mut gradient: impl Iterator<Item = &'g f32>,
        sample: &Sample,
    ) -> Result<()> {
        let (stage, step) = (self.state.stage, self.state.step);
        if !loss.is_finite() || gradient.any(|g| !g.is_finite()) {
            return Err(Error::run(format!(
                "the loss of step {step} ({stage:?}) is {loss}, or its gradient no number: learning stops"
            )));
        }
        let targets = sample.branches().iter().flat_map(engine::Branch::target);
        let (sum, count) =
            targets.fold((0.0, 0), |(sum, count), &t| (sum + f64::from(t).powi(2), count + 1));
        let bound = match self.settings.variant.loss {
            DistillLoss::States => HOPELESS * sum / f64::from(count.max(1)),
            // What equal probabilities of all tokens can have at most.
            DistillLoss::Divergence => (self.model.config().vocab as f64).ln(),
        };
        if loss > bound {
            return Err(Error::run(format!(
                "the loss of step {step} ({stage:?}) is {loss:.4}, above {bound:.4}, beyond which its states have little to do with the teacher's: learning diverges"
            )));
        }
        Ok(())
    }
}

/// The factors of kept channels, 0 for the others.
fn weighed(alpha: &[f32], mask: &ChannelMask) -> Vec<f32> {
    alpha.iter().zip(mask.bits()).map(|(&a, &kept)| if kept { a } else { 0.0 }).collect()
}

/// Number of stage-2 updates between two validations.
const VALIDATE_EVERY: usize = 3;

/// Stage 2 ends when the validation loss is this many times that of the stage-1 cut.
const DIVERGED: f32 = 3.0;

/// Training ends when the loss is this many times the mean square of the teacher's states. States
/// of 0 have a loss of 1 times that, unrelated states of twice that.
const HOPELESS: f64 = 1.5;
