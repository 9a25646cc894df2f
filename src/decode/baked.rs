//! Dense weights against baked ones: two models are fed the same tokens.
//!
//! A mask that is baked into weights has no window and also changes the prefill, so each side makes
//! its own, and every position of the prompt is compared too.

use std::sync::Arc;

use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::StepDivergence;
use crate::decode::sampler::{Sampler, Sampling};
use crate::model::Model;
use crate::model::decoder::{StepBuffers, with_quiet_hooks};
use crate::model::states::PromptStates;
use crate::numbers::count;
use crate::{Error, Result};

/// What to feed both models.
#[derive(Debug, Clone)]
pub struct BakedSetup {
    /// Token ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// Tokens to generate from the dense model.
    pub max_new: usize,
    /// How they are chosen.
    pub sampling: Sampling,
    /// The cache of both sides, which keeps every channel.
    pub cache: Arc<CacheSpec>,
}

/// What the baked weights lose.
#[derive(Debug, Clone, PartialEq)]
pub struct BakedLosses {
    /// One for each token of the prompt: of the prediction that follows it.
    pub prompt: Vec<StepDivergence>,
    /// The same of each generated token that was fed.
    pub steps: Vec<StepDivergence>,
    /// The generated tokens; the last one was not fed.
    pub generated: Vec<u32>,
}

/// Rows whose logits are held at once.
const ROWS: usize = 32;

/// Feeds both models the prompt and then what the dense one says. `progress` gets the share done and
/// may cancel.
pub fn compare_baked(
    dense: &Model,
    baked: &Model,
    setup: &BakedSetup,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<BakedLosses> {
    let BakedSetup { prompt, max_new, sampling, cache } = setup;
    sampling.check()?;
    let (config, most) = (dense.config(), dense.config().max_context);
    let vocab = config.vocab;
    if prompt.is_empty() || *max_new == 0 || prompt.len() + max_new > most {
        return Err(Error::input(format!(
            "expected a prompt and new tokens, at least one of each and at most {} together, found {} and {}",
            config.longest(),
            count(prompt.len()),
            count(*max_new)
        )));
    }
    dense.check_tokens(prompt)?;
    let length = (prompt.len() + max_new) as f32;
    let mut sampler = Sampler::new(sampling.clone());
    let mut sides = Vec::new();
    for model in [dense, baked] {
        let mut kept = SequenceCache::with_capacity(Arc::clone(cache), prompt.len() + max_new);
        let states =
            with_quiet_hooks(|hooks| model.decoder.prefill(prompt, &mut [&mut kept], hooks))?;
        sides.push((model, kept, states));
        progress(prompt.len() as f32 * sides.len() as f32 / 2.0 / length)?;
    }
    let mut losses = BakedLosses { prompt: Vec::new(), steps: Vec::new(), generated: Vec::new() };
    for first in (0..prompt.len()).step_by(ROWS) {
        let rows = ROWS.min(prompt.len() - first);
        let logits = |(model, _, states): &(&Model, SequenceCache, PromptStates)| {
            model.decoder.logits(&states.rows(first..first + rows)?)
        };
        let (a, b) = (logits(&sides[0])?, logits(&sides[1])?);
        for (row, (a, b)) in a.chunks_exact(vocab).zip(b.chunks_exact(vocab)).enumerate() {
            let next = prompt.get(first + row + 1).copied();
            let next = next.unwrap_or_else(|| sampler.sample(a, prompt));
            losses.prompt.push(StepDivergence::of(a, b, next));
            if first + row + 1 == prompt.len() {
                losses.generated.push(next);
            }
        }
    }
    let mut buffers = [StepBuffers::new(config, 1), StepBuffers::new(config, 1)];
    let mut history = [prompt.as_slice(), &losses.generated].concat();
    while losses.generated.len() < *max_new {
        let fed = *history.last().expect("a prompt has tokens");
        if config.eos.contains(&fed) {
            break;
        }
        for ((model, kept, _), buffers) in sides.iter_mut().zip(&mut buffers) {
            model.decoder.step(&[fed], &mut [kept], buffers, &mut |_, _, _| ())?;
        }
        let [a, b] = &buffers;
        let next = sampler.sample(a.logits_of(0, vocab), &history);
        let (a, b) = (a.logits_of(0, vocab), b.logits_of(0, vocab));
        losses.steps.push(StepDivergence::of(a, b, next));
        losses.generated.push(next);
        history.push(next);
        progress(history.len() as f32 / length)?;
    }
    Ok(losses)
}
