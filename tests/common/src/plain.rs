//! A decode in plain loops and f64 over full keys, where pruning is a multiplication by the mask.
//! No cache, no blocks, no kernel.

use half::f16;
use kscope::mask::{ChannelMask, Window};
use kscope::model::Model;
use kscope::model::activation::Activation;
use kscope::model::decoder::LayerView;
use kscope::model::host::feed::{Experts, FeedForward, Mlp};
use kscope::model::host::matrix::Matrix;

/// An error in the middle that one row sees through one KV head, in numbers of its size.
#[derive(Clone)]
pub struct Probe {
    pub layer: usize,
    pub kv_head: usize,
    /// Position of the row.
    pub row: usize,
    /// Factor of the error.
    pub step: f64,
    /// Errors of keys and of values by position, `[tokens, head_dim]` from the first token on; empty
    /// for none. Those of other tokens than the row's middle are not seen.
    pub keys: Vec<f64>,
    pub values: Vec<f64>,
    /// Moves the output towards that of a dropped head.
    pub dropped: bool,
}

#[derive(Clone)]
pub struct Plain<'a> {
    model: &'a Model,
    window: Window,
    factors: Vec<f64>,
    dropped: Vec<bool>,
    /// Position from which on the middle is pruned.
    pruned_from: usize,
    probe: Option<Probe>,
    /// Per layer, `[tokens, kv_heads, head_dim]`, every channel of every token.
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

impl<'a> Plain<'a> {
    pub fn new(model: &'a Model, window: Window, mask: &ChannelMask) -> Self {
        let factors = mask.bits().iter().map(|&kept| f64::from(u8::from(kept))).collect();
        Self::with_factors(
            model,
            window,
            factors,
            mask.kept_counts().iter().map(|&count| count == 0).collect(),
        )
    }

    /// Real factors on the channels of middle keys, and heads that do not see their middle.
    pub fn with_factors(
        model: &'a Model,
        window: Window,
        factors: Vec<f64>,
        dropped: Vec<bool>,
    ) -> Self {
        let empty = vec![Vec::new(); model.config().layers];
        Self {
            model,
            window,
            factors,
            dropped,
            pruned_from: 0,
            probe: None,
            keys: empty.clone(),
            values: empty,
        }
    }

    /// The same with an error.
    pub fn probed(self, probe: Probe) -> Self {
        Self { probe: Some(probe), ..self }
    }

    /// Rounds all keys and values so far to f16.
    pub fn round_to_f16(&mut self) {
        for x in self.keys.iter_mut().chain(&mut self.values).flatten() {
            *x = f16::from_f64(*x).to_f64();
        }
    }

    /// Keys and values of one head by position, each `[tokens, head_dim]`.
    pub fn stored(&self, layer: usize, kv_head: usize) -> [Vec<f64>; 2] {
        let (d, width) = (self.model.config().head_dim, self.model.config().kv_width());
        [&self.keys, &self.values].map(|all| {
            let rows = all[layer].chunks_exact(width);
            rows.flat_map(|row| &row[kv_head * d..(kv_head + 1) * d]).copied().collect()
        })
    }

    /// Rows before this position see all channels of every key, as those of a prompt do.
    pub fn pruned_from(self, position: usize) -> Self {
        Self { pruned_from: position, ..self }
    }

    /// Logits of a whole text, `[tokens][vocab]`; every row sees all channels of every key.
    pub fn logits(&mut self, tokens: &[u32]) -> Vec<Vec<f64>> {
        tokens.iter().map(|&token| self.step(token)).collect()
    }

    /// Normalised hidden states of a whole text, `[tokens][hidden]`. Rows before `pruned_from` see
    /// all channels of every key.
    pub fn states(mut self, tokens: &[u32], pruned_from: usize) -> Vec<Vec<f64>> {
        self.pruned_from = pruned_from;
        tokens.iter().map(|&token| self.state(token)).collect()
    }

    /// Takes the keys and values of a prompt from its prefill.
    pub fn observe(&mut self, view: &LayerView<'_>) {
        self.keys[view.layer].extend(view.k.iter().map(|&x| f64::from(x)));
        self.values[view.layer].extend(view.v.iter().map(|&x| f64::from(x)));
    }

    /// The logits after one more token.
    pub fn step(&mut self, token: u32) -> Vec<f64> {
        let state = self.state(token);
        let mut logits = product(self.model.decoder.weights().unwrap().head(), &state);
        let additions = &self.model.config().additions;
        for logit in &mut logits {
            *logit /= f64::from(additions.logit_divisor);
            if let Some(cap) = additions.logit_cap.map(f64::from) {
                *logit = cap * (*logit / cap).tanh();
            }
        }
        logits
    }

    /// The normalised hidden state after one more token.
    fn state(&mut self, token: u32) -> Vec<f64> {
        let config = self.model.config();
        let weights = self.model.decoder.weights().unwrap();
        let eps = f64::from(config.rms_eps);
        let additions = &config.additions;
        let mut x = row(&weights.embedding, token as usize);
        x.iter_mut().for_each(|x| *x *= f64::from(additions.embedding_factor));
        let entered = |x: &[f64], norm: &Option<Vec<f32>>| match norm {
            Some(norm) => rms_norm(x, norm, eps),
            None => x.to_vec(),
        };
        let leave = |x: &mut [f64], delta: Vec<f64>, norm: &Option<Vec<f32>>| {
            let delta = entered(&delta, norm);
            let factor = f64::from(additions.residual_factor);
            x.iter_mut().zip(delta).for_each(|(x, delta)| *x += factor * delta);
        };
        for (at, layer) in weights.layers.iter().enumerate() {
            let mut qkv = product(&layer.qkv.weight, &entered(&x, &layer.attention.before));
            add_bias(&mut qkv, layer.qkv.bias.as_deref());
            let v = qkv.split_off(config.q_width() + config.kv_width());
            let k = qkv.split_off(config.q_width());
            let position = self.keys[at].len() / config.kv_width();
            let mut q = self.rotated(qkv, layer.q_norm.as_deref(), (at, position));
            if let Some(factor) = additions.score_factor {
                q.iter_mut().for_each(|q| *q *= factor * (config.head_dim as f64).sqrt());
            }
            let k = self.rotated(k, layer.k_norm.as_deref(), (at, position));
            self.keys[at].extend(k);
            self.values[at].extend(v);
            let mut delta = product(&layer.output.weight, &self.attend(at, &q));
            add_bias(&mut delta, layer.output.bias.as_deref());
            leave(&mut x, delta, &layer.attention.after);
            let entered = entered(&x, &layer.mlp.before);
            let delta = match &layer.feed {
                FeedForward::Whole(own) => mlp(own, config.activation(), &entered),
                FeedForward::Experts(experts) => {
                    let normalised = config.experts(at).unwrap().normalised;
                    mixture(experts, normalised, config.activation(), &entered)
                }
            };
            leave(&mut x, delta, &layer.mlp.after);
        }
        rms_norm(&x, &weights.norm, eps)
    }

    /// Normalises heads where the model does so, then rotates channels `i` and `i + head_dim /
    /// 2` by the angles of the position.
    fn rotated(
        &self,
        x: Vec<f64>,
        norm: Option<&[f32]>,
        (layer, position): (usize, usize),
    ) -> Vec<f64> {
        let config = self.model.config();
        let half = config.head_dim / 2;
        let (mut cos, mut sin) = (vec![0.0; half], vec![0.0; half]);
        self.model.decoder.rope().angles(layer, position, &mut cos, &mut sin);
        let mut out = Vec::with_capacity(x.len());
        let x = match norm {
            Some(norm) => {
                let each = x.chunks(norm.len());
                each.flat_map(|x| rms_norm(x, norm, f64::from(config.rms_eps))).collect()
            }
            None => x,
        };
        for head in x.chunks(config.head_dim) {
            let turned = |a: usize, b: usize, sign: f64, i: usize| {
                head[a] * f64::from(cos[i]) + sign * head[b] * f64::from(sin[i])
            };
            out.extend((0..half).map(|i| turned(i, i + half, -1.0, i)));
            out.extend((0..half).map(|i| turned(i + half, i, 1.0, i)));
        }
        out
    }

    fn attend(&self, layer: usize, q: &[f64]) -> Vec<f64> {
        let config = self.model.config();
        let (d, width) = (config.head_dim, config.kv_width());
        let tokens = self.keys[layer].len() / width;
        let Window { sink, recent, chunk } = self.window;
        let pruned = if tokens > self.pruned_from {
            tokens.saturating_sub(sink + recent) / chunk * chunk
        } else {
            0
        };
        let middle = sink..sink + pruned;
        let kind = config.additions.kind(layer);
        let first = kind.window.map_or(0, |window| tokens.saturating_sub(window));
        let cap = config.additions.score_cap.map(f64::from);
        let whole = vec![1.0; d];
        let mut out = Vec::with_capacity(q.len());
        for (head, q) in q.chunks(d).enumerate() {
            let kv = head / config.group();
            let at = layer * config.kv_heads + kv;
            let (mask, dropped) = (&self.factors[at * d..(at + 1) * d], self.dropped[at]);
            let probe = self
                .probe
                .as_ref()
                .filter(|probe| (probe.layer, probe.kv_head, probe.row + 1) == (layer, kv, tokens));
            // The key or value of a token, with the probe's error where it is in the middle.
            let probed = |all: &[f64], errors: Option<&Vec<f64>>, token: usize| -> Vec<f64> {
                let own = &all[token * width + kv * d..][..d];
                let errors = errors.filter(|errors| !errors.is_empty() && middle.contains(&token));
                let step = probe.map_or(0.0, |probe| probe.step);
                match errors {
                    Some(errors) => {
                        let errors = &errors[token * d..(token + 1) * d];
                        own.iter().zip(errors).map(|(x, error)| x + step * error).collect()
                    }
                    None => own.to_vec(),
                }
            };
            let attend = |dropped: bool| {
                let seen: Vec<usize> =
                    (first..tokens).filter(|token| !(dropped && middle.contains(token))).collect();
                let score = |&token: &usize| {
                    let key = probed(&self.keys[layer], probe.map(|probe| &probe.keys), token);
                    let bits = if middle.contains(&token) { mask } else { &whole };
                    let score =
                        q.iter().zip(key).zip(bits).map(|((q, k), bit)| q * (k * bit)).sum::<f64>()
                            / (d as f64).sqrt();
                    cap.map_or(score, |cap| cap * (score / cap).tanh())
                };
                let scores: Vec<f64> = seen.iter().map(score).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> =
                    scores.iter().map(|score| (score - largest).exp()).collect();
                let total: f64 = weights.iter().sum();
                let mut sum = vec![0.0; d];
                for (token, weight) in seen.iter().zip(weights) {
                    let value =
                        probed(&self.values[layer], probe.map(|probe| &probe.values), *token);
                    sum.iter_mut().zip(value).for_each(|(sum, v)| *sum += weight / total * v);
                }
                sum
            };
            let mut sum = attend(dropped);
            if let Some(probe) = probe.filter(|probe| probe.dropped) {
                let without = attend(true);
                sum.iter_mut().zip(without).for_each(|(x, y)| *x += probe.step * (y - *x));
            }
            out.extend(sum);
        }
        out
    }
}

fn mlp(mlp: &Mlp, activation: Activation, x: &[f64]) -> Vec<f64> {
    let mut gate = product(&mlp.gate_up.weight, x);
    add_bias(&mut gate, mlp.gate_up.bias.as_deref());
    let up = gate.split_off(gate.len() / 2);
    let value = |x: f64| match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
    };
    let gated: Vec<f64> = gate.iter().zip(up).map(|(gate, up)| value(*gate) * up).collect();
    let mut out = product(&mlp.down.weight, &gated);
    add_bias(&mut out, mlp.down.bias.as_deref());
    out
}

/// All experts are computed, and those that were not chosen count for nothing.
fn mixture(experts: &Experts, normalised: bool, activation: Activation, x: &[f64]) -> Vec<f64> {
    let scores = product(&experts.router.weight, x);
    let whole: f64 = scores.iter().map(|score| score.exp()).sum();
    let is_chosen = |expert: usize| {
        scores.iter().filter(|&&score| score > scores[expert]).count() < experts.chosen
    };
    let shares = (0..scores.len())
        .map(|expert| if is_chosen(expert) { scores[expert].exp() / whole } else { 0.0 });
    let shares: Vec<f64> = shares.collect();
    let sum: f64 = if normalised { shares.iter().sum() } else { 1.0 };
    let mut out = vec![0.0; x.len()];
    for (own, share) in experts.each.iter().zip(shares) {
        let added = mlp(own, activation, x);
        out.iter_mut().zip(added).for_each(|(out, added)| *out += share / sum * added);
    }
    out
}

fn row(matrix: &Matrix, at: usize) -> Vec<f64> {
    let mut row = vec![0.0; matrix.cols()];
    matrix.row(at, &mut row);
    row.iter().map(|&x| f64::from(x)).collect()
}

fn product(matrix: &Matrix, x: &[f64]) -> Vec<f64> {
    let mut weights = vec![0.0; matrix.cols()];
    let mut dot = |at| {
        matrix.row(at, &mut weights);
        // Eight partial sums, so that the compiler can use vector instructions.
        let mut sums = [0.0; 8];
        for (weights, x) in weights.chunks(8).zip(x.chunks(8)) {
            for ((sum, weight), x) in sums.iter_mut().zip(weights).zip(x) {
                *sum += f64::from(*weight) * x;
            }
        }
        sums.iter().sum()
    };
    (0..matrix.rows()).map(&mut dot).collect()
}

fn add_bias(y: &mut [f64], bias: Option<&[f32]>) {
    y.iter_mut().zip(bias.unwrap_or_default()).for_each(|(y, &bias)| *y += f64::from(bias));
}

fn rms_norm(x: &[f64], weight: &[f32], eps: f64) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, &weight)| x / (mean + eps).sqrt() * f64::from(weight)).collect()
}
