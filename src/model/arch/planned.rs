//! Shapes of published models that kscope does not decode, so that their memory can be planned:
//! windows in some layers, experts, latent attention. They stand beside the shapes of
//! [`ARCHITECTURES`](super::ARCHITECTURES) under one list of names.

use super::known_names;
use crate::model::served::{ExpertSizes, KvLayer, LatentSizes, ServedModel, ServedSizes};

/// A published model's shape, from its configuration.
#[derive(Debug, Clone, Copy)]
pub struct PlannedGeometry {
    /// Its name, in every command that takes one.
    pub name: &'static str,
    /// `model_type` of its `config.json`.
    pub architecture: &'static str,
    layers: usize,
    hidden: usize,
    /// Width of the MLP of layers without experts.
    mlp: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab: usize,
    context: usize,
    theta: f64,
    tied: bool,
    /// A window of so many tokens, and every how manyth layer has none; 0 for no such layer.
    window: Option<(usize, usize)>,
    latent: Option<LatentSizes>,
    experts: Option<ExpertSizes>,
    /// Bits of a weight of attention and dense MLPs, and of experts, in the published files.
    bits: [f64; 2],
}

const fn row(
    (name, architecture): (&'static str, &'static str),
    [layers, hidden, mlp]: [usize; 3],
    [heads, kv_heads, head_dim]: [usize; 3],
    [vocab, context]: [usize; 2],
    theta: f64,
) -> PlannedGeometry {
    PlannedGeometry {
        name,
        architecture,
        layers,
        hidden,
        mlp,
        heads,
        kv_heads,
        head_dim,
        vocab,
        context,
        theta,
        tied: false,
        window: None,
        latent: None,
        experts: None,
        bits: [16.0, 16.0],
    }
}

impl PlannedGeometry {
    const fn with_tied_head(self) -> Self {
        Self { tied: true, ..self }
    }

    const fn with_window(self, tokens: usize, full_every: usize) -> Self {
        Self { window: Some((tokens, full_every)), ..self }
    }

    /// So many experts of this width, of which a token goes through some; the first layers have
    /// none.
    const fn with_experts(self, [count, chosen, width]: [usize; 3]) -> Self {
        Self {
            experts: Some(ExpertSizes { count, chosen, shared: 0, width, dense_layers: 0 }),
            ..self
        }
    }

    const fn with_bits(self, attention: f64, experts: f64) -> Self {
        Self { bits: [attention, experts], ..self }
    }

    /// What a server holds of it.
    pub fn served(&self) -> ServedModel {
        let Self { layers, kv_heads, head_dim, .. } = *self;
        let layer = |index: usize| match (&self.latent, self.window) {
            (Some(latent), _) => KvLayer::Latent { width: latent.kv_rank + latent.rope },
            (None, Some((tokens, every))) if every == 0 || !(index + 1).is_multiple_of(every) => {
                KvLayer::Heads { kv_heads, head_dim, window: Some(tokens) }
            }
            (None, _) => KvLayer::Heads { kv_heads, head_dim, window: None },
        };
        ServedSizes {
            layers: (0..layers).map(layer).collect(),
            hidden: self.hidden,
            heads: self.heads,
            mlp: self.mlp,
            vocab: self.vocab,
            max_context: self.context,
            rope_theta: self.theta,
            tied: self.tied,
            latent: self.latent,
            experts: self.experts,
            attention_bits: self.bits[0],
            expert_bits: self.bits[1],
        }
        .model(self.name, self.architecture, "the published configuration")
    }
}

/// DeepSeek's attention over latents of 512 numbers and 64 rotated ones.
const fn deepseek(q_rank: Option<usize>) -> Option<LatentSizes> {
    Some(LatentSizes { kv_rank: 512, rope: 64, q_rank, nope: 128, v: 128 })
}

const PLANNED: &[PlannedGeometry] = &[
    row(
        ("mistral-7b-v0.1", "mistral"),
        [32, 4096, 14_336],
        [32, 8, 128],
        [32_000, 32_768],
        10_000.0,
    )
    .with_window(4096, 0),
    row(("gemma-3-4b", "gemma3"), [34, 2560, 10_240], [8, 4, 256], [262_208, 131_072], 1_000_000.0)
        .with_window(1024, 6)
        .with_tied_head(),
    row(
        ("gemma-3-12b", "gemma3"),
        [48, 3840, 15_360],
        [16, 8, 256],
        [262_208, 131_072],
        1_000_000.0,
    )
    .with_window(1024, 6)
    .with_tied_head(),
    row(
        ("gemma-3-27b", "gemma3"),
        [62, 5376, 21_504],
        [32, 16, 128],
        [262_208, 131_072],
        1_000_000.0,
    )
    .with_window(1024, 6)
    .with_tied_head(),
    row(("phi-4-mini", "phi3"), [32, 3072, 8192], [24, 8, 128], [200_064, 131_072], 10_000.0)
        .with_tied_head(),
    row(("gpt-oss-20b", "gpt_oss"), [24, 2880, 2880], [64, 8, 64], [201_088, 131_072], 150_000.0)
        .with_window(128, 2)
        .with_experts([32, 4, 2880])
        .with_bits(16.0, 4.25),
    row(("gpt-oss-120b", "gpt_oss"), [36, 2880, 2880], [64, 8, 64], [201_088, 131_072], 150_000.0)
        .with_window(128, 2)
        .with_experts([128, 4, 2880])
        .with_bits(16.0, 4.25),
    PlannedGeometry {
        latent: deepseek(None),
        experts: Some(ExpertSizes {
            count: 64,
            chosen: 6,
            shared: 2,
            width: 1408,
            dense_layers: 1,
        }),
        ..row(
            ("deepseek-v2-lite", "deepseek_v2"),
            [27, 2048, 10_944],
            [16, 16, 128],
            [102_400, 163_840],
            10_000.0,
        )
    },
    PlannedGeometry {
        latent: deepseek(Some(1536)),
        experts: Some(ExpertSizes {
            count: 256,
            chosen: 8,
            shared: 1,
            width: 2048,
            dense_layers: 3,
        }),
        ..row(
            ("deepseek-v3", "deepseek_v3"),
            [61, 7168, 18_432],
            [128, 128, 128],
            [129_280, 163_840],
            10_000.0,
        )
        .with_bits(8.0, 8.0)
    },
    PlannedGeometry {
        latent: deepseek(Some(1536)),
        experts: Some(ExpertSizes {
            count: 256,
            chosen: 8,
            shared: 1,
            width: 2048,
            dense_layers: 3,
        }),
        ..row(
            ("deepseek-r1", "deepseek_v3"),
            [61, 7168, 18_432],
            [128, 128, 128],
            [129_280, 163_840],
            10_000.0,
        )
        .with_bits(8.0, 8.0)
    },
];

/// The shape of this name that can be planned with but not run.
pub fn planned(name: &str) -> Option<&'static PlannedGeometry> {
    PLANNED.iter().find(|geometry| geometry.name.eq_ignore_ascii_case(name))
}

/// Every name that a command may give for a published shape, those that kscope runs first.
pub fn served_names() -> Vec<&'static str> {
    known_names().into_iter().chain(PLANNED.iter().map(|geometry| geometry.name)).collect()
}
