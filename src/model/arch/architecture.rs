//! The description that an architecture's file fills in.

use std::fmt;

use super::{ARCHITECTURES, ExpertRule, Keys, KnownGeometry, Spelling, TensorNames};
use crate::model::activation::Activation;
use crate::model::additions::{Additions, LayerKind, Rotation};
use crate::{Error, Result};

/// Every how manyth layer does not rotate where some do not and nothing says which (SmolLM3 in
/// transformers and in llama.cpp).
pub(in crate::model) const NO_ROPE_INTERVAL: usize = 4;

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
    /// Where a block has RMS norms.
    pub norms: Norms,
    /// The activation of the MLP's gate.
    pub activation: Activation,
    /// The key of that activation in a `config.json`.
    pub activation_key: &'static str,
    /// The names that a `config.json` may give to it.
    pub activation_names: &'static [&'static str],
    /// The keys of its factors; none where it has no such factors.
    pub factors: Option<FactorKeys>,
    /// Whether some layers do not rotate: every fourth, or those that `no_rope_layers` has at 0.
    pub skips_rope: bool,
    /// Whether a part of each head may stay unrotated (`partial_rotary_factor`), and a GGUF file may
    /// have the divisors of LongRoPE.
    pub partial_rotation: bool,
    /// What Gemma has and others have not; see [`Gemma`].
    pub gemma: Option<Gemma>,
    /// Keys of a GGUF file that llama.cpp reads for this architecture and kscope does not; refused
    /// where they are not 0.
    pub gguf_unread: &'static [&'static str],
    /// How a window in the configuration is meant; without a rule it means nothing.
    pub window: Option<WindowRule>,
    /// The keys of its experts; none where every layer has one MLP.
    pub experts: Option<ExpertRule>,
    /// Published shapes, for `--random-weights`.
    pub geometries: &'static [KnownGeometry],
}

/// Where a block has RMS norms.
#[derive(Debug, Clone, Copy)]
pub struct Norms {
    /// Before attention and before the MLP.
    pub before: bool,
    /// On what attention and the MLP add to the residual stream.
    pub after: bool,
    /// On q and k, before they rotate.
    pub heads: HeadNorms,
}

/// What the norms of q and k cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadNorms {
    /// There are none.
    Absent,
    /// Each head by itself; all heads share a weight.
    Each,
    /// All heads of a token together.
    Together,
}

/// The keys of factors of the forward pass, all 1 where they are not given.
#[derive(Debug, Clone, Copy)]
pub struct FactorKeys {
    /// Of embedded tokens.
    pub embedding: Spelling,
    /// Of what attention and the MLP add to the residual stream.
    pub residual: Spelling,
    /// Of attention scores.
    pub scores: Spelling,
    /// What the logits are divided by.
    pub logits: Spelling,
}

impl FactorKeys {
    /// All of them in a `config.json`.
    pub fn hf(&self) -> [&'static str; 4] {
        [self.embedding, self.residual, self.scores, self.logits].map(|key| key.hf)
    }

    /// All of them in a GGUF file, without the architecture's prefix.
    pub fn gguf(&self) -> [&'static str; 4] {
        [self.embedding, self.residual, self.scores, self.logits].map(|key| key.gguf)
    }
}

/// What the Gemma family has: embedded tokens times `sqrt(hidden)`, norms whose weights a checkpoint
/// stores less 1, scores times `1 / sqrt(query_pre_attn_scalar)`, and soft caps.
#[derive(Debug, Clone, Copy)]
pub struct Gemma {
    /// `query_pre_attn_scalar` of a configuration that does not mention it.
    pub score_scalar: f64,
    /// Soft cap of attention scores of a configuration that does not mention it.
    pub score_cap: Option<f64>,
    /// The same of the logits.
    pub logit_cap: Option<f64>,
    /// Whether caps are in its GGUF files.
    pub caps_in_gguf: bool,
    /// Layers of the model whose GGUF file means scores times `1 / sqrt(hidden / heads)`; the others
    /// have `1 / sqrt(head_dim)` (llama.cpp knows the 27B model by its layers).
    pub wide_layers: usize,
    /// Base of the rotary frequencies of layers with a window, where they have their own.
    pub local_theta: Option<f64>,
}

impl Gemma {
    /// The key of what attention scores are divided by the root of.
    pub const SCALAR: &'static str = "query_pre_attn_scalar";
    /// The key of the soft cap of attention scores, in a `config.json` and in a GGUF file.
    pub const SCORE_CAP: &'static str = "attn_logit_softcapping";
    /// The key of the soft cap of the logits.
    pub const LOGIT_CAP: &'static str = "final_logit_softcapping";
    /// The key of the base of the rotary frequencies of layers with a window.
    pub const LOCAL_THETA: &'static str = "rope_local_base_freq";
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
    /// Tokens of the context of pretraining, for rope scaling; `context` where there is none.
    pub original: Option<usize>,
    /// Base of the rotary frequencies.
    pub theta: f64,
    /// Epsilon of the RMS norms.
    pub rms_eps: f64,
    /// Whether the output projection is the embedding.
    pub tied: bool,
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
    /// Which layers have it.
    pub layers: WindowLayers,
    /// Whether `layer_types` says which layers have it, where it is given.
    pub kinds: bool,
    /// The window of a configuration that does not mention one.
    pub unsaid: Option<usize>,
    /// Whether it holds in layers of a GGUF file. Where llama.cpp does not apply it, the context ends
    /// at the window: within it there is no difference.
    pub in_gguf: bool,
}

impl WindowRule {
    /// One window for all layers, where a configuration gives one; llama.cpp does not apply it.
    pub(super) const EVERYWHERE: Self =
        Self { flag: false, layers: WindowLayers::All, kinds: false, unsaid: None, in_gguf: false };
}

/// Which layers have a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowLayers {
    /// All.
    All,
    /// Those from `max_window_layers` on.
    Last,
    /// Those that do not rotate.
    Unrotated,
    /// All but every so manyth; a `config.json` may say another number under this key.
    AllButEvery(usize, &'static str),
}

impl WindowLayers {
    /// Whether a layer that rotates so has a window; `from` is the first of the last ones.
    pub fn include(self, layer: usize, rotation: Rotation, from: usize) -> bool {
        match self {
            Self::All => true,
            Self::Last => layer >= from,
            Self::Unrotated => rotation == Rotation::None,
            Self::AllButEvery(every, _) => !(layer + 1).is_multiple_of(every),
        }
    }
}

impl Architecture {
    /// What models of this many layers have besides Llama's parts where their files do not say
    /// more; `window` is a window's tokens and which layers have it.
    pub fn usual_additions(
        &self,
        layers: usize,
        hidden: usize,
        window: Option<(usize, WindowLayers)>,
    ) -> Additions {
        let mut additions =
            Additions { kinds: self.kinds(layers, NO_ROPE_INTERVAL), ..Additions::default() };
        if let Some((tokens, which)) = window {
            let kinds = &mut additions.kinds;
            kinds.resize(layers, LayerKind::default());
            for (layer, kind) in kinds.iter_mut().enumerate() {
                // Where a file does not say from which layer on, no layer has one.
                let has_window = which.include(layer, kind.rotation, usize::MAX);
                kind.window = has_window.then_some(tokens);
            }
        }
        if let Some(gemma) = &self.gemma {
            additions.embedding_factor = (hidden as f64).sqrt() as f32;
            additions.local_theta = gemma.local_theta;
            additions.turn_locally();
        }
        additions
    }

    /// The kinds of layers, of which every `interval`th does not rotate if that is so in this
    /// architecture.
    pub fn kinds(&self, layers: usize, interval: usize) -> Vec<LayerKind> {
        let rotation = |layer: usize| match (layer + 1).is_multiple_of(interval) {
            true => Rotation::None,
            false => Rotation::Usual,
        };
        let kind = |layer| LayerKind { rotation: rotation(layer), ..LayerKind::default() };
        (0..layers).filter(|_| self.skips_rope).map(kind).collect()
    }

    /// Whether q and k have RMS norms.
    pub fn qk_norm(&self) -> bool {
        self.norms.heads != HeadNorms::Absent
    }

    /// The architecture of a `config.json` with this `model_type`; an unknown one is refused by
    /// name.
    pub fn of_model_type(name: &str) -> Result<&'static Self> {
        Self::find(name, |spelling| spelling.hf, |_| true)
    }

    /// The architecture of a GGUF file with this `general.architecture`, where models with and
    /// without experts may share a name; an unknown one is refused by name.
    pub fn of_gguf(name: &str, has_experts: bool) -> Result<&'static Self> {
        Self::find(name, |spelling| spelling.gguf, |known| known.experts.is_some() == has_experts)
    }

    /// Why kscope does not run models of a name that people meet.
    fn reason(name: &str) -> Option<&'static str> {
        const EXPERTS: [&str; 4] = ["gpt_oss", "gpt-oss", "olmoe", "dbrx"];
        let holds = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if name.contains("moe") || EXPERTS.contains(&name) {
            return Some("of mixtures of experts, kscope runs Mixtral and Qwen3-MoE");
        }
        if holds(&["deepseek_v", "deepseek2", "kimi"]) {
            return Some("its cache holds latent vectors, not keys of each head");
        }
        match name {
            "gemma3" | "mllama" | "qwen2_vl" | "qwen2_5_vl" | "qwen3_vl" => Some(
                "a model that sees pictures, of which kscope runs no part: take a model of text alone",
            ),
            _ => None,
        }
    }

    /// The architecture that is spelled so; among several, that which is meant.
    fn find(
        name: &str,
        spelled: fn(&Spelling) -> &'static str,
        is_meant: impl Fn(&Self) -> bool,
    ) -> Result<&'static Self> {
        let called =
            || ARCHITECTURES.iter().copied().filter(|known| spelled(&known.spelling) == name);
        called().find(|known| is_meant(known)).or_else(|| called().next()).ok_or_else(|| {
            let mut known: Vec<&str> = Vec::new();
            for name in ARCHITECTURES.iter().map(|known| spelled(&known.spelling)) {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
            let why = Self::reason(name).map(|why| format!(": {why}")).unwrap_or_default();
            Error::input(format!(
                "architecture `{name}` is not supported{why} (known: {})",
                known.join(", ")
            ))
        })
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
