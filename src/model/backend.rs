//! The engines that a decoder runs on.

use std::fmt;
use std::sync::RwLockReadGuard;

use crate::Result;
use crate::cache::SequenceCache;
use crate::model::buffers::StepBuffers;
use crate::model::config::Config;
use crate::model::device::{DeviceSteps, TensorDecoder};
use crate::model::hooks::{PrefillHooks, StepObserver};
use crate::model::rope::Rope;
use crate::model::states::PromptStates;
use crate::model::weights::Weights;

/// The parts of a model that every backend needs.
#[derive(Clone, Copy)]
pub(crate) struct Blueprint<'a> {
    pub config: &'a Config,
    pub rope: &'a Rope,
}

/// The weights that a backend runs over. Learning uses the same weights, so this also decides which
/// engine learns.
pub(crate) enum BackendWeights<'a> {
    /// In this process's memory.
    Host(&'a Weights),
    /// On a device.
    Device(&'a TensorDecoder),
}

/// Weights on the host or on a device, and the forward pass there. A
/// [`Decoder`](crate::model::decoder::Decoder) checks its inputs before it calls its backend.
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// The name of what the forward pass runs on.
    fn device_name(&self) -> &str;

    /// The weights.
    fn weights(&self) -> BackendWeights<'_>;

    /// What became of the decode steps so far; `None` where they are not made on a device.
    fn device_steps(&self) -> Option<DeviceSteps> {
        None
    }

    /// A guard for a thread that computes here while another one decodes; `None` where none is
    /// needed.
    fn share(&self) -> Option<RwLockReadGuard<'_, ()>>;

    /// Runs a prompt and fills every cache in `caches` (all empty).
    fn prefill(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        hooks: PrefillHooks<'_>,
    ) -> Result<PromptStates>;

    /// Appends tokens to a cache that holds some, each as a decode step would, and gives the logits
    /// after the last, `[vocab]`. After an error the cache is not to be used. Without an
    /// implementation of its own a backend makes the steps one by one.
    fn extend(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        cache: &mut SequenceCache,
        hooks: PrefillHooks<'_>,
    ) -> Result<Vec<f32>> {
        let mut buffers = StepBuffers::new(model.config, 1);
        for (done, token) in tokens.iter().enumerate() {
            (hooks.keep_going)()?;
            (hooks.progress)(done as f32 / tokens.len() as f32)?;
            let observe: &mut StepObserver<'_> = &mut |_, _, _| ();
            self.step(model, &[*token], &mut [&mut *cache], &mut buffers, observe)?;
        }
        (hooks.progress)(1.0)?;
        Ok(buffers.logits)
    }

    /// Stores one layer of a whole sequence in an empty cache: keys (after RoPE) and values,
    /// `[tokens, kv_heads, head_dim]`. Layers come in order.
    fn fill(
        &self,
        config: &Config,
        cache: &mut SequenceCache,
        layer: usize,
        kv: [&[f32]; 2],
    ) -> Result<()>;

    /// Logits of normalised hidden states: `[n, hidden]` to `[n, vocab]`.
    fn logits(&self, config: &Config, hidden: &[f32]) -> Result<Vec<f32>>;

    /// Appends one token to each sequence and writes the next-token logits, and the time it took,
    /// to `buffers`.
    fn step(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        buffers: &mut StepBuffers,
        observe: &mut StepObserver<'_>,
    ) -> Result<()>;
}
