//! The description that an architecture's file fills in.

use std::fmt;

use super::{ARCHITECTURES, Keys, KnownGeometry, Spelling, TensorNames};
use crate::attention::AttentionScale;
use crate::model::activation::Activation;
use crate::{Error, Result};

/// One decoder architecture.
#[derive(Clone, Copy)]
pub struct Architecture {
    /// The name in reports and in the fingerprints of masks. Architectures of the same name compare
    /// equal.
    pub name: &'static str,
    /// `model_type` of a `config.json` and `general.architecture` of a GGUF file. The latter is
    /// also the prefix of the file's keys.
    pub spelling: Spelling,
    /// The keys of the sizes.
    pub keys: Keys,
    /// The names of the tensors.
    pub tensors: TensorNames,
    /// Whether a GGUF file has the q and k rows of a head in pairs (0, d/2, 1, d/2 + 1, ...) rather
    /// than in the order of the checkpoint.
    pub gguf_pairs_rows: bool,
    /// What holds where a `config.json` does not give a size.
    pub defaults: Defaults,
    /// Which linear layers have biases.
    pub biases: Biases,
    /// RMS norm on each head's q and k before rotation.
    pub qk_norm: bool,
    /// The activation of the MLP's gate.
    pub activation: Activation,
    /// The names that a `config.json` may give to that activation.
    pub activation_names: &'static [&'static str],
    /// The factor of attention scores for heads of so many channels. Decode attention knows
    /// `1 / sqrt(head_dim)` alone, so a model with another one is refused by
    /// [`Config::check`](crate::model::config::Config::check).
    pub attention_scale: fn(usize) -> AttentionScale,
    /// How a window in the configuration is meant; without a rule it means nothing.
    pub window: Option<WindowRule>,
    /// Published shapes, for `--random-weights`.
    pub geometries: &'static [KnownGeometry],
}

/// The sizes that transformers assumes where a `config.json` does not give them.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Rows of the embedding.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated MLP.
    pub intermediate: usize,
    /// Query heads per layer.
    pub heads: usize,
    /// KV heads per layer; as many as query heads where there is none.
    pub kv_heads: Option<usize>,
    /// Channels per head; `hidden / heads` where there is none.
    pub head_dim: Option<usize>,
    /// Tokens of the context.
    pub context: usize,
    /// The token that ends a text.
    pub eos: Option<u32>,
}

/// Which linear layers of a block have biases, as a `config.json` says it. A GGUF file says it by
/// the tensors that it holds.
#[derive(Debug, Clone, Copy)]
pub struct Biases {
    /// On q, k and v.
    pub qkv: BiasRule,
    /// On the attention output.
    pub output: BiasRule,
    /// In the MLP.
    pub mlp: BiasRule,
}

/// When a linear layer has a bias.
#[derive(Debug, Clone, Copy)]
pub enum BiasRule {
    /// Never, whatever the configuration says.
    Never,
    /// Whatever the configuration says.
    Always,
    /// As the configuration says.
    Stated {
        /// The key of the flag.
        key: &'static str,
        /// The value where the flag is not given.
        unsaid: bool,
    },
}

impl BiasRule {
    /// Whether there is a bias, for a configuration whose flags `flag` reads.
    pub fn holds(self, flag: impl FnOnce(&str) -> Result<Option<bool>>) -> Result<bool> {
        match self {
            Self::Never => Ok(false),
            Self::Always => Ok(true),
            Self::Stated { key, unsaid } => Ok(flag(key)?.unwrap_or(unsaid)),
        }
    }

    /// Whether there is a bias where the configuration does not say.
    pub fn unsaid(self) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Stated { unsaid, .. } => unsaid,
        }
    }
}

/// How the attention window of a `config.json` is meant.
#[derive(Debug, Clone, Copy)]
pub struct WindowRule {
    /// Whether there is a window only with `use_sliding_window`.
    pub flag: bool,
    /// Whether layers before `max_window_layers`, or those that `layer_types` calls full, have none.
    pub from_layer: bool,
    /// The window of a configuration that does not mention one.
    pub unsaid: Option<usize>,
}

impl Architecture {
    /// The architecture of a `config.json` with this `model_type`; an unknown one is refused by
    /// name.
    pub fn of_model_type(name: &str) -> Result<&'static Self> {
        Self::find(name, |spelling| spelling.hf)
    }

    /// The architecture of a GGUF file with this `general.architecture`; an unknown one is refused
    /// by name.
    pub fn of_gguf(name: &str) -> Result<&'static Self> {
        Self::find(name, |spelling| spelling.gguf)
    }

    fn find(name: &str, spelled: fn(&Spelling) -> &'static str) -> Result<&'static Self> {
        ARCHITECTURES.iter().copied().find(|known| spelled(&known.spelling) == name).ok_or_else(
            || {
                let known: Vec<&str> =
                    ARCHITECTURES.iter().map(|known| spelled(&known.spelling)).collect();
                Error::input(format!(
                    "architecture `{name}` is not supported (known: {})",
                    known.join(", ")
                ))
            },
        )
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling.hf)
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl serde::Serialize for Architecture {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}
