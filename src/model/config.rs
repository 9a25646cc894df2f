//! The shape of a decoder model, from any kind of file.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::attention::AttentionScale;
use crate::cache::Sight;
use crate::mask::{Geometry, Shape};
use crate::model::activation::Activation;
use crate::model::additions::Additions;
use crate::model::arch::{Architecture, BlockSpec};
use crate::model::mixture::Mixture;
use crate::model::rope_scaling::{self, RopeScaling};
use crate::numbers::count;
use crate::{Error, Result};

/// Everything that the forward pass needs besides the weights.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Config {
    /// The kind of decoder.
    pub architecture: &'static Architecture,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated MLP; that of experts is in [`Additions::experts`].
    pub intermediate: usize,
    /// Query heads per layer.
    pub heads: usize,
    /// KV heads per layer; divides `heads`.
    pub kv_heads: usize,
    /// Channels per head; need not be `hidden / heads`.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Epsilon of every RMS norm.
    pub rms_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are scaled.
    pub rope_scaling: RopeScaling,
    /// Divisors of the frequencies beside the scaling, `head_dim / 2` of them, fast to slow
    /// (`rope_freqs.weight` of a GGUF file).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_divisors: Option<Vec<f32>>,
    /// Factor on cos and sin beside that of the scaling (`rope.scaling.attn_factor` of a GGUF file).
    #[serde(skip_serializing_if = "is_one")]
    pub rope_magnitude: f64,
    /// Most tokens of context, scaling included.
    pub max_context: usize,
    /// The key of the file that sets it, for errors.
    #[serde(skip)]
    pub context_key: &'static str,
    /// Whether the output projection is the embedding.
    pub tied: bool,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// Bias on the attention output.
    pub output_bias: bool,
    /// Biases in the MLP.
    pub mlp_bias: bool,
    /// RMS norm on q and k before rotation.
    pub qk_norm: bool,
    /// What the model has besides Llama's parts.
    #[serde(skip_serializing_if = "Additions::is_nothing")]
    pub additions: Additions,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
    /// Token that begins a text, where the model has one.
    pub bos: Option<u32>,
}

impl Config {
    /// The least and the most decoder layers.
    pub const LAYERS: RangeInclusive<usize> = 1..=1024;
    /// The same of the residual stream's width.
    pub const HIDDEN: RangeInclusive<usize> = 1..=1 << 20;
    /// The same of the gated MLP's width.
    pub const INTERMEDIATE: RangeInclusive<usize> = 1..=1 << 22;
    /// The same of query heads and of KV heads.
    pub const HEADS: RangeInclusive<usize> = 1..=1024;
    /// The same of the embedding's rows.
    pub const VOCAB: RangeInclusive<usize> = 1..=1 << 24;
    /// The same of tokens of context.
    pub const CONTEXT: RangeInclusive<usize> = 1..=rope_scaling::LONGEST;

    /// Axes of a mask for this model.
    pub fn mask_shape(&self) -> Shape {
        Shape { layers: self.layers, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }

    /// The sizes that a mask is bound to; the same for every file format of one model.
    pub fn geometry(&self) -> Geometry {
        Geometry {
            architecture: self.architecture.to_string(),
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            hidden: self.hidden,
            rope_theta: self.rope_theta,
        }
    }

    /// The factor of rotated queries that makes attention, which multiplies scores by `1 /
    /// sqrt(head_dim)`, multiply them by the model's own factor.
    pub fn query_factor(&self) -> f32 {
        match self.additions.score_factor {
            None => 1.0,
            Some(factor) => (factor / AttentionScale::of(self.head_dim).f64()) as f32,
        }
    }

    /// Channels of each head that rotate.
    pub fn rotated(&self) -> usize {
        self.additions.rotated.unwrap_or(self.head_dim)
    }

    /// Makes logits of the products of hidden states with the output projection, in place.
    pub fn shape_logits(&self, logits: &mut [f32]) {
        let Additions { logit_divisor, logit_cap, .. } = self.additions;
        if logit_divisor != 1.0 {
            logits.iter_mut().for_each(|logit| *logit /= logit_divisor);
        }
        if let Some(cap) = logit_cap {
            logits.iter_mut().for_each(|logit| *logit = cap * (*logit / cap).tanh());
        }
    }

    /// The slope of [`Self::shape_logits`] where it gave this logit.
    pub fn logit_slope(&self, logit: f32) -> f32 {
        let Additions { logit_divisor, logit_cap, .. } = self.additions;
        logit_cap.map_or(1.0, |cap| 1.0 - (logit / cap).powi(2)) / logit_divisor
    }

    /// The activation of the MLP's gate.
    pub fn activation(&self) -> Activation {
        self.architecture.activation
    }

    /// Query heads that share one KV head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Width of all query heads together.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all KV heads together.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// How far the layers look back, for the specifications of caches.
    pub fn sight(&self) -> Arc<Sight> {
        Arc::new(self.additions.sight())
    }

    /// The shortest window of a layer.
    pub fn shortest_window(&self) -> Option<usize> {
        self.additions.kinds.iter().filter_map(|kind| kind.window).min()
    }

    /// Makes a model whose layers look back at everything, for what knows no windows: it computes
    /// the same within the shortest window, so that is its context.
    pub fn end_at_windows(&mut self) {
        if let Some(window) = self.shortest_window() {
            if window < self.max_context {
                (self.max_context, self.context_key) = (window, self.architecture.keys.window.hf);
            }
            self.additions.kinds.iter_mut().for_each(|kind| kind.window = None);
        }
    }

    /// Number of weights, biases and norms included; a tied embedding counts once.
    pub fn parameters(&self) -> usize {
        let embeddings = self.vocab * self.hidden * if self.tied { 1 } else { 2 };
        let blocks: usize = self.blocks().map(|block| block.parameters()).sum();
        blocks + embeddings + self.hidden
    }

    /// Those that one token goes through: of experts its share, of the embedding nothing but what the
    /// output projection reads.
    pub fn active_parameters(&self) -> usize {
        let lookup = if self.tied { 0 } else { self.vocab * self.hidden };
        let experts = self.expert_parameters();
        let chosen = (experts as f64 * self.expert_share()).round() as usize;
        self.parameters() - lookup - experts + chosen
    }

    /// The weights of all experts.
    pub fn expert_parameters(&self) -> usize {
        self.blocks().map(|block| block.feed.expert_parameters()).sum()
    }

    /// The share of a layer's experts that a token goes through; 0 where there are none.
    pub fn expert_share(&self) -> f64 {
        let mixture = self.additions.experts.as_ref();
        mixture.map_or(0.0, |mixture| mixture.chosen as f64 / mixture.count as f64)
    }

    /// The blocks, in order of application.
    pub fn blocks(&self) -> impl Iterator<Item = BlockSpec> {
        (0..self.layers).map(|layer| BlockSpec::of_layer(self, layer))
    }

    /// The experts of a layer, where it has them.
    pub fn experts(&self, layer: usize) -> Option<&Mixture> {
        self.additions.experts.as_ref().filter(|mixture| mixture.is_in(layer))
    }

    /// Whether some layer has one MLP, whose width is [`Self::intermediate`].
    pub fn has_whole_mlp(&self) -> bool {
        (0..self.layers).any(|layer| self.experts(layer).is_none())
    }

    /// Width of the widest MLP or expert.
    pub fn widest_mlp(&self) -> usize {
        let whole = if self.has_whole_mlp() { self.intermediate } else { 0 };
        self.additions.experts.as_ref().map_or(0, |mixture| mixture.width).max(whole)
    }

    /// Width of all that a token goes through in the MLPs of a layer.
    pub fn mlp_width(&self, layer: usize) -> usize {
        self.experts(layer).map_or(self.intermediate, |mixture| mixture.chosen * mixture.width)
    }

    /// Whether heads may have so many channels.
    pub fn is_head_dim(channels: usize) -> bool {
        (2..=256).contains(&channels) && channels.is_multiple_of(2)
    }

    /// The longest context and what sets it, for errors: "8 (`sliding_window`)".
    pub fn longest(&self) -> String {
        let (tokens, key, keys) =
            (count(self.max_context), self.context_key, &self.architecture.keys);
        let is_stretched =
            matches!(self.rope_scaling, RopeScaling::Yarn { .. } | RopeScaling::Dynamic { .. });
        match key {
            "" => tokens,
            _ if is_stretched && [keys.context.hf, keys.context.gguf].contains(&key) => {
                format!("{tokens} (`{key}` and the `factor` of the rope scaling)")
            }
            _ => format!("{tokens} (`{key}`)"),
        }
    }

    /// Refuses numbers that no decoder can have, naming the first.
    pub fn check(&self) -> Result<()> {
        let limits = [
            ("layers", self.layers, Self::LAYERS),
            ("hidden size", self.hidden, Self::HIDDEN),
            ("intermediate size", self.intermediate, Self::INTERMEDIATE),
            ("query heads", self.heads, Self::HEADS),
            ("KV heads", self.kv_heads, Self::HEADS),
            ("vocabulary", self.vocab, Self::VOCAB),
            ("context", self.max_context, Self::CONTEXT),
        ];
        for (what, found, range) in limits {
            check_limit(what, found, &range)?;
        }
        if !Self::is_head_dim(self.head_dim) {
            return Err(Error::input(format!(
                "head_dim must be even and at most 256, not {}",
                self.head_dim
            )));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(Error::input(format!(
                "{} query heads cannot share {} KV heads evenly",
                self.heads, self.kv_heads
            )));
        }
        if !(self.rms_eps > 0.0 && self.rms_eps < 1.0) {
            return Err(Error::input(format!(
                "the epsilon of the RMS norms must be above 0 and below 1, not {:?}",
                self.rms_eps
            )));
        }
        self.additions.check(self.head_dim)?;
        if let Some(mixture) = &self.additions.experts {
            mixture.check(self.layers, &Self::INTERMEDIATE)?;
        }
        self.check_rope()
    }

    /// Refuses rotations that no decoder can have.
    pub(super) fn check_rope(&self) -> Result<()> {
        rope_scaling::positive("rope theta", self.rope_theta)?;
        if self.rope_theta == 1.0 && matches!(self.rope_scaling, RopeScaling::Yarn { .. }) {
            return Err(Error::input("rope theta must be other than 1 with yarn"));
        }
        rope_scaling::positive("attn_factor", self.rope_magnitude)?;
        if let Some(divisors) = &self.rope_divisors {
            let divisors = divisors.iter().map(|&divisor| f64::from(divisor));
            rope_scaling::check_divisors("rope_freqs.weight", divisors, self.rotated())?;
        }
        self.rope_scaling.check(self.rotated())
    }
}

/// Whether there is no factor; serde hands over a reference.
fn is_one(value: &f64) -> bool {
    *value == 1.0
}
/// Refuses a number of a model that is out of its range, by name.
pub(super) fn check_limit(what: &str, found: usize, range: &RangeInclusive<usize>) -> Result<()> {
    if range.contains(&found) {
        return Ok(());
    }
    Err(Error::input(format!(
        "the model's {what} must be {} to {}, not {found}",
        range.start(),
        range.end()
    )))
}
