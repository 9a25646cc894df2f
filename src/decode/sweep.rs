//! Many masks against one dense run. The dense tokens and logits are computed once; each mask is
//! measured in forced mode on a cache gathered from the dense one, in turn with dense steps over the
//! same tokens, so that the times of masks can be compared on a machine whose load changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::Divergence;
use crate::decode::replay::{DenseStep, PairedReplay, Stretch};
use crate::decode::sampler::{Sampler, Sampling};
use crate::model::Model;
use crate::model::decoder::{PrefillHooks, StepBuffers};
use crate::numbers::count;
use crate::spread::MedianInterval;
use crate::{Error, Result};

/// A dense run whose tokens and logits are the reference for masks.
pub struct Reference {
    model: Arc<Model>,
    /// The dense cache after the prompt, and the steps after it.
    stretch: Arc<Stretch>,
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
    /// Compute time of the dense step beside each.
    pub dense_step_times: Vec<Duration>,
    /// Time of a step over that of the dense step beside it: median and 95 % interval; `None` for
    /// too few steps.
    pub beside: Option<MedianInterval>,
    /// Bytes stored at the end.
    pub kv_bytes: usize,
    /// Steps that saw a middle: in the others nothing was pruned.
    pub with_middle: usize,
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
        let mut made = Vec::with_capacity(steps);
        let mut step_times = Vec::with_capacity(steps);
        for _ in 0..steps {
            keep_going()?;
            let began = Instant::now();
            let fed = history[history.len() - 1];
            model.decoder.step(&[fed], &mut [&mut cache], &mut buffers, &mut |_, _, _| ())?;
            step_times.push(began.elapsed());
            let next = sampler.sample(&buffers.logits, &history);
            made.push(DenseStep { fed, next, logits: Arc::from(&buffers.logits[..]) });
            history.push(next);
        }
        Ok(Self {
            stretch: Arc::new(Stretch::after(prompt_cache, made).of_text(&history[prompt.len()..])),
            step_times,
            kv_bytes: cache.bytes().total(),
            model,
        })
    }

    /// Time of each dense step.
    pub fn step_times(&self) -> &[Duration] {
        &self.step_times
    }

    /// Steps at the end whose tokens only repeat a loop of the text.
    pub fn repeats(&self) -> usize {
        self.stretch.repeats()
    }

    /// Bytes of the dense cache at the end.
    pub fn kv_bytes(&self) -> usize {
        self.kv_bytes
    }

    /// Measures one mask over the reference's tokens, in turn with dense steps; `keep_going` may cancel between steps.
    pub fn measure(
        &self,
        pruned: &Arc<CacheSpec>,
        keep_going: &dyn Fn() -> Result<()>,
    ) -> Result<SweepMeasured> {
        let mut pair = PairedReplay::new(&self.model, &self.stretch, pruned)?;
        loop {
            keep_going()?;
            if !pair.step(&self.model)? {
                break;
            }
        }
        Ok(SweepMeasured {
            divergence: Divergence::of(&pair.own.steps),
            beside: pair.beside(),
            kv_bytes: pair.own.kv_bytes(),
            with_middle: self.stretch.with_middle(pruned),
            step_times: pair.own.times,
            dense_step_times: pair.dense.times,
        })
    }
}
