//! The backend on the CPU.

use std::sync::RwLockReadGuard;

use crate::Result;
use crate::cache::SequenceCache;
use crate::model::backend::{Backend, BackendWeights, Blueprint};
use crate::model::buffers::StepBuffers;
use crate::model::config::Config;
use crate::model::hooks::{PrefillHooks, StepObserver};
use crate::model::states::PromptStates;
use crate::model::weights::Weights;

/// Weights and caches in this process's memory.
#[derive(Debug)]
pub(in crate::model) struct HostBackend {
    pub(super) weights: Weights,
}

impl HostBackend {
    /// A backend over these weights.
    pub(in crate::model) fn new(weights: Weights) -> Self {
        Self { weights }
    }
}

impl Backend for HostBackend {
    fn device_name(&self) -> &str {
        "cpu"
    }

    fn weights(&self) -> BackendWeights<'_> {
        BackendWeights::Host(&self.weights)
    }

    fn share(&self) -> Option<RwLockReadGuard<'_, ()>> {
        None
    }

    fn prefill(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        hooks: PrefillHooks<'_>,
    ) -> Result<PromptStates> {
        let states = self.run_prompt(model, tokens, caches, hooks)?;
        Ok(PromptStates::here(states, model.config.hidden))
    }

    fn extend(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        cache: &mut SequenceCache,
        hooks: PrefillHooks<'_>,
    ) -> Result<Vec<f32>> {
        self.run_extension(model, tokens, cache, hooks)
    }

    fn fill(
        &self,
        _config: &Config,
        cache: &mut SequenceCache,
        layer: usize,
        [k, v]: [&[f32]; 2],
    ) -> Result<()> {
        cache.check_fits(layer, cache.len(layer), k, v)?;
        cache.append(layer, k, v);
        Ok(())
    }

    fn logits(&self, config: &Config, hidden: &[f32]) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; hidden.len() / config.hidden * config.vocab];
        self.weights.head().apply_exact(hidden, &mut logits);
        Ok(logits)
    }

    fn step(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        buffers: &mut StepBuffers,
        observe: &mut StepObserver<'_>,
    ) -> Result<()> {
        if rayon::current_num_threads() == 1 {
            return self.run_step(model, tokens, caches, buffers, observe);
        }
        // Inside the pool its threads stay awake from one product to the next. A thread from outside
        // would wake them, and sleep itself, some two hundred times a step.
        rayon::scope(|_| self.run_step(model, tokens, caches, buffers, observe))
    }
}
