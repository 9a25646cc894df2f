//! The backend over tensors.

use std::sync::RwLockReadGuard;

use super::{DeviceSteps, StepInput, TensorDecoder};
use crate::Result;
use crate::cache::SequenceCache;
use crate::model::backend::{Backend, BackendWeights, Blueprint};
use crate::model::buffers::StepBuffers;
use crate::model::config::Config;
use crate::model::hooks::{PrefillHooks, StepObserver};
use crate::model::states::PromptStates;
use crate::model::times::StepClock;

/// Weights and caches on a device.
#[derive(Debug)]
pub(in crate::model) struct DeviceBackend {
    tensors: TensorDecoder,
}

impl DeviceBackend {
    /// A backend over these tensors.
    pub(in crate::model) fn new(tensors: TensorDecoder) -> Self {
        Self { tensors }
    }
}

impl Backend for DeviceBackend {
    fn device_name(&self) -> &str {
        self.tensors.device_name()
    }

    fn weights(&self) -> BackendWeights<'_> {
        BackendWeights::Device(&self.tensors)
    }

    fn device_steps(&self) -> Option<DeviceSteps> {
        self.tensors.device_steps()
    }

    fn share(&self) -> Option<RwLockReadGuard<'_, ()>> {
        Some(self.tensors.share())
    }

    fn prefill(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        hooks: PrefillHooks<'_>,
    ) -> Result<PromptStates> {
        self.tensors.prefill(model, tokens, caches, hooks)
    }

    fn fill(
        &self,
        config: &Config,
        cache: &mut SequenceCache,
        layer: usize,
        kv: [&[f32]; 2],
    ) -> Result<()> {
        self.tensors.fill(config, cache, layer, kv)
    }

    fn logits(&self, config: &Config, hidden: &[f32]) -> Result<Vec<f32>> {
        self.tensors.logits(config, hidden)
    }

    fn step(
        &self,
        Blueprint { config, rope }: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        buffers: &mut StepBuffers,
        observe: &mut StepObserver<'_>,
    ) -> Result<()> {
        let mut clock = StepClock::start();
        let angles = rope.angles_of(caches.iter().map(|cache| cache.tokens()));
        let all = |which: usize| -> Vec<f32> {
            angles.kinds().iter().flat_map(|kind| &kind[which]).copied().collect()
        };
        let (cos, sin) = (all(0), all(1));
        let input = StepInput { tokens, cos: &cos, sin: &sin, kinds: angles.of_layers() };
        self.tensors.step(config, input, caches, &mut buffers.logits, observe)?;
        // Only the time of a device's whole step is known.
        clock.rest();
        buffers.times = clock.times;
        Ok(())
    }
}
