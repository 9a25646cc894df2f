//! A decoder checks its inputs, and then its backend runs a whole prompt at once (prefill) or one
//! token of each sequence (a decode step).

pub use crate::model::buffers::StepBuffers;
pub use crate::model::hooks::{LayerView, PrefillHooks, StepObserver, with_quiet_hooks};
pub use crate::model::times::StepTimes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::{SequenceCache, Sight};
use crate::element::Dtype;
use crate::model::backend::{Backend, BackendWeights, Blueprint};
use crate::model::config::Config;
use crate::model::device::{DeviceBackend, DeviceSteps, Footprint, TensorDecoder};
use crate::model::host::HostBackend;
use crate::model::mixture::Mixture;
use crate::model::rope::Rope;
use crate::model::states::PromptStates;
use crate::model::weight_types::WeightTypes;
use crate::model::weights::Weights;
use crate::numbers::count;
use crate::{Error, Result, machine};

/// A decoder ready to run.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    types: WeightTypes,
    step_bytes: u64,
    rope: Rope,
    sight: Arc<Sight>,
    backend: Box<dyn Backend>,
    prefilled: AtomicU64,
}

impl Decoder {
    /// A decoder over weights in this process's memory.
    pub fn new(config: Config, weights: Weights) -> Result<Self> {
        let (types, step_bytes) = (weights.types(), weights.step_bytes());
        Self::over(config, (types, step_bytes), Box::new(HostBackend::new(weights)))
    }

    /// A decoder over a device's tensors. Nothing of them is kept in host memory.
    pub fn on_device(config: Config, tensors: TensorDecoder) -> Result<Self> {
        let Footprint { types, step_bytes } = tensors.weights().footprint().clone();
        let sizes = (types, step_bytes as usize);
        Self::over(config, sizes, Box::new(DeviceBackend::new(tensors)))
    }

    fn over(
        config: Config,
        (types, step_bytes): (WeightTypes, usize),
        backend: Box<dyn Backend>,
    ) -> Result<Self> {
        let (rope, step_bytes) = (Rope::new(&config)?, step_bytes as u64);
        let prefilled = AtomicU64::new(0);
        let sight = config.sight();
        Ok(Self { config, types, step_bytes, rope, sight, backend, prefilled })
    }

    fn blueprint(&self) -> Blueprint<'_> {
        Blueprint { config: &self.config, rope: &self.rope }
    }

    /// The name of what the forward pass runs on.
    pub fn device_name(&self) -> &str {
        self.backend.device_name()
    }

    /// Whether the forward pass and its caches are in this process's own memory.
    pub fn is_on_host(&self) -> bool {
        self.weights().is_some()
    }

    /// What a device made of the decode steps so far: how many repeated a recording, and with which
    /// settings; `None` where they are made in this process.
    pub fn device_steps(&self) -> Option<DeviceSteps> {
        self.backend.device_steps()
    }

    /// A guard for a thread that computes with this decoder while another one decodes.
    pub fn share(&self) -> Option<impl Drop + '_> {
        self.backend.share()
    }

    /// Refuses what there is no memory for where this decoder keeps its caches, with both sizes;
    /// `what` names it.
    pub fn check_memory(&self, what: &str, bytes: u64) -> Result<()> {
        match self.backend.weights() {
            BackendWeights::Host(_) => machine::check_memory(what, bytes),
            BackendWeights::Device(tensors) => tensors.check_memory(what, bytes),
        }
    }

    /// The backend, for other code that computes on the same weights.
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The weights; `None` where they are on a device.
    pub fn weights(&self) -> Option<&Weights> {
        match self.backend.weights() {
            BackendWeights::Host(weights) => Some(weights),
            BackendWeights::Device(_) => None,
        }
    }

    /// The types of the weights in memory, with the bytes of each.
    pub fn weight_types(&self) -> &WeightTypes {
        &self.types
    }

    /// Bytes of the weights that a decode step of one sequence reads. Several sequences may go through
    /// more experts.
    pub fn step_weight_bytes(&self) -> u64 {
        self.step_bytes
    }

    /// The types of the weights, and what decode steps do with quantised ones. Prefill, scoring and
    /// learning widen those.
    pub fn step_weights(&self) -> String {
        match self.types.is_quantised() {
            true => format!("{}, steps in whole numbers", self.types),
            false => self.types.to_string(),
        }
    }

    /// The types of the weights as learning and scoring see them.
    pub fn learning_weights(&self) -> String {
        match self.types.is_quantised() {
            true => format!("{}, widened to f32", self.types),
            false => self.types.to_string(),
        }
    }

    /// The rotary embedding.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Refuses ids that the model has no embedding for, naming the first.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        match tokens.iter().find(|&&token| token as usize >= self.config.vocab) {
            Some(token) => Err(Error::input(format!(
                "token id {token} is outside the model's vocabulary of {}",
                count(self.config.vocab)
            ))),
            None => Ok(()),
        }
    }

    /// Runs a prompt with exact full attention and fills every cache in `caches` (all empty) with
    /// its keys and values.
    ///
    /// The prompt goes through one layer after the other, so full keys exist for one layer at a
    /// time: with pruned caches the process never holds the keys of a dense one.
    pub fn prefill(
        &self,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        hooks: PrefillHooks<'_>,
    ) -> Result<PromptStates> {
        let config = &self.config;
        self.check_tokens(tokens)?;
        if tokens.is_empty() {
            return Err(Error::input("the prompt is empty: at least one token is needed"));
        }
        if tokens.len() > config.max_context {
            return Err(Error::input(format!(
                "a prompt of {} tokens is longer than the model's context of {}",
                count(tokens.len()),
                config.longest()
            )));
        }
        caches.iter_mut().try_for_each(|cache| cache.look_back(&self.sight))?;
        if self.is_on_host() {
            let stored: usize =
                caches.iter().map(|cache| cache.spec().bytes_at(tokens.len()).total()).sum();
            let bytes = stored + prefill_bytes(config, tokens.len(), hooks.chunk);
            let what = format!("the prefill of {} tokens", count(tokens.len()));
            machine::check_memory(&what, bytes as u64)?;
        }
        let states = self.backend.prefill(self.blueprint(), tokens, caches, hooks)?;
        self.prefilled.fetch_add(tokens.len() as u64, Ordering::Relaxed);
        Ok(states)
    }

    /// Makes every token an end token, for tests of ends.
    #[cfg(test)]
    pub(crate) fn end_everywhere(&mut self) {
        self.config.eos = (0..self.config.vocab as u32).collect();
    }

    /// Prompt tokens that [`Self::prefill`] has read since the model was loaded.
    pub fn prefilled(&self) -> u64 {
        self.prefilled.load(Ordering::Relaxed)
    }

    /// The cache with these tokens after its own, and the logits after the last, `[vocab]`. Every
    /// token attends to what the cache stores at its position, and chunks move, exactly as in
    /// [`Self::step`]; only the linear layers take all tokens at once. `cache` stays as it is, and
    /// on the host the two share what both hold. Of the hooks, `observe` is not called.
    ///
    /// # Errors
    /// No token, tokens that are none, more than the context holds or than there is memory for, and
    /// what stops the hooks.
    pub fn extend(
        &self,
        tokens: &[u32],
        cache: &SequenceCache,
        hooks: PrefillHooks<'_>,
    ) -> Result<(SequenceCache, Vec<f32>)> {
        let config = &self.config;
        self.check_tokens(tokens)?;
        if tokens.is_empty() {
            return Err(Error::input("nothing to go on with: at least one token is needed"));
        }
        let (before, all) = (cache.tokens(), cache.tokens() + tokens.len());
        if all > config.max_context {
            return Err(Error::input(format!(
                "{} more tokens after {} are more than the model's context of {}",
                count(tokens.len()),
                count(before),
                config.longest()
            )));
        }
        let what = format!("reading {} more tokens", count(tokens.len()));
        let spec = cache.spec();
        let grown = spec.bytes_at(all).total().saturating_sub(spec.bytes_at(before).total());
        // A device has nothing to share between the two caches.
        let copied = cache.remote().map_or(0, |_| cache.allocated());
        self.check_memory(&what, (grown + copied) as u64)?;
        if self.is_on_host() {
            let bytes = grown + prefill_bytes(config, tokens.len(), hooks.chunk);
            machine::check_memory(&what, bytes as u64)?;
        }
        let mut cache = cache.copied()?;
        cache.look_back(&self.sight)?;
        let mut logits = self.backend.extend(self.blueprint(), tokens, &mut cache, hooks)?;
        config.shape_logits(&mut logits);
        self.check_logits(&logits).map_err(|error| cache.first_not_finite().unwrap_or(error))?;
        Ok((cache, logits))
    }

    /// Stores one layer of a whole sequence in an empty cache, wherever this decoder keeps its
    /// caches: keys (after RoPE) and values, `[tokens, kv_heads, head_dim]`. Layers come in order.
    pub fn fill(
        &self,
        cache: &mut SequenceCache,
        layer: usize,
        k: &[f32],
        v: &[f32],
    ) -> Result<()> {
        cache.look_back(&self.sight)?;
        self.backend.fill(&self.config, cache, layer, [k, v])
    }

    /// Logits of normalised hidden states: `[n, hidden]` to `[n, vocab]`. Refuses logits that are
    /// no finite numbers: nothing that is made of them would be one.
    pub fn logits(&self, hidden: &[f32]) -> Result<Vec<f32>> {
        let mut logits = self.backend.logits(&self.config, hidden)?;
        self.config.shape_logits(&mut logits);
        self.check_logits(&logits)?;
        Ok(logits)
    }

    fn check_logits(&self, logits: &[f32]) -> Result<()> {
        if Dtype::F32.holds(logits) {
            return Ok(());
        }
        let at = logits.iter().position(|logit| !logit.is_finite()).unwrap_or_default();
        Err(Error::input(format!(
            "the logit of token {} is {}, not a finite number: the hidden states of the last layer leave the range of f32, or the \
             model's weights, epsilon or rope are not what they should be",
            at % self.config.vocab,
            logits[at]
        )))
    }

    /// One decode step: appends one token to each sequence and writes the next-token logits to
    /// `buffers`. `observe` sees each layer's rotated queries (`[batch, heads, head_dim]`) right
    /// after its attention. On a device all of them come at the end, and only the time of the whole
    /// step is known.
    pub fn step(
        &self,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        buffers: &mut StepBuffers,
        observe: &mut StepObserver<'_>,
    ) -> Result<()> {
        let config = &self.config;
        self.check_tokens(tokens)?;
        if tokens.len() != caches.len() || buffers.x.len() != tokens.len() * config.hidden {
            return Err(Error::run(format!(
                "a step of {} tokens over {} sequences",
                tokens.len(),
                caches.len()
            )));
        }
        if let Some(full) =
            caches.iter().map(|cache| cache.tokens()).find(|&n| n >= config.max_context)
        {
            return Err(Error::input(format!(
                "the sequence fills the model's context of {} ({} tokens)",
                config.longest(),
                count(full)
            )));
        }
        caches.iter_mut().try_for_each(|cache| cache.look_back(&self.sight))?;
        self.backend.step(self.blueprint(), tokens, caches, buffers, observe)?;
        config.shape_logits(&mut buffers.logits);
        // A value of an earlier token may be to blame.
        self.check_logits(&buffers.logits).map_err(|error| {
            caches.iter().find_map(|cache| cache.first_not_finite()).unwrap_or(error)
        })
    }
}

/// Bytes that a prefill takes on the host besides its caches: states, queries, keys and values of
/// the whole prompt, a piece of it inside the MLP, and a layer's largest widened matrices, all f32.
fn prefill_bytes(config: &Config, tokens: usize, chunk: usize) -> usize {
    let (q, kv) = (config.q_width(), config.kv_width());
    let whole = config.hidden + q + 2 * kv + config.head_dim;
    let mlp = config.widest_mlp();
    let piece = 2 * config.hidden + 3 * mlp + q + 2 * kv;
    let widened = config.hidden * (q + 3 * mlp).max(q + 2 * kv);
    // Of all experts together: their inputs, their scores, what they add, and the rows of one.
    let sorted = |experts: &Mixture| 3 * config.hidden + 2 * experts.count;
    let sorted = config.additions.experts.as_ref().map_or(0, sorted);
    4 * (tokens * (whole + sorted) + chunk.min(tokens) * piece + widened)
}
