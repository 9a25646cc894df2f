//! Shapes of published models, for measuring speed and memory where the weights are not available.

use super::{ARCHITECTURES, Architecture};
use crate::model::additions::Additions;
use crate::model::config::Config;
use crate::model::mixture::Mixture;
use crate::model::rope_scaling::RopeScaling;

/// A published model's shape, from its configuration.
#[derive(Debug, Clone, Copy)]
pub struct KnownGeometry {
    /// Its name, in every command that takes one.
    pub name: &'static str,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated MLP.
    pub intermediate: usize,
    /// Query heads per layer.
    pub heads: usize,
    /// KV heads per layer.
    pub kv_heads: usize,
    /// Channels per head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Tokens of the context.
    pub context: usize,
    /// Base of the rotary frequencies.
    pub theta: f64,
    /// The factor of Llama 3.1's scaling of the rotary frequencies.
    pub llama3_factor: Option<f64>,
    /// Whether the output projection is the embedding.
    pub tied: bool,
    /// Tokens that layers with a window see, where its architecture has such layers and the
    /// published model uses them.
    pub window: Option<usize>,
    /// Experts of each layer, those that a token goes through, and their width.
    pub experts: Option<[usize; 3]>,
}

impl KnownGeometry {
    /// A shape with an output projection of its own and no scaling of the rotary frequencies, from
    /// layers, width of the residual stream and of the MLP; query heads, KV heads and channels;
    /// vocabulary, context and rotation base.
    pub(super) const fn sized(
        name: &'static str,
        [layers, hidden, intermediate]: [usize; 3],
        [heads, kv_heads, head_dim]: [usize; 3],
        [vocab, context]: [usize; 2],
        theta: f64,
    ) -> Self {
        Self {
            name,
            layers,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            vocab,
            context,
            theta,
            llama3_factor: None,
            tied: false,
            window: None,
            experts: None,
        }
    }

    /// The same with a mixture of experts in every layer, whose weights add up to 1: so many, of
    /// which a token goes through so many, of this width.
    pub(super) const fn with_experts(self, experts: [usize; 3]) -> Self {
        Self { experts: Some(experts), ..self }
    }

    /// The same with the embedding as output projection.
    pub(super) const fn with_tied_head(self) -> Self {
        Self { tied: true, ..self }
    }

    /// The same with a window in the layers that have one.
    pub(super) const fn with_window(self, tokens: usize) -> Self {
        Self { window: Some(tokens), ..self }
    }

    /// The same with Llama 3.1's scaling of the rotary frequencies.
    pub(super) const fn with_llama3(self, factor: f64) -> Self {
        Self { llama3_factor: Some(factor), ..self }
    }

    fn config(&self, architecture: &'static Architecture) -> Config {
        Config {
            architecture,
            layers: self.layers,
            hidden: self.hidden,
            intermediate: self.intermediate,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            vocab: self.vocab,
            rms_eps: 1e-5,
            rope_theta: self.theta,
            rope_scaling: self.llama3_factor.map_or(RopeScaling::None, |factor| {
                RopeScaling::Llama3 {
                    factor,
                    low_freq_factor: 1.0,
                    high_freq_factor: 4.0,
                    original: 8192,
                }
            }),
            rope_divisors: None,
            rope_magnitude: 1.0,
            max_context: self.context,
            context_key: "",
            tied: self.tied,
            qkv_bias: architecture.biases.qkv.unsaid(),
            output_bias: architecture.biases.output.unsaid(),
            mlp_bias: architecture.biases.mlp.unsaid(),
            qk_norm: architecture.qk_norm(),
            additions: Additions {
                experts: self.experts.map(|[count, chosen, width]| Mixture {
                    count,
                    chosen,
                    width,
                    normalised: true,
                    dense_layers: Vec::new(),
                }),
                ..architecture.usual_additions(
                    self.layers,
                    self.hidden,
                    self.window.zip(architecture.window.map(|rule| rule.layers)),
                )
            },
            eos: Vec::new(),
            bos: None,
        }
    }
}

fn known() -> impl Iterator<Item = (&'static Architecture, &'static KnownGeometry)> {
    ARCHITECTURES
        .iter()
        .flat_map(|&known| known.geometries.iter().map(move |geometry| (known, geometry)))
}

/// Names of all published shapes that kscope can run; [`served_names`](super::served_names) has
/// those that it can plan with.
pub fn known_names() -> Vec<&'static str> {
    known().map(|(_, geometry)| geometry.name).collect()
}

/// The full configuration of a published shape. Publishers write their names with capitals, so
/// those do not matter.
pub fn known_config(name: &str) -> Option<Config> {
    known()
        .find(|(_, geometry)| geometry.name.eq_ignore_ascii_case(name))
        .map(|(architecture, geometry)| geometry.config(architecture))
}
