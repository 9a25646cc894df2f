//! Forced decode of held-out prompts and texts through the caches of all contenders at once.

use std::sync::Arc;

use super::contenders::{Contender, Counts};
use super::verdict::{Answers, Evidence};
use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::{Divergence, StepDivergence};
use crate::learn::data::{Question, Tokens};
use crate::learn::train::Answer;
use crate::mask::Rule;
use crate::model::Model;
use crate::model::decoder::{StepBuffers, with_quiet_hooks};
use crate::numbers::count;
use crate::{Error, Result};

/// The prompts and texts of a check.
#[derive(Debug, Clone)]
pub struct CheckPlan {
    /// Recall prompts with their questions.
    pub prompts: Vec<Tokens>,
    /// Texts by name: windows of token ids.
    pub texts: Vec<(String, Vec<Vec<u32>>)>,
    /// Tokens at the end of each window that are forced through decode.
    pub forced: usize,
    /// Questions per prompt that the rules answer; the dense and the learned contender answer all.
    pub rule_questions: usize,
}

/// Divergence on one text.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TextLoss {
    /// The text.
    pub text: String,
    /// Divergence over all forced tokens of the text.
    #[serde(flatten)]
    pub divergence: Divergence,
}

/// Results of one contender.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CheckRow {
    /// How its channels were chosen.
    pub rule: Rule,
    /// Which counts per head it has.
    pub counts: Counts,
    /// Share of channels pruned.
    pub sparsity: f64,
    /// Questions answered with every digit right, by greedy decode.
    pub recall: f64,
    /// Questions asked.
    pub asked: usize,
    /// Mean over questions of the mean negative log-probability of the digits, nats.
    pub digit_nll: f64,
    /// Mean KL(dense || pruned) per forced token over all windows of the first texts (those of the
    /// kind that was trained on), in nats.
    pub kld_mean: f64,
    /// That of each of these windows.
    pub kld_windows: Vec<f64>,
    /// Divergence on each text.
    pub texts: Vec<TextLoss>,
    /// Whether each answer was right, in order.
    #[serde(skip)]
    pub answers: Vec<bool>,
}

/// What one cache lost on the texts of a plan, and how it answered the prompts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Losses {
    /// Divergence from dense of every forced step, `[text][window][step]`.
    pub texts: Vec<Vec<Vec<StepDivergence>>>,
    /// Bytes that the cache stored at the end of each window, in the order of the texts.
    pub kv_bytes: Vec<usize>,
    /// The answers, in order.
    pub answers: Vec<Answer>,
}

impl Losses {
    /// Divergence over all windows of the first `texts` texts.
    pub fn divergence(&self, texts: usize) -> Divergence {
        let steps: Vec<StepDivergence> =
            self.texts[..texts].iter().flatten().flatten().copied().collect();
        Divergence::of(&steps)
    }

    /// Mean KLD of each window of the first `texts` texts, in their order.
    pub fn window_means(&self, texts: usize) -> Vec<f64> {
        self.texts[..texts].iter().flatten().map(|steps| Divergence::of(steps).kld.mean).collect()
    }

    /// Share of the questions that were answered with every digit right; 0 where none was asked.
    pub fn recall(&self) -> f64 {
        let right = self.answers.iter().filter(|answer| answer.right).count();
        right as f64 / self.answers.len().max(1) as f64
    }

    /// Whether each answer was right, in order.
    pub fn right(&self) -> Vec<bool> {
        self.answers.iter().map(|answer| answer.right).collect()
    }
}

impl CheckRow {
    /// What a verdict on this row is on, beside dense.
    pub fn beside(&self, dense: &Self) -> Evidence {
        Evidence {
            digit_nll: (self.asked > 0).then_some((dense.digit_nll, self.digit_nll)),
            kld: self.kld_mean,
            windows: self.kld_windows.clone(),
            answers: Answers::of(&dense.answers, &self.answers),
        }
    }
}

/// Decodes the plan's texts and prompts through all caches at once: one prefill each, and one batch.
/// The first specification is dense. The first `complete` ones answer every question, the others
/// `rule_questions` of each prompt. `progress` gets the share done.
pub fn measure(
    model: &Arc<Model>,
    specs: &[Arc<CacheSpec>],
    plan: &CheckPlan,
    complete: usize,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Vec<Losses>> {
    let windows: usize = plan.texts.iter().map(|(_, windows)| windows.len()).sum();
    let mut done = 0;
    let mut advance = |weight: usize| {
        done += weight;
        progress(
            done as f32
                / (windows * WINDOW_WEIGHT + plan.prompts.len() * PROMPT_WEIGHT).max(1) as f32,
        )
    };
    let nothing = Losses { texts: vec![Vec::new(); plan.texts.len()], ..Losses::default() };
    let mut losses = vec![nothing; specs.len()];
    for (text, (_, windows)) in plan.texts.iter().enumerate() {
        for window in windows {
            for (all, (steps, bytes)) in
                losses.iter_mut().zip(read(model, specs, window, plan.forced)?)
            {
                all.texts[text].push(steps);
                all.kv_bytes.push(bytes);
            }
            advance(WINDOW_WEIGHT)?;
        }
    }
    for (turn, prompt) in plan.prompts.iter().enumerate() {
        ask(model, specs, (turn, prompt), (complete, plan.rule_questions), &mut losses)?;
        advance(PROMPT_WEIGHT)?;
    }
    Ok(losses)
}

/// Runs the plan; the first contender is dense. The first `own_texts` texts of the plan count for
/// `kld_mean`. `progress` gets the share done.
pub fn run(
    model: &Arc<Model>,
    contenders: &[Contender],
    plan: &CheckPlan,
    own_texts: usize,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<Vec<CheckRow>> {
    let specs: Vec<Arc<CacheSpec>> =
        contenders.iter().map(|contender| Arc::clone(&contender.spec)).collect();
    let losses = measure(model, &specs, plan, COMPLETE, progress)?;
    Ok(contenders.iter().zip(&losses).map(|(one, lost)| one.row(lost, plan, own_texts)).collect())
}

/// The dense and the learned contender come first and answer every question.
pub const COMPLETE: usize = 2;

impl Contender {
    /// This contender's row of a check.
    pub fn row(&self, losses: &Losses, plan: &CheckPlan, own_texts: usize) -> CheckRow {
        let answers = &losses.answers;
        let texts = plan.texts.iter().zip(&losses.texts).map(|((name, _), windows)| TextLoss {
            text: name.clone(),
            divergence: Divergence::of(&windows.concat()),
        });
        CheckRow {
            rule: self.rule,
            counts: self.counts,
            sparsity: 1.0 - self.spec.mask().kept_ratio(),
            recall: losses.recall(),
            asked: answers.len(),
            digit_nll: answers.iter().map(|answer| answer.nll).sum::<f64>()
                / answers.len().max(1) as f64,
            kld_mean: losses.divergence(own_texts).kld.mean,
            kld_windows: losses.window_means(own_texts),
            texts: texts.collect(),
            answers: losses.right(),
        }
    }
}

/// Rough cost of a window, used only for progress.
const WINDOW_WEIGHT: usize = 4;
const PROMPT_WEIGHT: usize = 3;

/// A prompt's dense cache.
fn prefilled(model: &Model, dense: &Arc<CacheSpec>, prompt: &[u32]) -> Result<SequenceCache> {
    let mut cache = SequenceCache::new(Arc::clone(dense));
    with_quiet_hooks(|hooks| model.decoder.prefill(prompt, &mut [&mut cache], hooks))?;
    Ok(cache)
}

/// The dense cache as gathered for each specification.
fn forks(cache: &SequenceCache, specs: &[Arc<CacheSpec>]) -> Result<Vec<SequenceCache>> {
    specs.iter().map(|spec| cache.retuned(Arc::clone(spec))).collect()
}

/// Feeds one token to every cache.
fn step(
    model: &Model,
    token: u32,
    caches: &mut [SequenceCache],
    buffers: &mut StepBuffers,
) -> Result<()> {
    let tokens = vec![token; caches.len()];
    let mut caches: Vec<&mut SequenceCache> = caches.iter_mut().collect();
    model.decoder.step(&tokens, &mut caches, buffers, &mut |_, _, _| ())
}

/// Forced divergence of every cache over the last `forced` tokens of a window, and the bytes that it
/// stores at the end. The first of these tokens comes from the exact prefill.
fn read(
    model: &Model,
    specs: &[Arc<CacheSpec>],
    window: &[u32],
    forced: usize,
) -> Result<Vec<(Vec<StepDivergence>, usize)>> {
    let Some(prompt) = window.len().checked_sub(forced).filter(|&prompt| prompt > 0) else {
        return Err(Error::input(format!(
            "a window of {} tokens has no room for {} forced ones",
            count(window.len()),
            count(forced)
        )));
    };
    model.check_tokens(window)?;
    let mut caches = forks(&prefilled(model, &specs[0], &window[..prompt])?, specs)?;
    let mut buffers = StepBuffers::new(model.config(), specs.len());
    let vocab = model.config().vocab;
    let mut steps = vec![Vec::with_capacity(forced); specs.len()];
    for pair in window[prompt..].windows(2) {
        step(model, pair[0], &mut caches, &mut buffers)?;
        for (index, steps) in steps.iter_mut().enumerate() {
            steps.push(StepDivergence::of(
                buffers.logits_of(0, vocab),
                buffers.logits_of(index, vocab),
                pair[1],
            ));
        }
    }
    Ok(steps.into_iter().zip(caches.iter().map(|cache| cache.bytes().total())).collect())
}

/// Asks the questions of a prompt. The tokens of each question go through dense decode, which is
/// exact, and then its answer through every cache.
fn ask(
    model: &Model,
    specs: &[Arc<CacheSpec>],
    (turn, prompt): (usize, &Tokens),
    (complete, rule_questions): (usize, usize),
    losses: &mut [Losses],
) -> Result<()> {
    let base = prefilled(model, &specs[0], &prompt.prefix)?;
    let mut caches: Vec<SequenceCache> =
        prompt.questions.iter().map(|_| base.copied()).collect::<Result<_>>()?;
    let longest = prompt.questions.iter().map(|question| question.tail.len()).max().unwrap_or(0);
    for at in 0..longest {
        let (tokens, mut fed): (Vec<u32>, Vec<&mut SequenceCache>) = prompt
            .questions
            .iter()
            .zip(&mut caches)
            .filter_map(|(question, cache)| Some((*question.tail.get(at)?, cache)))
            .unzip();
        let mut buffers = StepBuffers::new(model.config(), tokens.len());
        model.decoder.step(&tokens, &mut fed, &mut buffers, &mut |_, _, _| ())?;
    }
    for (index, (question, cache)) in prompt.questions.iter().zip(&caches).enumerate() {
        // The rules answer questions at different depths for each prompt.
        let rules_too = (index + turn) % prompt.questions.len() < rule_questions;
        let active = if rules_too { specs } else { &specs[..specs.len().min(complete)] };
        for (losses, answer) in losses.iter_mut().zip(answer(model, active, question, cache)?) {
            losses.answers.push(answer);
        }
    }
    Ok(())
}

fn answer(
    model: &Model,
    specs: &[Arc<CacheSpec>],
    question: &Question,
    cache: &SequenceCache,
) -> Result<Vec<Answer>> {
    model.check_tokens(&question.answer)?;
    let mut caches = forks(cache, specs)?;
    let mut buffers = StepBuffers::new(model.config(), specs.len());
    let vocab = model.config().vocab;
    let mut logits: Vec<Vec<f32>> = vec![Vec::new(); specs.len()];
    for &token in &question.answer[..question.answer.len() - 1] {
        step(model, token, &mut caches, &mut buffers)?;
        for (index, logits) in logits.iter_mut().enumerate() {
            logits.extend_from_slice(buffers.logits_of(index, vocab));
        }
    }
    Ok(logits.iter().map(|logits| Answer::of(question, logits.chunks_exact(vocab))).collect())
}
