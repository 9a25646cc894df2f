//! The masks of a variant with one seed.

use std::collections::HashMap;

use serde_json::json;

use super::cut;
use super::variant::{LearnFrom, LearnVariant};
use crate::learn::data::{Haystack, Question};
use crate::learn::engine::Sample;
use crate::learn::run::VALIDATION;
use crate::learn::score;
use crate::learn::sensitivity::{calibration_windows, measure, prune_in_rounds};
use crate::learn::train::{Pool, Settings, Stage, TrainState, Trainer, Variant, Wanted};
use crate::mask::files::{self, Split};
use crate::mask::{ChannelMask, Given, Importance, Needs, Rule, Sensitivity, Window, fingerprint};
use crate::model::Model;
use crate::{Error, Result};

/// What a target is, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct KnownTarget {
    /// Its name in the table.
    pub(super) name: String,
    /// The sparsity that it stands for, where it stands for one.
    pub(super) sparsity: Option<f64>,
    /// Share of the bytes of a dense middle; `None` until the first variant has set it.
    pub(super) share: Option<f64>,
}

/// A mask, and what it was cut from.
pub(super) struct MadeMask {
    pub(super) mask: ChannelMask,
    pub(super) importance: Option<Importance>,
    pub(super) sensitivity: Option<Sensitivity>,
    /// Validation losses of the cut and of what stage 2 kept.
    pub(super) validation: Option<(f32, f32)>,
}

/// Gets words about what is going on, and may cancel.
pub(super) type Say<'a> = &'a mut dyn FnMut(&str) -> Result<()>;

/// Makes masks, and keeps what several variants with one seed have in common.
pub(super) struct Maker<'a> {
    pub(super) model: &'a Model,
    /// The texts of the variant at hand.
    pub(super) haystack: &'a Haystack,
    pub(super) window: Window,
    seed: u64,
    /// The newest pool, samples to learn from and to choose by.
    pool: Option<(String, Vec<Sample>, Vec<Sample>)>,
    /// Importance after stage 1 by its settings.
    first_stages: HashMap<String, Importance>,
    /// Sensitivities by their settings.
    measured: HashMap<String, Sensitivity>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(model: &'a Model, haystack: &'a Haystack, window: Window, seed: u64) -> Self {
        let (first_stages, measured) = (HashMap::new(), HashMap::new());
        Self { model, haystack, window, seed, pool: None, first_stages, measured }
    }

    /// The masks of a variant, one for each target. A target whose bytes are not known gets those of
    /// this variant's mask at its sparsity.
    pub(super) fn make(
        &mut self,
        variant: &LearnVariant,
        targets: &mut [KnownTarget],
        say: Say<'_>,
    ) -> Result<Vec<MadeMask>> {
        let start = variant.start();
        if variant.rounds > 0 {
            return self.in_rounds(variant, targets, say);
        }
        let given = match &start {
            LearnFrom::Nothing => None,
            LearnFrom::Gradient => {
                let sensitivity = self.sensitivity(variant, say)?;
                if !variant.learns() {
                    return self.of_sensitivity(variant, &sensitivity, targets);
                }
                Some(sensitivity.pruning()?)
            }
            LearnFrom::Rule(rule) => Some(self.of_rule(*rule, variant, say)?),
            LearnFrom::File(path) => {
                let name = path.display().to_string();
                let contents = files::read(path, &Split::default())?;
                let geometry = self.model.config().geometry();
                contents.origin().expect_model(&name, &self.model.name, &fingerprint(&geometry))?;
                Some(contents.expect_importance(&name)?.clone())
            }
        };
        let mut made = Vec::with_capacity(targets.len());
        for target in targets {
            made.push(self.learned(variant, given.as_ref(), target, say)?);
        }
        Ok(made)
    }

    /// The mask of a sensitivity at every target.
    fn of_sensitivity(
        &self,
        variant: &LearnVariant,
        sensitivity: &Sensitivity,
        targets: &mut [KnownTarget],
    ) -> Result<Vec<MadeMask>> {
        let importance = sensitivity.pruning()?;
        let one = |target: &mut KnownTarget| {
            let share = share_of(target, &importance, variant)?;
            Ok(MadeMask {
                mask: cut::by_sensitivity(sensitivity, variant, share, None)?,
                importance: Some(importance.clone()),
                sensitivity: Some(sensitivity.clone()),
                validation: None,
            })
        };
        targets.iter_mut().map(one).collect()
    }

    fn in_rounds(
        &self,
        variant: &LearnVariant,
        targets: &[KnownTarget],
        say: Say<'_>,
    ) -> Result<Vec<MadeMask>> {
        let settings = variant.measurement(self.model.config(), self.window, self.seed);
        let share = |target: &KnownTarget| {
            target.share.ok_or_else(|| Error::run("the first variant sets the bytes of targets"))
        };
        let wanted: Vec<f64> = targets.iter().map(share).collect::<Result<_>>()?;
        let mut falling = wanted.clone();
        falling.sort_by(|a, b| b.total_cmp(a));
        falling.dedup();
        let rounds = falling.len() * variant.rounds;
        let masks = prune_in_rounds(
            self.model,
            self.haystack,
            &settings,
            (&falling, variant.rounds),
            &mut |sensitivity, share, inside| {
                cut::by_sensitivity(sensitivity, variant, share, Some(inside))
            },
            &mut |done| say(&format!("round {} of {rounds}", done + 1)),
        )?;
        let at = |share: &f64| falling.iter().position(|other| other == share).unwrap_or_default();
        let made = |share: &f64| MadeMask {
            mask: masks[at(share)].clone(),
            importance: None,
            sensitivity: None,
            validation: None,
        };
        Ok(wanted.iter().map(made).collect())
    }

    /// The mask of importance that is learned for a target, or of what is given.
    fn learned(
        &mut self,
        variant: &LearnVariant,
        given: Option<&Importance>,
        target: &mut KnownTarget,
        say: Say<'_>,
    ) -> Result<MadeMask> {
        let mut importance = given.cloned();
        let mut validation = None;
        if variant.learns() {
            let sparsity = variant.learn_at.or(target.sparsity).ok_or_else(|| {
                Error::run(format!("{} says no sparsity to learn at", target.name))
            })?;
            let settings = variant.settings(sparsity, self.window, self.seed);
            let start = match (given, variant.start()) {
                (Some(importance), LearnFrom::File(_)) => Some(importance.clone()),
                (Some(importance), _) => Some(factors_of(importance, sparsity)?),
                (None, _) => None,
            };
            let first = self.first_stage(variant, &settings, start, say)?;
            if settings.mask_steps > 0 {
                let share = share_of(target, &first, variant)?;
                let sparsity = cut::sparsity_of(&first, variant, share)?;
                let second = Settings { steps: 0, sparsity, ..settings };
                let words = format!("{}, stage 2", target.name);
                let state = Some(TrainState::of(&first)?);
                let (kept, losses) = self.train(variant, &second, (state, &words), say)?;
                (importance, validation) = (Some(kept), losses);
            } else {
                importance = Some(first);
            }
        }
        let importance =
            importance.ok_or_else(|| Error::run("a variant starts from something or learns"))?;
        let share = share_of(target, &importance, variant)?;
        Ok(MadeMask {
            mask: cut::by_rank(&importance, variant, share)?,
            importance: Some(importance),
            sensitivity: None,
            validation,
        })
    }

    /// Importance after stage 1, which variants with the same one share.
    fn first_stage(
        &mut self,
        variant: &LearnVariant,
        settings: &Settings,
        start: Option<Importance>,
        say: Say<'_>,
    ) -> Result<Importance> {
        // What stage 1 does not read is the same for all.
        let Variant { bf16, loss, .. } = settings.variant;
        let usual = Settings::for_sparsity(settings.sparsity);
        let settings = Settings {
            mask_steps: 0,
            mask_lr: usual.mask_lr,
            accumulate: usual.accumulate,
            align: usual.align,
            variant: Variant { bf16, loss, ..Variant::default() },
            ..settings.clone()
        };
        if settings.steps == 0 {
            return start.ok_or_else(|| Error::run("stage 1 has updates where nothing is given"));
        }
        let from = start.as_ref().map(Importance::sha256);
        let key = json!([settings, self.pool_key(variant), from]).to_string();
        if let Some(known) = self.first_stages.get(&key) {
            return Ok(known.clone());
        }
        let state = start.as_ref().map(TrainState::of).transpose()?;
        let words = format!("stage 1 at {}", settings.sparsity);
        let found = self.train(variant, &settings, (state, &words), say)?.0;
        self.first_stages.insert(key, found.clone());
        Ok(found)
    }

    /// Importance after all updates, and its validation losses.
    fn train(
        &mut self,
        variant: &LearnVariant,
        settings: &Settings,
        (state, words): (Option<TrainState>, &str),
        say: Say<'_>,
    ) -> Result<(Importance, Option<(f32, f32)>)> {
        self.fill(variant, say)?;
        let Some((_, samples, validation)) = &self.pool else {
            return Err(Error::run("the pool is filled"));
        };
        let mut trainer = Trainer::new(self.model, settings, samples, validation, state)?;
        while trainer.state.stage != Stage::Done && trainer.step()?.is_some() {
            say(&format!("{words}, update {}", trainer.state.step))?;
        }
        Ok((trainer.importance()?, trainer.state.validated()))
    }

    fn pool_key(&self, variant: &LearnVariant) -> String {
        json!([variant.texts, variant.tasks(self.model), variant.ctx, variant.pool]).to_string()
    }

    /// Prefills the variant's pool, unless the newest one is the same.
    fn fill(&mut self, variant: &LearnVariant, say: Say<'_>) -> Result<()> {
        let key = self.pool_key(variant);
        if self.pool.as_ref().is_some_and(|(known, ..)| *known == key) {
            return Ok(());
        }
        // The old one goes before the new one comes: a pool takes gigabytes.
        self.pool = None;
        let tasks = variant.tasks(self.model);
        let all = variant.pool + VALIDATION;
        let wanted = Wanted {
            haystack: self.haystack,
            tasks: &tasks,
            lengths: variant.ctx,
            samples: all,
            seed: self.seed,
        };
        let mut pool = Pool::fill(self.model, &wanted, &mut |index| {
            say(&format!("prefilling {} of {all}", index + 1))
        })?;
        let validation = pool.samples.split_off(variant.pool);
        self.pool = Some((key, pool.samples, validation));
        Ok(())
    }

    fn sensitivity(&mut self, variant: &LearnVariant, say: Say<'_>) -> Result<Sensitivity> {
        let settings = variant.measurement(self.model.config(), self.window, self.seed);
        let key = json!([settings, variant.texts]).to_string();
        if let Some(known) = self.measured.get(&key) {
            return Ok(known.clone());
        }
        let found = measure(self.model, self.haystack, &settings, &mut |step| {
            say(&format!("sensitivity, sample {} of {}", step.done + 1, step.samples))
        })?
        .sensitivity;
        self.measured.insert(key, found.clone());
        Ok(found)
    }

    fn of_rule(&self, rule: Rule, variant: &LearnVariant, say: Say<'_>) -> Result<Importance> {
        let shape = self.model.config().mask_shape();
        if rule.needs != Needs::Text {
            return rule.scores(Given::nothing(shape, self.seed));
        }
        let settings = variant.measurement(self.model.config(), self.window, self.seed);
        settings.check(self.model.config())?;
        let whole = |question: Question| [question.tail, question.answer].concat();
        let windows: Vec<Vec<u32>> = calibration_windows(self.model, self.haystack, &settings)?
            .into_iter()
            .map(|tokens| {
                let rest = tokens.questions.into_iter().flat_map(whole);
                tokens.prefix.into_iter().chain(rest).collect()
            })
            .collect();
        let mut reading = |share: f32| say(&format!("reading, {:.0} %", share * 100.0));
        let decoder = &self.model.decoder;
        score::gather(decoder, &windows, settings.window_tokens, &mut reading)?.importance(rule)
    }
}

/// The bytes of a target. Where they are not known, they become those of this importance's mask.
fn share_of(
    target: &mut KnownTarget,
    importance: &Importance,
    variant: &LearnVariant,
) -> Result<f64> {
    match (target.share, target.sparsity) {
        (Some(share), _) => Ok(share),
        (None, Some(sparsity)) => {
            let share = cut::share(&cut::at_sparsity(importance, variant, sparsity)?);
            target.share = Some(share);
            Ok(share)
        }
        (None, None) => Err(Error::run(format!("the bytes of {} are not known", target.name))),
    }
}

/// Factors of 0 to 1 in the order of an importance of any scale: 1/2 at the cut, and so much more or
/// less for every factor e of importance. Learning then moves first what lies near the cut.
fn factors_of(importance: &Importance, sparsity: f64) -> Result<Importance> {
    /// Distance of factors for a ratio e: channels of a hundredth of the cut's importance get 0.04.
    const SLOPE: f64 = 0.1;
    let mut sorted = importance.scores().to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = (sparsity * sorted.len() as f64) as usize;
    let least = sorted
        .iter()
        .copied()
        .find(|score| *score > 0.0)
        .ok_or_else(|| Error::input("importance to learn from has no score above 0"))?;
    let middle = f64::from(sorted[at.min(sorted.len() - 1)].max(least)).ln();
    let factor = |&score: &f32| match score > 0.0 {
        true => (0.5 + SLOPE * (f64::from(score).ln() - middle)).clamp(0.001, 1.0) as f32,
        false => 0.0,
    };
    Importance::new(importance.shape(), importance.scores().iter().map(factor).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Shape;

    #[test]
    fn factors_keep_the_order_and_are_one_half_at_the_cut() {
        let shape = Shape { layers: 1, kv_heads: 1, head_dim: 5 };
        let importance = Importance::new(shape, vec![1e-9, 3.0, 0.0, 1e-4, 2e-4]).unwrap();
        let found = factors_of(&importance, 0.6).unwrap();
        let scores = found.scores();
        assert_eq!((scores[4], scores[2], scores[1]), (0.5, 0.0, 1.0));
        assert!((scores[3] - (0.5 - 0.1 * 2.0_f32.ln())).abs() < 1e-6, "{scores:?}");
        assert!(scores[0] > 0.0 && scores[0] < scores[3]);
        let nothing = Importance::new(shape, vec![0.0; 5]).unwrap();
        assert!(factors_of(&nothing, 0.6).is_err());
    }
}
