//! A decoder over tensors: a whole prompt at once, or a decode step.

use std::cell::OnceCell;
use std::fmt;
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use candle_core::{Device, Tensor};

use super::attend::{Attend, rows};
use super::parts::{Passage, PromptRows, prompt_bytes, prompt_kernels, whole_prompt_bytes};
use super::prefill::attend_causal;
use super::step::{DeviceSteps, KeptSteps, Over, StepInput};
use super::weights::TensorWeights;
use super::{Placement, failed};
use crate::Result;
use crate::attention::AttentionScale;
use crate::cache::SequenceCache;
use crate::model::backend::Blueprint;
use crate::model::config::Config;
use crate::model::hooks::{LayerView, PrefillHooks, StepObserver};
use crate::model::observed::ObservedRows;
use crate::model::states::PromptStates;
use crate::numbers::count;

/// Fewest tokens of a prompt that go through the linear layers at once: a GPU needs many rows.
const CHUNK: usize = 2048;

/// Shows an observer a layer's queries, keys and values, which are computed for it if it looks at
/// them.
fn observe_projected(of: Passage<'_>, x: &Tensor, observe: &mut dyn FnMut(LayerView<'_>)) {
    let projected = OnceCell::new();
    let one_of = |which: usize| -> candle_core::Result<Tensor> {
        let all: &[Tensor; 3] = match projected.get() {
            Some(all) => all,
            None => {
                let all = of.layer.project_prompt(of.config, x, of.turns, of.chunk)?;
                projected.get_or_init(|| all)
            }
        };
        Ok(all[which].clone())
    };
    let (q, k, v) = (|| one_of(0), || one_of(1), || one_of(2));
    observe(LayerView {
        layer: of.at,
        q: ObservedRows::made(&q),
        k: ObservedRows::made(&k),
        v: ObservedRows::made(&v),
    });
}

/// A decoder's weights on a device, and its attention.
pub struct TensorDecoder {
    weights: TensorWeights,
    device: Device,
    name: String,
    attend: Mutex<Attend>,
    steps: Mutex<KeptSteps>,
    /// Locked for reading while another thread computes, and for writing while a step is recorded.
    shared: RwLock<()>,
}

impl fmt::Debug for TensorDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorDecoder").field("device", &self.name).finish_non_exhaustive()
    }
}

impl TensorDecoder {
    /// A decoder from its parts.
    pub fn new(weights: TensorWeights, placement: Placement) -> Self {
        let Placement { device, name, attend } = placement;
        Self {
            weights,
            device,
            name,
            attend: Mutex::new(attend),
            steps: Mutex::default(),
            shared: RwLock::default(),
        }
    }

    /// The device's name.
    pub fn device_name(&self) -> &str {
        &self.name
    }

    /// Refuses what the device has no memory for, with both sizes; `what` names it.
    pub(crate) fn check_memory(&self, what: &str, bytes: u64) -> Result<()> {
        self.attend().check_memory(what, bytes)
    }

    fn attend(&self) -> MutexGuard<'_, Attend> {
        self.attend.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What became of the steps so far; `None` where attention is computed in this process.
    pub(super) fn device_steps(&self) -> Option<DeviceSteps> {
        let (settings, memory_bytes) = self.attend().device()?;
        let steps = self.steps.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Some(DeviceSteps { settings, memory_bytes, ..steps.counts().clone() })
    }

    /// Until the result is dropped, another thread than the decoding one may compute here, too. No
    /// step is recorded meanwhile: everything submitted to the device during a recording would
    /// become a part of it.
    pub(super) fn share(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The device of the weights.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The weights.
    pub(crate) fn weights(&self) -> &TensorWeights {
        &self.weights
    }

    /// The residual stream before the first layer, f32 `[tokens, hidden]`.
    pub(crate) fn embedded(&self, config: &Config, tokens: &[u32]) -> candle_core::Result<Tensor> {
        self.weights.embedded(config, tokens)
    }

    /// [`Decoder::prefill`](crate::model::decoder::Decoder::prefill) after its checks.
    pub(super) fn prefill(
        &self,
        Blueprint { config, rope }: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        mut hooks: PrefillHooks<'_>,
    ) -> Result<PromptStates> {
        let n = tokens.len();
        let attend = self.attend();
        attend.begin_prompt(caches, (config.heads, config.max_context), n)?;
        let chunk = hooks.chunk.max(CHUNK);
        let kernels = prompt_kernels(&attend, self.weights.narrow(), config, caches);
        let bytes = match kernels {
            Some(_) => prompt_bytes(config, n, chunk),
            None => whole_prompt_bytes(config, n, chunk),
        };
        attend.check_memory(&format!("the prefill of {} tokens", count(n)), bytes)?;
        let mut x = self.embedded(config, tokens).map_err(failed)?;
        let angles = rope.prompt_angles(n);
        let there = |values: &Vec<f32>| {
            Tensor::from_slice(values, (n, config.head_dim / 2), &self.device).map_err(failed)
        };
        let kinds = angles.kinds().iter().map(|[cos, sin]| Ok([there(cos)?, there(sin)?]));
        let kinds = kinds.collect::<Result<Vec<[Tensor; 2]>>>()?;
        let rows = kernels.map(|kernels| PromptRows::new(kernels, n, &self.device)).transpose()?;
        for (at, layer) in self.weights.layers.iter().enumerate() {
            (hooks.progress)(at as f32 / config.layers as f32)?;
            let turns = &kinds[angles.of_layers()[at]];
            let of = Passage { config, layer, at, turns, chunk };
            match (&rows, &*attend) {
                (Some(rows), Attend::Device(device)) => {
                    observe_projected(of, &x, hooks.observe);
                    let mut each_part = |share: f32| {
                        (hooks.keep_going)()?;
                        (hooks.progress)((at as f32 + share) / config.layers as f32)
                    };
                    rows.pass(&**device, of, &x, caches, &mut each_part)?;
                }
                _ => x = self.pass_whole(&attend, of, &x, caches, &mut hooks)?,
            }
        }
        (hooks.progress)(1.0)?;
        PromptStates::on_device(x, self.weights.norm.clone(), config.rms_eps)
    }

    /// A whole prompt through one layer, with attention in f32 by candle's products: the residual
    /// stream after it.
    fn pass_whole(
        &self,
        attend: &Attend,
        Passage { config, layer, at, turns, chunk }: Passage<'_>,
        x: &Tensor,
        caches: &mut [&mut SequenceCache],
        hooks: &mut PrefillHooks<'_>,
    ) -> Result<Tensor> {
        let n = x.dim(0).map_err(failed)?;
        let [q, k, v] = layer.project_prompt(config, x, turns, chunk).map_err(failed)?;
        attend.fill(caches, at, &k, &v)?;
        (hooks.observe)(LayerView {
            layer: at,
            q: ObservedRows::on_device(&q),
            k: ObservedRows::on_device(&k),
            v: ObservedRows::on_device(&v),
        });
        let heads =
            |x: &Tensor, heads: usize| x.reshape((n, heads, config.head_dim)).map_err(failed);
        let (q, k, v) =
            (heads(&q, config.heads)?, heads(&k, config.kv_heads)?, heads(&v, config.kv_heads)?);
        let (scale, narrow) =
            (AttentionScale::of(config.head_dim), self.weights.narrow().is_some());
        let attended = attend_causal([&q, &k, &v], scale, narrow, &mut || (hooks.keep_going)())?;
        layer.finish(config, x, &attended, chunk).map_err(failed)
    }

    /// [`Decoder::fill`](crate::model::decoder::Decoder::fill).
    pub(super) fn fill(
        &self,
        config: &Config,
        cache: &mut SequenceCache,
        layer: usize,
        kv: [&[f32]; 2],
    ) -> Result<()> {
        let tokens = kv[0].len() / config.kv_width();
        let attend = self.attend();
        if layer == 0 {
            attend.begin_prompt(&mut [&mut *cache], (config.heads, config.max_context), tokens)?;
        }
        let [k, v] = kv.map(|rows| {
            Tensor::from_slice(rows, (tokens, config.kv_width()), &self.device).map_err(failed)
        });
        attend.fill(&mut [cache], layer, &k?, &v?)
    }

    /// Logits of normalised hidden states on the host: `[n, hidden]` to `[n, vocab]`.
    pub(super) fn logits(&self, config: &Config, hidden: &[f32]) -> Result<Vec<f32>> {
        let shape = (hidden.len() / config.hidden, config.hidden);
        let logits = Tensor::from_slice(hidden, shape, &self.device)
            .and_then(|states| self.weights.head.apply(&states));
        rows(&logits.map_err(failed)?)
    }

    /// [`Decoder::step`](crate::model::decoder::Decoder::step) after its checks: writes the
    /// next-token logits. Only then does `observe` see the queries, so that nothing waits for the
    /// device earlier; those that it does not look at are not read.
    pub(super) fn step(
        &self,
        config: &Config,
        input: StepInput<'_>,
        caches: &mut [&mut SequenceCache],
        logits: &mut [f32],
        observe: &mut StepObserver<'_>,
    ) -> Result<()> {
        let mut steps = self.steps.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let over =
            Over { config, weights: &self.weights, device: &self.device, shared: &self.shared };
        let queries = steps.step(over, &mut self.attend(), input, caches, logits)?;
        for layer in 0..config.layers {
            let queries = queries.narrow(0, layer, 1).map_err(failed)?;
            observe(layer, &ObservedRows::on_device(&queries), caches);
        }
        Ok(())
    }
}
