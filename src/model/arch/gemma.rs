//! Gemma 2 and Gemma 3 (text): norms before and after attention and MLP, a GELU gate, embedded tokens
//! times `sqrt(hidden)`, and windows in most layers. Gemma 2 caps scores and logits; Gemma 3 has norms
//! on q and k and frequencies of another base in layers with a window.

use super::llama::LLAMA;
use super::{
    Architecture, Defaults, Gemma, HeadNorms, KnownGeometry, Norms, Spelling, WindowLayers,
    WindowRule,
};
use crate::model::activation::Activation;

pub(super) const GEMMA2: Architecture = Architecture {
    name: "gemma2",
    spelling: Spelling::new("gemma2", "gemma2"),
    tensors: LLAMA.tensors.with_norms_after(),
    gguf_pairs_rows: false,
    defaults: Defaults {
        vocab: 256_000,
        hidden: 2304,
        intermediate: 9216,
        heads: 8,
        kv_heads: Some(4),
        head_dim: Some(256),
        context: 8192,
        tied: true,
        eos: Some(1),
        ..LLAMA.defaults
    },
    norms: Norms { before: true, after: true, heads: HeadNorms::Absent },
    activation: Activation::GeluTanh,
    activation_key: "hidden_activation",
    activation_names: &["gelu_pytorch_tanh"],
    window: Some(WindowRule {
        flag: false,
        layers: WindowLayers::AllButEvery(2, ""),
        kinds: true,
        unsaid: Some(4096),
        in_gguf: true,
    }),
    gemma: Some(Gemma {
        score_scalar: 256.0,
        score_cap: Some(50.0),
        logit_cap: Some(30.0),
        caps_in_gguf: true,
        wide_layers: 46,
        local_theta: None,
    }),
    geometries: &[],
    ..LLAMA
};

pub(super) const GEMMA3: Architecture = Architecture {
    name: "gemma3",
    spelling: Spelling::new("gemma3_text", "gemma3"),
    defaults: Defaults { vocab: 262_208, context: 131_072, theta: 1_000_000.0, ..GEMMA2.defaults },
    norms: Norms { heads: HeadNorms::Each, ..GEMMA2.norms },
    window: Some(WindowRule {
        flag: false,
        layers: WindowLayers::AllButEvery(6, "sliding_window_pattern"),
        kinds: true,
        unsaid: Some(4096),
        in_gguf: true,
    }),
    gemma: Some(Gemma {
        score_scalar: 256.0,
        score_cap: None,
        logit_cap: None,
        caps_in_gguf: false,
        wide_layers: 62,
        local_theta: Some(10_000.0),
    }),
    geometries: &[
        KnownGeometry::sized(
            "gemma-3-270m",
            [18, 640, 2048],
            [4, 1, 256],
            [262_144, 32_768],
            1_000_000.0,
        )
        .with_tied_head()
        .with_window(512),
        KnownGeometry::sized(
            "gemma-3-1b",
            [26, 1152, 6912],
            [4, 1, 256],
            [262_144, 32_768],
            1_000_000.0,
        )
        .with_tied_head()
        .with_window(512),
    ],
    ..GEMMA2
};
