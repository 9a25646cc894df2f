//! Variants of learning, compared at equal bytes: one pool, one stage 1, then stage 2 of every
//! variant, and one held-out check of all.

use std::sync::Arc;
use std::time::Instant;

use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::learn::check::{self, CheckRow, Contender, Counts, Extent, McNemar};
use crate::learn::data::{Haystack, HaystackPiece};
use crate::learn::engine::Sample;
use crate::learn::run::{VALIDATION, default_tasks};
use crate::learn::train::{Pool, Settings, Stage, TrainState, Trainer, Variant, Wanted};
use crate::mask::bytes::{self, Savings};
use crate::mask::select::{Options as Selection, Target, select};
use crate::mask::{ChannelMask, Importance, Rule};
use crate::model::Model;
use crate::{Error, Result};

/// What to compare, and on which data.
#[derive(Debug, Clone)]
pub struct VariantOptions {
    /// Filler and ordinary text.
    pub haystack: Haystack,
    /// Texts of another kind, for the check.
    pub others: Vec<HaystackPiece>,
    /// Shortest and longest context in tokens.
    pub lengths: (usize, usize),
    /// Samples to learn from.
    pub pool: usize,
    /// Settings of the default variant; its mask sets the bytes of all others.
    pub settings: Settings,
    /// Prompts of the check, seven questions each.
    pub check_prompts: usize,
}

/// One variant's result.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Compared {
    /// What is different from the default.
    pub variant: &'static str,
    /// Kept counts are multiples of this.
    pub align: usize,
    /// Share of cache bytes saved in long contexts.
    pub saved: Savings,
    /// Heads that keep nothing.
    pub dropped_heads: usize,
    /// Validation loss of the mask before stage 2, where it was learned at its target, and of the
    /// one that is kept.
    pub validation: Option<(f32, f32)>,
    /// Answers against the dense ones.
    pub mcnemar: McNemar,
    /// The check.
    #[serde(flatten)]
    pub row: CheckRow,
}

/// The comparison.
#[derive(Debug, Clone, serde::Serialize)]
pub struct VariantReport {
    /// The dense row.
    pub dense: CheckRow,
    /// Every variant, the default first.
    pub variants: Vec<Compared>,
    /// Total time in seconds.
    pub seconds: f64,
}

/// A variant before it is learned.
struct Plan {
    name: &'static str,
    settings: Settings,
}

/// A variant's mask, and the validation losses of its stage 2.
struct Finished {
    plan: Plan,
    mask: ChannelMask,
    validated: Option<(f32, f32)>,
}

/// The variants, each of which changes one thing.
fn plans(base: &Settings) -> Vec<Plan> {
    let stage_2 = Settings { steps: 0, ..base.clone() };
    let with = |name, change: &dyn Fn(&mut Settings)| {
        let mut settings = stage_2.clone();
        change(&mut settings);
        Plan { name, settings }
    };
    vec![
        with("default", &|_| ()),
        with("no stage 2", &|s| s.mask_steps = 0),
        with("align 32", &|s| s.align = 32),
        with("pair-closed", &|s| s.variant.pair_closed = true),
        with("bf16 importance", &|s| s.variant.bf16 = true),
        with("authors' masks", &|s| s.variant.authors = true),
        with("authors' masks and rates", &|s| {
            (s.variant.authors, s.mask_lr, s.accumulate) = (true, s.lr / 2.0, 1);
            s.mask_steps *= base.accumulate;
        }),
    ]
}

/// Runs the comparison; `say` gets its progress.
pub fn run(
    model: &Arc<Model>,
    options: &VariantOptions,
    say: &mut dyn FnMut(&str),
) -> Result<VariantReport> {
    options.settings.check()?;
    let began = Instant::now();
    let tasks = default_tasks(model);
    let samples = options.pool + VALIDATION;
    let wanted = Wanted {
        haystack: &options.haystack,
        tasks: &tasks,
        lengths: options.lengths,
        samples,
        seed: options.settings.seed,
    };
    let mut pool = Pool::fill(model, &wanted, &mut |index| {
        say(&format!("prefilling {index} of {samples}"));
        Ok(())
    })?;
    let validation = pool.samples.split_off(options.pool);
    let learn =
        |name: &str, settings: &Settings, state: Option<TrainState>, say: &mut dyn FnMut(&str)| {
            trained(model, settings, (&pool.samples, &validation), state, &mut |step| {
                say(&format!("{name}: update {step}"))
            })
        };
    let first = Settings { mask_steps: 0, ..options.settings.clone() };
    let importance = learn("stage 1", &first, None, say)?.0;
    let bf16 = Settings { variant: Variant { bf16: true, ..Variant::default() }, ..first };
    let rounded = learn("stage 1 in bf16", &bf16, None, say)?.0;
    let mut masks: Vec<Finished> = Vec::new();
    for mut plan in plans(&options.settings) {
        let start = if plan.settings.variant.bf16 { &rounded } else { &importance };
        // Every other variant is cut to the bytes of the default's mask, both before and after
        // stage 2.
        let target = masks.first().map(|first| token_bytes(&first.mask));
        if let Some(target) = target {
            plan.settings.sparsity = sparsity_of_bytes(start, &plan.settings, target)?;
        }
        let (learned, validated) = match plan.settings.mask_steps {
            0 => (start.clone(), None),
            _ => learn(plan.name, &plan.settings, Some(TrainState::of(start)?), say)?,
        };
        if let Some(target) = target {
            plan.settings.sparsity = sparsity_of_bytes(&learned, &plan.settings, target)?;
        }
        let mask = select(&learned, &plan.settings.options())?;
        masks.push(Finished { plan, mask, validated });
    }
    drop(pool);
    let window = options.settings.window;
    let mut contenders = check::dense_and_learned(&masks[0].mask, window)?;
    for Finished { mask, .. } in &masks[1..] {
        let spec = Arc::new(CacheSpec::new(mask.shape(), window, Dtype::F16, mask.clone())?);
        contenders.push(Contender { rule: Rule::LEARNED, counts: Counts::Own, spec });
    }
    let extent = Extent {
        prompts: options.check_prompts,
        lengths: options.lengths,
        seed: options.settings.seed,
    };
    let (mut plan, own_texts) = check::plan(model, &options.haystack, &options.others, &extent)?;
    // Every variant answers every question.
    plan.rule_questions = usize::MAX;
    let mut rows = check::run(model, &contenders, &plan, own_texts, &mut |share| {
        say(&format!("checking, {:.0} %", share * 100.0));
        Ok(())
    })?
    .into_iter();
    let dense = rows.next().ok_or_else(|| Error::run("a check has a dense row"))?;
    let compared =
        masks.into_iter().zip(rows).map(|(Finished { plan, mask, validated }, row)| Compared {
            variant: plan.name,
            align: plan.settings.align,
            saved: bytes::savings(&mask, None),
            dropped_heads: mask.kept_counts().iter().filter(|&&count| count == 0).count(),
            validation: validated,
            mcnemar: McNemar::of(&dense.answers, &row.answers),
            row,
        });
    Ok(VariantReport {
        variants: compared.collect(),
        dense,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Importance after all updates of a training, and its validation losses.
fn trained(
    model: &Model,
    settings: &Settings,
    (samples, validation): (&[Sample], &[Sample]),
    state: Option<TrainState>,
    step: &mut dyn FnMut(usize),
) -> Result<(Importance, Option<(f32, f32)>)> {
    let mut trainer = Trainer::new(model, settings, samples, validation, state)?;
    while trainer.state.stage != Stage::Done && trainer.step()?.is_some() {
        step(trainer.state.step);
    }
    Ok((trainer.importance()?, trainer.state.validated()))
}

/// Bytes of a middle token, keys and values.
fn token_bytes(mask: &ChannelMask) -> u64 {
    bytes::middle_token(mask, Dtype::F16.bytes()).total()
}

/// The sparsity, in thousandths, whose mask comes nearest to `target` bytes a middle token.
fn sparsity_of_bytes(importance: &Importance, settings: &Settings, target: u64) -> Result<f64> {
    let mut best = (u64::MAX, settings.sparsity);
    for thousandth in 1..1000 {
        let sparsity = f64::from(thousandth) / 1000.0;
        let mask = select(
            importance,
            &Selection { target: Target::Sparsity(sparsity), ..settings.options() },
        )?;
        let distance = token_bytes(&mask).abs_diff(target);
        if distance < best.0 {
            best = (distance, sparsity);
        }
    }
    Ok(best.1)
}
