//! Greedy answers of many caches to one prompt: one prefill, and all caches in one batch.

use std::sync::Arc;

use super::prompt::{EvalPrompt, Protocol, tokenizer};
use crate::Result;
use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::sampler::argmax;
use crate::model::Model;
use crate::model::decoder::{StepBuffers, with_quiet_hooks};

/// How answers end.
pub struct Ending<'a> {
    /// Most tokens.
    pub new_tokens: usize,
    /// Whether a text needs no more tokens, because its score cannot change.
    pub enough: &'a dyn Fn(&str) -> bool,
}

/// One cache's answer so far.
struct Answer {
    cache: SequenceCache,
    /// The token to feed next, the last of `tokens`.
    tokens: Vec<u32>,
    text: String,
    ended: bool,
}

/// The answer of every cache; the first specification is dense. What a cache answers does not
/// depend on the others in the batch.
pub fn answers(
    model: &Model,
    specs: &[Arc<CacheSpec>],
    (prompt, protocol): (&EvalPrompt, Protocol),
    ending: &Ending<'_>,
) -> Result<Vec<String>> {
    let config = model.config();
    let prefilled = match protocol {
        Protocol::After => prompt.context,
        Protocol::Prompt => prompt.tokens.len(),
    };
    let (prefix, tail) = prompt.tokens.split_at(prefilled);
    let mut dense = SequenceCache::new(Arc::clone(&specs[0]));
    let states = with_quiet_hooks(|hooks| model.decoder.prefill(prefix, &mut [&mut dense], hooks))?;
    let mut caches = specs
        .iter()
        .map(|spec| dense.retuned(Arc::clone(spec)))
        .collect::<Result<Vec<SequenceCache>>>()?;
    drop(dense);
    let first: Vec<u32> = if tail.is_empty() {
        let logits = model.decoder.logits(&states.last()?)?;
        vec![argmax(&logits); specs.len()]
    } else {
        let mut buffers = StepBuffers::new(config, specs.len());
        for &token in tail {
            let mut all: Vec<&mut SequenceCache> = caches.iter_mut().collect();
            let tokens = vec![token; specs.len()];
            model.decoder.step(&tokens, &mut all, &mut buffers, &mut |_, _, _| ())?;
        }
        (0..specs.len()).map(|at| argmax(buffers.logits_of(at, config.vocab))).collect()
    };
    drop(states);
    let begin = |(cache, token): (SequenceCache, u32)| Answer {
        cache,
        tokens: vec![token],
        text: String::new(),
        ended: false,
    };
    let mut answers: Vec<Answer> = caches.into_iter().zip(first).map(begin).collect();
    loop {
        for answer in answers.iter_mut().filter(|answer| !answer.ended) {
            answer.settle(model, ending)?;
        }
        let mut running: Vec<&mut Answer> =
            answers.iter_mut().filter(|answer| !answer.ended).collect();
        if running.is_empty() {
            break;
        }
        let tokens: Vec<u32> =
            running.iter().map(|answer| answer.tokens[answer.tokens.len() - 1]).collect();
        let mut buffers = StepBuffers::new(config, running.len());
        let mut caches: Vec<&mut SequenceCache> =
            running.iter_mut().map(|answer| &mut answer.cache).collect();
        model.decoder.step(&tokens, &mut caches, &mut buffers, &mut |_, _, _| ())?;
        for (at, answer) in running.into_iter().enumerate() {
            answer.tokens.push(argmax(buffers.logits_of(at, config.vocab)));
        }
    }
    Ok(answers.into_iter().map(|answer| answer.text).collect())
}

impl Answer {
    /// Ends the answer where its newest token does, or where it is long enough.
    fn settle(&mut self, model: &Model, ending: &Ending<'_>) -> Result<()> {
        let last = self.tokens[self.tokens.len() - 1];
        if model.config().eos.contains(&last) {
            self.tokens.pop();
            self.ended = true;
            return Ok(());
        }
        self.text = tokenizer(model)?.decode(&self.tokens)?;
        let full = self.cache.tokens() + 1 >= model.config().max_context;
        self.ended = full || self.tokens.len() >= ending.new_tokens || (ending.enough)(&self.text);
        Ok(())
    }
}
