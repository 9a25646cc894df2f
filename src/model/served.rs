//! A model as a server holds it: what each layer caches per token, how large the weights are, and
//! how much of them a decode step reads. Sizes alone; nothing is loaded or run.

use crate::mask::{Geometry, Shape};
use crate::model::arch;
use crate::model::config::Config;
use crate::{Error, Result};

/// What one layer caches of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KvLayer {
    /// A key and a value per KV head.
    Heads {
        /// KV heads.
        kv_heads: usize,
        /// Channels of a key, and of a value.
        head_dim: usize,
        /// The last tokens that the layer looks back at; all of them where there is none.
        window: Option<usize>,
    },
    /// One vector for all heads that stands for keys and values (multi-head latent attention).
    Latent {
        /// Its numbers: the latent and the rotated part of the key.
        width: usize,
    },
}

/// Sizes of latent attention, as DeepSeek's configurations name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatentSizes {
    /// `kv_lora_rank`
    pub kv_rank: usize,
    /// `qk_rope_head_dim`
    pub rope: usize,
    /// `q_lora_rank`
    pub q_rank: Option<usize>,
    /// `qk_nope_head_dim`
    pub nope: usize,
    /// `v_head_dim`
    pub v: usize,
}

/// A mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertSizes {
    /// Experts of a layer that a token may be sent to.
    pub count: usize,
    /// Those that it is sent to.
    pub chosen: usize,
    /// Experts that every token goes through.
    pub shared: usize,
    /// Width of an expert.
    pub width: usize,
    /// First layers that have one MLP instead.
    pub dense_layers: usize,
}

/// The sizes of which a [`ServedModel`] is made.
#[derive(Debug, Clone)]
pub(crate) struct ServedSizes {
    pub layers: Vec<KvLayer>,
    pub hidden: usize,
    pub heads: usize,
    /// Width of the MLP in layers without experts.
    pub mlp: usize,
    pub vocab: usize,
    pub max_context: usize,
    pub rope_theta: f64,
    pub tied: bool,
    pub latent: Option<LatentSizes>,
    pub experts: Option<ExpertSizes>,
    /// Bits of a weight of attention and dense MLPs.
    pub attention_bits: f64,
    /// Bits of a weight of an expert.
    pub expert_bits: f64,
}

/// How large the weights are, and what a step reads of them.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ServedWeights {
    /// Number of weights.
    pub parameters: u64,
    /// Those that one token goes through.
    pub active_parameters: u64,
    /// Bytes in memory.
    pub bytes: f64,
    /// Bytes that every decode step reads, whatever the batch: all but the embedding's rows and the
    /// experts.
    pub read_always: f64,
    /// Bytes of all experts of all layers.
    pub expert_bytes: f64,
    /// Share of a layer's experts that one token goes through; 0 without experts.
    pub expert_share: f64,
    /// Where the bytes come from.
    pub origin: String,
}

impl ServedWeights {
    /// Bytes of weights that a decode step of `batch` sequences reads. Each token picks its experts
    /// on its own, so larger batches read more of them: `1 - (1 - share)^batch` of all.
    pub fn read_in_step(&self, batch: usize) -> f64 {
        let picked = 1.0 - (1.0 - self.expert_share).powf(batch as f64);
        self.read_always + self.expert_bytes * picked
    }

    /// The same weights in this many bytes.
    pub fn in_bytes(self, bytes: f64, origin: impl Into<String>) -> Self {
        let scale = bytes / self.bytes;
        Self {
            bytes,
            read_always: self.read_always * scale,
            expert_bytes: self.expert_bytes * scale,
            origin: origin.into(),
            ..self
        }
    }
}

/// A model for planning.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ServedModel {
    /// Its name.
    pub name: String,
    /// The kind of decoder.
    pub architecture: String,
    /// Where the sizes come from.
    pub origin: String,
    /// What each layer caches.
    #[serde(skip)]
    pub layers: Vec<KvLayer>,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Most numbers of a token between two layers' MLPs: activations scale with it.
    pub widest: usize,
    /// Rows of the output projection.
    pub vocab: usize,
    /// Most tokens of context.
    pub max_context: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// The weights.
    pub weights: ServedWeights,
    /// What a user should know, one sentence each.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl ServedModel {
    /// The published shape of this name, whether kscope runs it or not.
    pub fn known(name: &str) -> Option<Self> {
        let run = arch::known_config(name);
        let lower = name.to_ascii_lowercase();
        run.map(|config| Self::of_config(&lower, &config, "the published configuration"))
            .or_else(|| arch::planned(name).map(arch::PlannedGeometry::served))
    }

    /// A model that kscope runs, with weights of 16 bits.
    pub fn of_config(name: &str, config: &Config, origin: &str) -> Self {
        let (kv_heads, head_dim) = (config.kv_heads, config.head_dim);
        let layer = |layer| {
            let window = config.additions.kind(layer).window;
            KvLayer::Heads { kv_heads, head_dim, window }
        };
        let parameters = config.parameters() as u64;
        let lookup = if config.tied { 0 } else { config.vocab * config.hidden } as u64;
        let (routed, share) = (config.expert_parameters() as u64, config.expert_share());
        let always = parameters - lookup - routed;
        Self {
            name: name.to_owned(),
            architecture: config.architecture.to_string(),
            origin: origin.to_owned(),
            layers: (0..config.layers).map(layer).collect(),
            hidden: config.hidden,
            heads: config.heads,
            widest: (0..config.layers).map(|layer| config.mlp_width(layer)).max().unwrap_or(0),
            vocab: config.vocab,
            max_context: config.max_context,
            rope_theta: config.rope_theta,
            weights: ServedWeights {
                parameters,
                active_parameters: config.active_parameters() as u64,
                bytes: 2.0 * parameters as f64,
                read_always: 2.0 * always as f64,
                expert_bytes: 2.0 * routed as f64,
                expert_share: share,
                origin: "16 bits a weight".to_owned(),
            },
            warnings: Vec::new(),
        }
    }

    /// The axes of a mask for this model.
    ///
    /// # Errors
    /// Where it has no keys per head, or layers that differ in their heads.
    pub fn mask_shape(&self) -> Result<Shape> {
        let refused = |what: &str| {
            Err(Error::input(format!(
                "{} ({}) takes no mask of K channels: {what}",
                self.name, self.architecture
            )))
        };
        let mut heads = self.layers.iter().map(|layer| match *layer {
            KvLayer::Heads { kv_heads, head_dim, .. } => Some((kv_heads, head_dim)),
            KvLayer::Latent { .. } => None,
        });
        let Some(Some((kv_heads, head_dim))) = heads.next() else {
            return refused(
                "its cache holds one latent vector a token (multi-head latent attention), not keys per head",
            );
        };
        if heads.any(|other| other != Some((kv_heads, head_dim))) {
            return refused("its layers differ in KV heads or channels");
        }
        Ok(Shape { layers: self.layers.len(), kv_heads, head_dim })
    }

    /// The sizes that a mask is bound to.
    ///
    /// # Errors
    /// As [`Self::mask_shape`].
    pub fn geometry(&self) -> Result<Geometry> {
        let shape = self.mask_shape()?;
        Ok(Geometry {
            architecture: self.architecture.clone(),
            layers: shape.layers,
            heads: self.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            hidden: self.hidden,
            rope_theta: self.rope_theta,
        })
    }

    /// Whether some layers look back at a window alone.
    pub fn has_windows(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer, KvLayer::Heads { window: Some(_), .. }))
    }

    /// The layers in words: "12 layers of 8 KV heads × 64, 12 layers of 8 × 64 over the last 128
    /// tokens".
    pub fn layers_text(&self) -> String {
        let mut kinds: Vec<(KvLayer, usize)> = Vec::new();
        for &layer in &self.layers {
            match kinds.iter_mut().find(|(kind, _)| *kind == layer) {
                Some((_, count)) => *count += 1,
                None => kinds.push((layer, 1)),
            }
        }
        // Those that look back at everything first: they are what grows.
        kinds.sort_by_key(|(kind, _)| matches!(kind, KvLayer::Heads { window: Some(_), .. }));
        let layers = |&count: &usize| match count {
            1 => "1 layer".to_owned(),
            count => format!("{count} layers"),
        };
        let words = kinds.iter().map(|(kind, count)| match *kind {
            KvLayer::Heads { kv_heads, head_dim, window: None } => {
                format!("{} of {kv_heads} KV heads × {head_dim}", layers(count))
            }
            KvLayer::Heads { kv_heads, head_dim, window: Some(tokens) } => {
                let tokens = crate::numbers::count(tokens);
                format!(
                    "{} of {kv_heads} × {head_dim} over the last {tokens} tokens",
                    layers(count)
                )
            }
            KvLayer::Latent { width } => {
                format!("{} of one latent of {width} numbers", layers(count))
            }
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

impl ServedSizes {
    /// Whether there would be more weights than any model has, which also keeps the exact counts
    /// inside their integers.
    pub(crate) fn is_absurd(&self) -> bool {
        const MOST: f64 = 1e15;
        let hidden = self.hidden as f64;
        let attention = self.layers.iter().map(|layer| match *layer {
            KvLayer::Heads { kv_heads, head_dim, .. } => {
                2.0 * hidden * head_dim as f64 * (self.heads + kv_heads) as f64
            }
            KvLayer::Latent { width } => {
                let latent = self.latent.map_or(0.0, |latent| {
                    let widths = (latent.nope + latent.rope + latent.v) as f64;
                    let ranks = hidden + latent.kv_rank as f64 + latent.q_rank.unwrap_or(0) as f64;
                    self.heads as f64 * widths * ranks
                });
                hidden * width as f64 + latent
            }
        });
        let experts = self.experts.map_or(0.0, |experts| {
            (experts.count + experts.shared) as f64 * 3.0 * hidden * experts.width as f64
        });
        let mlp = 3.0 * hidden * self.mlp as f64;
        let blocks = attention.sum::<f64>() + self.layers.len() as f64 * (experts + mlp);
        blocks + 2.0 * hidden * self.vocab as f64 > MOST
    }

    /// The model of these sizes.
    pub(crate) fn model(self, name: &str, architecture: &str, origin: &str) -> ServedModel {
        let (layers, hidden) = (self.layers.len(), self.hidden);
        let attention: usize = self.layers.iter().map(|layer| self.attention(layer)).sum();
        let gated = |width: usize| 3 * hidden * width;
        let dense_layers = self.experts.map_or(layers, |experts| experts.dense_layers.min(layers));
        let sparse_layers = layers - dense_layers;
        let (shared, routed, share, expert_width) = match self.experts {
            None => (0, 0, 0.0, 0),
            Some(experts) => (
                sparse_layers * (experts.shared * gated(experts.width) + hidden * experts.count),
                sparse_layers * experts.count * gated(experts.width),
                experts.chosen as f64 / experts.count as f64,
                (experts.chosen + experts.shared) * experts.width,
            ),
        };
        let norms = (2 * layers + 1) * hidden;
        let blocks = attention + dense_layers * gated(self.mlp) + shared;
        let (head, lookup) = (self.vocab * hidden, if self.tied { 0 } else { self.vocab * hidden });
        let ends = head + lookup + norms;
        let bytes = |count: usize, bits: f64| count as f64 * bits / 8.0;
        let always = bytes(blocks, self.attention_bits) + bytes(head + norms, 16.0);
        let expert_bytes = bytes(routed, self.expert_bits);
        let origin_of_bytes = match (self.attention_bits, self.expert_bits) {
            (16.0, 16.0) => "16 bits a weight".to_owned(),
            (one, other) if one == other => {
                format!("{one} bits a weight as published, embeddings 16")
            }
            (_, experts) => format!("{experts} bits a weight of experts as published, others 16"),
        };
        ServedModel {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            origin: origin.to_owned(),
            hidden,
            heads: self.heads,
            widest: if dense_layers > 0 { self.mlp.max(expert_width) } else { expert_width },
            vocab: self.vocab,
            max_context: self.max_context,
            rope_theta: self.rope_theta,
            weights: ServedWeights {
                parameters: (blocks + routed + ends) as u64,
                active_parameters: (blocks + head) as u64 + (routed as f64 * share).round() as u64,
                bytes: always + expert_bytes + bytes(lookup, 16.0),
                read_always: always,
                expert_bytes,
                expert_share: share,
                origin: origin_of_bytes,
            },
            layers: self.layers,
            warnings: Vec::new(),
        }
    }

    /// Weights of one layer's attention, biases left out.
    fn attention(&self, layer: &KvLayer) -> usize {
        let hidden = self.hidden;
        match (*layer, self.latent) {
            (KvLayer::Heads { kv_heads, head_dim, .. }, _) => {
                2 * hidden * head_dim * (self.heads + kv_heads)
            }
            (KvLayer::Latent { width }, Some(latent)) => {
                let q = self.heads * (latent.nope + latent.rope);
                let q = latent.q_rank.map_or(hidden * q, |rank| rank * (hidden + q));
                let up = latent.kv_rank * self.heads * (latent.nope + latent.v);
                q + hidden * width + up + self.heads * latent.v * hidden
            }
            (KvLayer::Latent { width }, None) => hidden * width,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published numbers of weights, in billions, and KV bytes per token at 16 bits in layers
    /// without a window: 2 * kv_heads * head_dim * 2 * layers, 1,152 a layer for DeepSeek's latents.
    const PUBLISHED: [(&str, f64, usize); 19] = [
        ("llama-3.1-8b", 8.03, 131_072),
        ("llama-3.3-70b", 70.55, 327_680),
        ("llama-3.1-405b", 405.85, 516_096),
        ("qwen2.5-1.5b", 1.54, 28_672),
        ("qwen2.5-14b", 14.77, 196_608),
        ("qwen2.5-72b", 72.71, 327_680),
        ("qwen3-0.6b", 0.596, 114_688),
        ("qwen3-4b", 4.02, 147_456),
        ("qwen3-32b", 32.76, 262_144),
        ("qwen3-30b-a3b", 30.53, 98_304),
        ("qwen3-235b-a22b", 235.1, 192_512),
        ("mixtral-8x7b", 46.7, 131_072),
        ("mistral-small-24b", 23.57, 163_840),
        ("gemma-3-27b", 27.0, 81_920),
        ("phi-4", 14.66, 204_800),
        ("gpt-oss-20b", 20.9, 24_576),
        ("gpt-oss-120b", 116.8, 36_864),
        ("deepseek-v2-lite", 15.7, 31_104),
        ("deepseek-v3", 671.0, 70_272),
    ];

    #[test]
    fn published_models_have_their_published_sizes() {
        for (name, billions, token) in PUBLISHED {
            let model = ServedModel::known(name).unwrap();
            let found = model.weights.parameters as f64 / 1e9;
            assert!((found / billions - 1.0).abs() < 0.006, "{name}: {found} of {billions}");
            let per_layer = |layer: &KvLayer| match *layer {
                KvLayer::Heads { window: Some(_), .. } => 0,
                KvLayer::Heads { kv_heads, head_dim, window: None } => 4 * kv_heads * head_dim,
                KvLayer::Latent { width } => 2 * width,
            };
            assert_eq!(model.layers.iter().map(per_layer).sum::<usize>(), token, "{name}");
        }
    }

    #[test]
    fn capitals_of_a_name_do_not_matter() {
        for name in ["Llama-3.1-8B", "Gemma-3-27B", "Qwen3-30B-A3B"] {
            let lower = name.to_ascii_lowercase();
            assert_eq!(ServedModel::known(name), ServedModel::known(&lower), "{name}");
            assert_eq!(ServedModel::known(name).unwrap().name, lower);
        }
    }

    #[test]
    fn names_are_many_and_each_means_one_model() {
        let names = arch::served_names();
        assert!(names.len() >= 30, "{}", names.len());
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        for name in names {
            let model = ServedModel::known(name).unwrap();
            assert!(model.weights.active_parameters <= model.weights.parameters, "{name}");
            let (one, many) = (model.weights.read_in_step(1), model.weights.read_in_step(512));
            assert!(0.0 < one && one <= many && many <= model.weights.bytes, "{name}");
        }
    }

    #[test]
    fn a_step_reads_the_published_active_weights() {
        // Published: 37 billion of 671, 3.3 of 30.5 (embedding included), 3.6 of 20.9.
        for (name, billions) in
            [("deepseek-v3", 37.0), ("qwen3-30b-a3b", 3.3), ("gpt-oss-20b", 3.6)]
        {
            let model = ServedModel::known(name).unwrap();
            let found = model.weights.active_parameters as f64 / 1e9;
            assert!((found / billions - 1.0).abs() < 0.12, "{name}: {found} of {billions}");
        }
        // MXFP4: OpenAI gives 12.8 and 60.8 GiB.
        for (name, gib) in [("gpt-oss-20b", 12.8), ("gpt-oss-120b", 60.8)] {
            let bytes = ServedModel::known(name).unwrap().weights.bytes;
            assert!((bytes / f64::from(1 << 30) / gib - 1.0).abs() < 0.01, "{name}: {bytes}");
        }
    }

    #[test]
    fn a_latent_cache_takes_no_mask_and_says_why() {
        let sentence = ServedModel::known("deepseek-v3").unwrap().mask_shape().unwrap_err();
        assert!(sentence.to_string().contains("multi-head latent attention"), "{sentence}");
        let gemma = ServedModel::known("gemma-3-27b").unwrap();
        assert_eq!(gemma.mask_shape().unwrap(), Shape { layers: 62, kv_heads: 16, head_dim: 128 });
        assert_eq!(
            gemma
                .layers
                .iter()
                .filter(|layer| matches!(layer, KvLayer::Heads { window: None, .. }))
                .count(),
            10
        );
    }
}
