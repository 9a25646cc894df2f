//! Many masks against one dense run. The dense tokens and logits are computed once; each mask is
//! measured in forced mode on a cache gathered from the dense one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::{Divergence, StepDivergence};
use crate::decode::sampler::{Sampler, Sampling};
use crate::model::Model;
use crate::model::decoder::{PrefillHooks, StepBuffers};
use crate::numbers::count;
use crate::{Error, Result};

/// A dense run whose tokens and logits are the reference for masks.
pub struct Reference {
    model: Arc<Model>,
    /// The dense cache after the prompt.
    prompt_cache: SequenceCache,
    /// Tokens fed through decode, the first from the prefill.
    tokens: Vec<u32>,
    /// Logits after each of them, `[tokens, vocab]`.
    logits: Vec<f32>,
    step_times: Vec<Duration>,
    kv_bytes: usize,
}

/// Loss, time and bytes of one mask.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepMeasured {
    /// Loss against dense, forced.
    pub divergence: Divergence,
    /// Compute time of each step.
    pub step_times: Vec<Duration>,
    /// Bytes stored at the end.
    pub kv_bytes: usize,
}

impl Reference {
    /// Decodes `steps` tokens densely after a prompt.
    pub fn run(
        model: Arc<Model>,
        dense: &Arc<CacheSpec>,
        prompt: &[u32],
        sampling: &Sampling,
        steps: usize,
        hooks: PrefillHooks<'_>,
    ) -> Result<Self> {
        sampling.check()?;
        let config = model.config();
        if prompt.len() + steps > config.max_context {
            return Err(Error::input(format!(
                "a prompt of {} tokens and {} new ones do not fit the model's context of {}",
                count(prompt.len()),
                count(steps),
                config.longest()
            )));
        }
        let keep_going = hooks.keep_going;
        let mut cache = SequenceCache::with_capacity(Arc::clone(dense), prompt.len() + steps);
        let states = model.decoder.prefill(prompt, &mut [&mut cache], hooks)?;
        let prompt_cache = cache.copied()?;
        let mut sampler = Sampler::new(sampling.clone());
        let mut history = prompt.to_vec();
        history.push(sampler.sample(&model.decoder.logits(&states.last()?)?, prompt));
        let mut buffers = StepBuffers::new(config, 1);
        let mut logits = Vec::with_capacity(steps * config.vocab);
        let mut step_times = Vec::with_capacity(steps);
        for _ in 0..steps {
            keep_going()?;
            let began = Instant::now();
            let token = history[history.len() - 1];
            model.decoder.step(&[token], &mut [&mut cache], &mut buffers, &mut |_, _, _| ())?;
            step_times.push(began.elapsed());
            logits.extend_from_slice(&buffers.logits);
            history.push(sampler.sample(&buffers.logits, &history));
        }
        let tokens = history[prompt.len()..prompt.len() + steps].to_vec();
        Ok(Self {
            prompt_cache,
            tokens,
            logits,
            step_times,
            kv_bytes: cache.bytes().total(),
            model,
        })
    }

    /// Time of each dense step.
    pub fn step_times(&self) -> &[Duration] {
        &self.step_times
    }

    /// Bytes of the dense cache at the end.
    pub fn kv_bytes(&self) -> usize {
        self.kv_bytes
    }

    /// Measures one mask over the reference's tokens; `keep_going` may cancel between steps.
    pub fn measure(
        &self,
        pruned: &Arc<CacheSpec>,
        keep_going: &dyn Fn() -> Result<()>,
    ) -> Result<SweepMeasured> {
        let config = self.model.config();
        let mut cache = self.prompt_cache.retuned(Arc::clone(pruned))?;
        let mut buffers = StepBuffers::new(config, 1);
        let mut steps = Vec::with_capacity(self.tokens.len());
        let mut step_times = Vec::with_capacity(self.tokens.len());
        for (i, (&token, dense)) in
            self.tokens.iter().zip(self.logits.chunks_exact(config.vocab)).enumerate()
        {
            keep_going()?;
            let began = Instant::now();
            self.model.decoder.step(
                &[token],
                &mut [&mut cache],
                &mut buffers,
                &mut |_, _, _| (),
            )?;
            step_times.push(began.elapsed());
            let next = self
                .tokens
                .get(i + 1)
                .copied()
                .unwrap_or_else(|| crate::decode::sampler::argmax(dense));
            steps.push(StepDivergence::of(dense, &buffers.logits, next));
        }
        Ok(SweepMeasured {
            divergence: Divergence::of(&steps),
            step_times,
            kv_bytes: cache.bytes().total(),
        })
    }
}
