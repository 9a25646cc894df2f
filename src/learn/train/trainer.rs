//! A training: which update comes next, and when it is over.

use super::settings::Settings;
use super::state::TrainState;
use crate::learn::engine::{self, Factors, Sample};
use crate::learn::optim::schedule;
use crate::mask::{ChannelMask, Importance, Shape, select};
use crate::model::Model;
use crate::random::SplitMix64;
use crate::{Error, Result};

/// Which stage a training is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Real factors.
    Importance,
    /// The mask itself.
    Mask,
    /// Nothing is left to do.
    Done,
}

/// What one update did.
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
    /// Mean factor after it.
    pub mean: f64,
    /// Share of channels that the cut at the target keeps after it.
    pub kept: f64,
}

/// A training over prefilled samples.
pub struct Trainer<'a> {
    model: &'a Model,
    settings: &'a Settings,
    /// Learned from.
    samples: &'a [Sample],
    /// Only looked at, to choose between masks.
    validation: &'a [Sample],
    /// Where the training stands.
    pub state: TrainState,
}

impl<'a> Trainer<'a> {
    /// A training from its beginning, or from a saved state of the same settings.
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
            // Importance that was learned elsewhere: its cut is the mask to beat.
            trainer.begin_masks()?;
        }
        Ok(trainer)
    }

    fn shape(&self) -> Shape {
        self.model.config().mask_shape()
    }

    /// Importance as it stands.
    pub fn importance(&self) -> Result<Importance> {
        Importance::new(self.shape(), self.state.alpha.clone())
    }

    /// The mask that importance gives at the target.
    pub fn cut(&self) -> Result<ChannelMask> {
        select(&self.importance()?, &self.settings.options())
    }

    /// One update; `None` once all are made. Learning that leaves the numbers is an error and
    /// leaves the state as it was.
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
        let found = engine::distill(&self.model.decoder, window, &factors, sample)?;
        let entries = self.state.alpha.len() as f64;
        let mean = |alpha: &[f32]| alpha.iter().map(|&a| f64::from(a)).sum::<f64>() / entries;
        let update_reg = reg * mean(&self.state.alpha);
        self.check_loss(found.loss, found.gradient.iter(), sample)?;
        // |a| has slope 1 above 0, and none at 0. Pressure ends once the mean is down to the share to keep: beyond it a small model
        // would give up far more channels than were asked for.
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

    /// Stage 1 is over: its cut is the mask to beat.
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
            let found = engine::distill(&self.model.decoder, window, &factors, sample)?;
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
            // Diverging: nothing better is to come, and the best mask is kept.
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
            sum += engine::loss(&self.model.decoder, self.settings.window, &factors, sample)?;
        }
        Ok(sum / self.validation.len() as f64)
    }

    /// Every sample once in each round, in a new order each time.
    fn sample_at(&self, turn: usize, stage: u64) -> usize {
        let (round, at) = (turn / self.samples.len(), turn % self.samples.len());
        let mut rng = SplitMix64::new(
            self.settings.seed ^ (round as u64 + 1).wrapping_mul(0x9E37_79B9) ^ stage << 48,
        );
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        for i in 0..order.len() {
            let j = i + rng.below(order.len() - i);
            order.swap(i, j);
        }
        order[at]
    }

    /// A loss that is no number, or one of states that have little to do with the teacher's, ends
    /// the training.
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
        let bound = HOPELESS * sum / f64::from(count.max(1));
        if loss > bound {
            return Err(Error::run(format!(
                "the loss of step {step} ({stage:?}) is {loss:.4}, above {bound:.4}, {HOPELESS} times what hidden states of 0 would have: learning diverges"
            )));
        }
        Ok(())
    }
}

/// The factors of kept channels, 0 for the others.
fn weighed(alpha: &[f32], mask: &ChannelMask) -> Vec<f32> {
    alpha.iter().zip(mask.bits()).map(|(&a, &kept)| if kept { a } else { 0.0 }).collect()
}

/// Updates of stage 2 between two looks at the validation samples.
const VALIDATE_EVERY: usize = 3;

/// A validation loss of this many times the stage-1 cut's ends stage 2.
const DIVERGED: f32 = 3.0;

/// A loss of this many times the mean square of the teacher's states ends learning: states of 0
/// would have it once, states that have nothing to do with the teacher's twice.
const HOPELESS: f64 = 1.5;
