//! The forward pass on the CPU: a whole prompt at once (prefill), or one token of each sequence (a
//! decode step).

use std::time::{Duration, Instant};

use crate::attention::{Attention, DecodeItem};
use crate::cache::SequenceCache;
use crate::element::Dtype;
use crate::model::config::Config;
use crate::model::matrix::Wide;
use crate::model::ops;
use crate::model::prefill_attention::attend_causal;
use crate::model::rope::{Rope, rotate};
use crate::model::rows::Rows;
use crate::model::tensor::{StepInput, TensorDecoder};
use crate::model::weights::{Layer, Linear, Weights};
use crate::{Error, Result};

/// A decoder ready to run.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    /// On a device's decoder the embedding alone: the device has the others.
    weights: Weights,
    dtype: Dtype,
    rope: Rope,
    /// Where the forward pass runs if not over the host's weights.
    tensors: Option<TensorDecoder>,
}

/// Where the weights are that a decoder runs over.
pub(crate) enum Place<'a> {
    /// In this process.
    Host(&'a Weights),
    /// On a device.
    Device(&'a TensorDecoder),
}

/// Post-RoPE queries and keys and the values of one layer over a whole prompt, as prefill hands
/// them to an observer.
pub struct LayerView<'a> {
    /// Layer index.
    pub layer: usize,
    /// `[tokens, heads, head_dim]`.
    pub q: Rows<'a>,
    /// `[tokens, kv_heads, head_dim]`.
    pub k: Rows<'a>,
    /// `[tokens, kv_heads, head_dim]`.
    pub v: Rows<'a>,
}

/// Called by a decode step after each layer's attention, with the layer, its rotated queries
/// `[batch, heads, head_dim]` and the caches.
pub type StepObserver<'a> = dyn FnMut(usize, &[f32], &[&mut SequenceCache]) + 'a;

/// What a prefill calls while it runs.
pub struct PrefillHooks<'a> {
    /// Tokens worked on at once in the linear layers.
    pub chunk: usize,
    /// Gets the share done, 0 to 1; an error cancels.
    pub progress: &'a mut dyn FnMut(f32) -> Result<()>,
    /// Asked often, from any thread; an error cancels.
    pub keep_going: &'a (dyn Fn() -> Result<()> + Sync),
    /// Sees every layer's queries, keys and values.
    pub observe: &'a mut dyn FnMut(LayerView<'_>),
}

impl PrefillHooks<'_> {
    /// Tokens worked on at once where nothing else is asked for: enough rows for the blocked
    /// product, small activations.
    pub const CHUNK: usize = 512;
}

/// Runs `f` with hooks that watch nothing and never cancel.
pub fn with_quiet_hooks<T>(f: impl FnOnce(PrefillHooks<'_>) -> T) -> T {
    f(PrefillHooks {
        chunk: PrefillHooks::CHUNK,
        progress: &mut |_| Ok(()),
        keep_going: &|| Ok(()),
        observe: &mut |_| (),
    })
}

/// Where the time of decode steps went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Attention over the cache.
    pub attention: Duration,
    /// Linear layers of attention and MLP.
    pub projections: Duration,
    /// The output projection.
    pub logits: Duration,
    /// Norms, rotation, appending to the cache.
    pub rest: Duration,
}

impl StepTimes {
    /// The whole step.
    pub fn total(&self) -> Duration {
        self.attention + self.projections + self.logits + self.rest
    }
}

impl std::ops::AddAssign for StepTimes {
    fn add_assign(&mut self, other: Self) {
        self.attention += other.attention;
        self.projections += other.projections;
        self.logits += other.logits;
        self.rest += other.rest;
    }
}

/// Buffers of decode steps, allocated once for a batch size.
#[derive(Debug)]
pub struct StepBuffers {
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    q: Vec<f32>,
    attended: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
    delta: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
    attention: Attention,
    /// Logits of the last step, `[batch, vocab]`.
    pub logits: Vec<f32>,
    /// Time of the last step.
    pub times: StepTimes,
}

impl StepBuffers {
    /// Buffers for `batch` sequences of this model.
    pub fn new(config: &Config, batch: usize) -> Self {
        let rows = |width: usize| vec![0.0; batch * width];
        Self {
            x: rows(config.hidden),
            normed: rows(config.hidden),
            qkv: rows(config.q_width() + 2 * config.kv_width()),
            q: rows(config.q_width()),
            attended: rows(config.q_width()),
            gate_up: rows(2 * config.intermediate),
            gated: rows(config.intermediate),
            delta: rows(config.hidden),
            cos: vec![0.0; config.head_dim / 2],
            sin: vec![0.0; config.head_dim / 2],
            attention: Attention::new(),
            logits: rows(config.vocab),
            times: StepTimes::default(),
        }
    }

    /// Logits of one sequence.
    pub fn logits_of(&self, sequence: usize, vocab: usize) -> &[f32] {
        &self.logits[sequence * vocab..(sequence + 1) * vocab]
    }
}

impl Decoder {
    /// A decoder from its parts.
    pub fn new(config: Config, weights: Weights) -> Result<Self> {
        let rope = Rope::new(&config)?;
        let dtype = weights
            .layers
            .first()
            .map_or(weights.embedding.dtype(), |layer| layer.qkv.weight.dtype());
        Ok(Self { config, weights, dtype, rope, tensors: None })
    }

    /// The same model with its forward pass on a device, and that of learning. Of the host's
    /// weights the embedding stays, whose rows are what a step is given.
    pub fn on(self, tensors: TensorDecoder) -> Result<Self> {
        Ok(Self { weights: self.weights.embedding_alone()?, tensors: Some(tensors), ..self })
    }

    /// What the forward pass runs on.
    pub fn device_name(&self) -> &str {
        self.tensors.as_ref().map_or("cpu", TensorDecoder::device_name)
    }

    /// Whether the forward pass and its caches are in this process's own memory.
    pub fn is_on_host(&self) -> bool {
        self.tensors.is_none()
    }

    /// To be held by a thread that computes with this decoder beside the one that decodes.
    pub fn share(&self) -> Option<impl Drop + '_> {
        self.tensors.as_ref().map(TensorDecoder::share)
    }

    /// Where the forward pass runs, and the weights there.
    pub(crate) fn place(&self) -> Place<'_> {
        self.tensors.as_ref().map_or(Place::Host(&self.weights), Place::Device)
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
        match &self.tensors {
            Some(tensors) => tensors.fill(&self.config, cache, layer, [k, v]),
            None => {
                cache.append(layer, k, v);
                Ok(())
            }
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The weights; `None` where they are on a device.
    pub fn weights(&self) -> Option<&Weights> {
        self.is_on_host().then_some(&self.weights)
    }

    /// Element type of the weights, as they were read.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The rotation.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Refuses ids that the model has no embedding for, naming the first.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        match tokens.iter().find(|&&token| token as usize >= self.config.vocab) {
            Some(token) => Err(Error::input(format!(
                "token id {token} is outside the model's vocabulary of {}",
                self.config.vocab
            ))),
            None => Ok(()),
        }
    }

    /// Runs a prompt with exact full attention and fills every cache in `caches` (all empty) with
    /// its keys and values. Returns the normalised hidden states, `[tokens, hidden]`.
    ///
    /// The prompt goes through one layer after the other, so full keys exist for one layer at a
    /// time: with pruned caches the process really is as small as they are.
    pub fn prefill(
        &self,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        hooks: PrefillHooks<'_>,
    ) -> Result<Vec<f32>> {
        let config = &self.config;
        self.check_tokens(tokens)?;
        if tokens.is_empty() {
            return Err(Error::input("the prompt is empty: at least one token is needed"));
        }
        if tokens.len() > config.max_context {
            return Err(Error::input(format!(
                "a prompt of {} tokens is longer than the model's context of {}",
                tokens.len(),
                config.max_context
            )));
        }
        if let Some(tensors) = &self.tensors {
            return tensors.prefill((config, &self.rope), tokens, caches, hooks);
        }
        let n = tokens.len();
        let mut x = vec![0.0; n * config.hidden];
        for (row, &token) in x.chunks_exact_mut(config.hidden).zip(tokens) {
            self.weights.embedding.row(token as usize, row);
        }
        let angles = self.rope.angles_of(0..n);
        for (at, layer) in self.weights.layers.iter().enumerate() {
            let started = at as f32 / config.layers as f32;
            let mut part = |share: f32| (hooks.progress)(started + share / config.layers as f32);
            let (mut q, k, v) = self.project_prompt(layer, &x, &angles, hooks.chunk, &mut part)?;
            for cache in caches.iter_mut() {
                cache.append(at, &k, &v);
            }
            (hooks.observe)(LayerView {
                layer: at,
                q: Rows::here(&q),
                k: Rows::here(&k),
                v: Rows::here(&v),
            });
            attend_causal(config, &mut q, &k, &v, hooks.keep_going)?;
            self.finish_prompt_layer(layer, &mut x, &q, hooks.chunk, &mut part)?;
        }
        ops::rms_norm_in_place(&mut x, &self.weights.norm, config.rms_eps);
        (hooks.progress)(1.0)?;
        Ok(x)
    }

    /// Rotated q and k, and v, of a whole prompt in one layer.
    fn project_prompt(
        &self,
        layer: &Layer,
        x: &[f32],
        (cos, sin): &(Vec<f32>, Vec<f32>),
        chunk: usize,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<(Vec<f32>, Vec<f32>, Vec<f32>)> {
        let config = &self.config;
        let (n, half) = (x.len() / config.hidden, config.head_dim / 2);
        let (q_width, kv_width) = (config.q_width(), config.kv_width());
        let mut q = Vec::with_capacity(n * q_width);
        let mut k = Vec::with_capacity(n * kv_width);
        let mut v = Vec::with_capacity(n * kv_width);
        let qkv = layer.qkv.weight.wide()?;
        let mut normed = vec![0.0; chunk.min(n) * config.hidden];
        for (piece, x) in x.chunks(chunk * config.hidden).enumerate() {
            progress(0.3 * (piece * chunk) as f32 / n as f32)?;
            let normed = &mut normed[..x.len()];
            ops::rms_norm(x, &layer.attention_norm, config.rms_eps, normed);
            let projected = apply_wide(&qkv, &layer.qkv, normed)?;
            for (i, row) in projected.chunks_exact(q_width + 2 * kv_width).enumerate() {
                let at = (piece * chunk + i) * half;
                let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
                let (start_q, start_k) = (q.len(), k.len());
                q.extend_from_slice(&row[..q_width]);
                k.extend_from_slice(&row[q_width..q_width + kv_width]);
                v.extend_from_slice(&row[q_width + kv_width..]);
                self.position(layer, &mut q[start_q..], &mut k[start_k..], cos, sin);
            }
        }
        Ok((q, k, v))
    }

    /// Normalises (Qwen3) and rotates the q and k heads of one token.
    fn position(&self, layer: &Layer, q: &mut [f32], k: &mut [f32], cos: &[f32], sin: &[f32]) {
        for (x, norm) in [(&mut *q, &layer.q_norm), (&mut *k, &layer.k_norm)] {
            if let Some(norm) = norm {
                ops::rms_norm_in_place(x, norm, self.config.rms_eps);
            }
        }
        rotate(q, cos, sin);
        rotate(k, cos, sin);
    }

    /// Output projection, residuals and MLP of a whole prompt in one layer.
    fn finish_prompt_layer(
        &self,
        layer: &Layer,
        x: &mut [f32],
        attended: &[f32],
        chunk: usize,
        progress: &mut dyn FnMut(f32) -> Result<()>,
    ) -> Result<()> {
        let config = &self.config;
        let n = x.len() / config.hidden;
        let (output, gate_up, down) =
            (layer.output.weight.wide()?, layer.gate_up.weight.wide()?, layer.down.weight.wide()?);
        let mut normed = vec![0.0; chunk.min(n) * config.hidden];
        let mut gated = vec![0.0; chunk.min(n) * config.intermediate];
        let pieces =
            x.chunks_mut(chunk * config.hidden).zip(attended.chunks(chunk * config.q_width()));
        for (piece, (x, attended)) in pieces.enumerate() {
            progress(0.4 + 0.6 * (piece * chunk) as f32 / n as f32)?;
            ops::add(x, &apply_wide(&output, &layer.output, attended)?);
            let rows = x.len() / config.hidden;
            let (normed, gated) =
                (&mut normed[..x.len()], &mut gated[..rows * config.intermediate]);
            ops::rms_norm(x, &layer.mlp_norm, config.rms_eps, normed);
            ops::swiglu(&apply_wide(&gate_up, &layer.gate_up, normed)?, config.intermediate, gated);
            ops::add(x, &apply_wide(&down, &layer.down, gated)?);
        }
        Ok(())
    }

    /// Logits of normalised hidden states: `[n, hidden]` to `[n, vocab]`. Only a device can fail.
    pub fn logits(&self, hidden: &[f32]) -> Result<Vec<f32>> {
        if let Some(tensors) = &self.tensors {
            return tensors.logits(&self.config, hidden);
        }
        let mut logits = vec![0.0; hidden.len() / self.config.hidden * self.config.vocab];
        self.weights.head().apply(hidden, &mut logits);
        Ok(logits)
    }

    /// One decode step: appends one token to each sequence and leaves the next-token logits in
    /// `buffers`. `observe` sees each layer's rotated queries (`[batch, heads, head_dim]`) right
    /// after its attention; those of a device come all at the end, and only the whole time of a
    /// device's step is known.
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
                "the sequence fills the model's context of {} ({full} tokens)",
                config.max_context
            )));
        }
        let mut clock = Clock::start();
        for (row, &token) in buffers.x.chunks_exact_mut(config.hidden).zip(tokens) {
            self.weights.embedding.row(token as usize, row);
        }
        if let Some(tensors) = &self.tensors {
            let (cos, sin) = self.rope.angles_of(caches.iter().map(|cache| cache.tokens()));
            let input = StepInput { x: &buffers.x, cos: &cos, sin: &sin };
            tensors.step(config, input, caches, &mut buffers.logits, observe)?;
            clock.rest();
            buffers.times = clock.times;
            return Ok(());
        }
        for (at, layer) in self.weights.layers.iter().enumerate() {
            ops::rms_norm(&buffers.x, &layer.attention_norm, config.rms_eps, &mut buffers.normed);
            clock.rest();
            apply(&layer.qkv, &buffers.normed, &mut buffers.qkv);
            clock.projections();
            self.append_token(layer, at, caches, buffers);
            clock.rest();
            self.attend(at, caches, buffers);
            clock.attention();
            observe(at, &buffers.q, caches);
            clock.rest();
            apply(&layer.output, &buffers.attended, &mut buffers.delta);
            clock.projections();
            ops::add(&mut buffers.x, &buffers.delta);
            ops::rms_norm(&buffers.x, &layer.mlp_norm, config.rms_eps, &mut buffers.normed);
            clock.rest();
            apply(&layer.gate_up, &buffers.normed, &mut buffers.gate_up);
            ops::swiglu(&buffers.gate_up, config.intermediate, &mut buffers.gated);
            apply(&layer.down, &buffers.gated, &mut buffers.delta);
            clock.projections();
            ops::add(&mut buffers.x, &buffers.delta);
        }
        ops::rms_norm_in_place(&mut buffers.x, &self.weights.norm, config.rms_eps);
        clock.rest();
        self.weights.head().apply(&buffers.x, &mut buffers.logits);
        clock.logits();
        buffers.times = clock.times;
        Ok(())
    }

    /// Rotates the new token of each sequence and appends its key and value, so that chunks move
    /// before attention.
    fn append_token(
        &self,
        layer: &Layer,
        at: usize,
        caches: &mut [&mut SequenceCache],
        buffers: &mut StepBuffers,
    ) {
        let (q_width, kv_width) = (self.config.q_width(), self.config.kv_width());
        let rows = buffers
            .qkv
            .chunks_exact_mut(q_width + 2 * kv_width)
            .zip(buffers.q.chunks_exact_mut(q_width));
        for ((row, q), cache) in rows.zip(caches) {
            self.rope.angles(cache.len(at), &mut buffers.cos, &mut buffers.sin);
            let (own_q, kv) = row.split_at_mut(q_width);
            let (k, v) = kv.split_at_mut(kv_width);
            self.position(layer, own_q, k, &buffers.cos, &buffers.sin);
            q.copy_from_slice(own_q);
            cache.append(at, k, v);
        }
    }

    fn attend(&self, at: usize, caches: &[&mut SequenceCache], buffers: &mut StepBuffers) {
        let q_width = self.config.q_width();
        let mut items: Vec<DecodeItem<'_>> = caches
            .iter()
            .zip(buffers.q.chunks_exact(q_width))
            .zip(buffers.attended.chunks_exact_mut(q_width))
            .map(|((cache, q), out)| DecodeItem { cache, q, out })
            .collect();
        buffers.attention.decode(at, &mut items);
    }
}

fn apply(linear: &Linear, x: &[f32], y: &mut [f32]) {
    linear.weight.apply(x, y);
    if let Some(bias) = &linear.bias {
        ops::add_bias(y, bias);
    }
}

fn apply_wide(wide: &Wide, linear: &Linear, x: &[f32]) -> Result<Vec<f32>> {
    let mut y = wide.apply(x)?;
    if let Some(bias) = &linear.bias {
        ops::add_bias(&mut y, bias);
    }
    Ok(y)
}

/// Splits the time of a step between its parts.
struct Clock {
    last: Instant,
    times: StepTimes,
}

impl Clock {
    fn start() -> Self {
        Self { last: Instant::now(), times: StepTimes::default() }
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.last;
        self.last = now;
        lap
    }

    fn attention(&mut self) {
        let lap = self.lap();
        self.times.attention += lap;
    }

    fn projections(&mut self) {
        let lap = self.lap();
        self.times.projections += lap;
    }

    fn logits(&mut self) {
        let lap = self.lap();
        self.times.logits += lap;
    }

    fn rest(&mut self) {
        let lap = self.lap();
        self.times.rest += lap;
    }
}
