//! Forced decode of held-out prompts and texts through the caches of all contenders at once.

use std::sync::Arc;

use super::contenders::{Contender, Counts};
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
    /// Divergence on each text.
    pub texts: Vec<TextLoss>,
    /// Whether each answer was right, in order.
    #[serde(skip)]
    pub answers: Vec<bool>,
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
    let windows: usize = plan.texts.iter().map(|(_, windows)| windows.len()).sum();
    let mut done = 0;
    let mut advance = |weight: usize| {
        done += weight;
        progress(
            done as f32
                / (windows * WINDOW_WEIGHT + plan.prompts.len() * PROMPT_WEIGHT).max(1) as f32,
        )
    };
    let mut steps: Vec<Vec<Vec<StepDivergence>>> =
        vec![vec![Vec::new(); plan.texts.len()]; contenders.len()];
    for (text, (_, windows)) in plan.texts.iter().enumerate() {
        for window in windows {
            for (all, own) in steps.iter_mut().zip(read(model, contenders, window, plan.forced)?) {
                all[text].extend(own);
            }
            advance(WINDOW_WEIGHT)?;
        }
    }
    let mut answers: Vec<Vec<Answer>> = vec![Vec::new(); contenders.len()];
    for (turn, prompt) in plan.prompts.iter().enumerate() {
        ask(model, contenders, (turn, prompt), plan.rule_questions, &mut answers)?;
        advance(PROMPT_WEIGHT)?;
    }
    let row =
        |((contender, steps), answers): ((&Contender, Vec<Vec<StepDivergence>>), Vec<Answer>)| {
            let own: Vec<StepDivergence> = steps[..own_texts].iter().flatten().copied().collect();
            let names = plan.texts.iter().map(|(name, _)| name.clone());
            CheckRow {
                rule: contender.rule,
                counts: contender.counts,
                sparsity: 1.0 - contender.spec.mask().kept_ratio(),
                recall: answers.iter().filter(|answer| answer.right).count() as f64
                    / answers.len().max(1) as f64,
                asked: answers.len(),
                digit_nll: answers.iter().map(|answer| answer.nll).sum::<f64>()
                    / answers.len().max(1) as f64,
                kld_mean: Divergence::of(&own).kld.mean,
                texts: names
                    .zip(&steps)
                    .map(|(text, steps)| TextLoss { text, divergence: Divergence::of(steps) })
                    .collect(),
                answers: answers.iter().map(|answer| answer.right).collect(),
            }
        };
    Ok(contenders.iter().zip(steps).zip(answers).map(row).collect())
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

/// The dense cache as gathered for each contender.
fn forks(cache: &SequenceCache, contenders: &[Contender]) -> Result<Vec<SequenceCache>> {
    contenders.iter().map(|contender| cache.retuned(Arc::clone(&contender.spec))).collect()
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

/// Forced divergence of every contender over the last `forced` tokens of a window. The first of
/// them comes from the exact prefill.
fn read(
    model: &Model,
    contenders: &[Contender],
    window: &[u32],
    forced: usize,
) -> Result<Vec<Vec<StepDivergence>>> {
    let Some(prompt) = window.len().checked_sub(forced).filter(|&prompt| prompt > 0) else {
        return Err(Error::input(format!(
            "a window of {} tokens has no room for {} forced ones",
            count(window.len()),
            count(forced)
        )));
    };
    model.check_tokens(window)?;
    let mut caches = forks(&prefilled(model, &contenders[0].spec, &window[..prompt])?, contenders)?;
    let mut buffers = StepBuffers::new(model.config(), contenders.len());
    let vocab = model.config().vocab;
    let mut steps = vec![Vec::with_capacity(forced); contenders.len()];
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
    Ok(steps)
}

/// Asks the questions of a prompt. The tokens of each question go through dense decode, which is
/// exact, and then its answer through every cache.
fn ask(
    model: &Model,
    contenders: &[Contender],
    (turn, prompt): (usize, &Tokens),
    rule_questions: usize,
    answers: &mut [Vec<Answer>],
) -> Result<()> {
    let base = prefilled(model, &contenders[0].spec, &prompt.prefix)?;
    let mut caches: Vec<SequenceCache> = prompt.questions.iter().map(|_| base.clone()).collect();
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
        // The dense and the learned contender come first and answer every question. The rules
        // answer questions at different depths for each prompt.
        let rules_too = (index + turn) % prompt.questions.len() < rule_questions;
        let active = if rules_too { contenders } else { &contenders[..contenders.len().min(2)] };
        for (contender, answer) in answers.iter_mut().zip(answer(model, active, question, cache)?) {
            contender.push(answer);
        }
    }
    Ok(())
}

fn answer(
    model: &Model,
    contenders: &[Contender],
    question: &Question,
    cache: &SequenceCache,
) -> Result<Vec<Answer>> {
    model.check_tokens(&question.answer)?;
    let mut caches = forks(cache, contenders)?;
    let mut buffers = StepBuffers::new(model.config(), contenders.len());
    let vocab = model.config().vocab;
    let mut logits: Vec<Vec<f32>> = vec![Vec::new(); contenders.len()];
    for &token in &question.answer[..question.answer.len() - 1] {
        step(model, token, &mut caches, &mut buffers)?;
        for (index, logits) in logits.iter_mut().enumerate() {
            logits.extend_from_slice(buffers.logits_of(index, vocab));
        }
    }
    Ok(logits.iter().map(|logits| Answer::of(question, logits.chunks_exact(vocab))).collect())
}
