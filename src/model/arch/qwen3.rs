//! Qwen3, the dense models: Llama with an RMS norm on each head's q and k.

use super::llama::LLAMA;
use super::qwen2::QWEN2;
use super::{Architecture, BiasRule, Biases, Defaults, HeadNorms, KnownGeometry, Norms, Spelling};

pub(super) const QWEN3: Architecture = Architecture {
    name: "qwen3",
    spelling: Spelling::new("qwen3", "qwen3"),
    gguf_pairs_rows: false,
    norms: Norms { heads: HeadNorms::Each, ..LLAMA.norms },
    defaults: Defaults { head_dim: Some(128), ..QWEN2.defaults },
    biases: Biases { mlp: BiasRule::Never, ..LLAMA.biases },
    window: QWEN2.window,
    geometries: &[
        KnownGeometry {
            name: "qwen3-0.6b",
            layers: 28,
            hidden: 1024,
            intermediate: 3072,
            heads: 16,
            kv_heads: 8,
            head_dim: 128,
            vocab: 151_936,
            context: 40_960,
            theta: 1_000_000.0,
            llama3_factor: None,
            tied: true,
            window: None,
            experts: None,
        },
        KnownGeometry {
            name: "qwen3-8b",
            layers: 36,
            hidden: 4096,
            intermediate: 12_288,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 151_936,
            context: 40_960,
            theta: 1_000_000.0,
            llama3_factor: None,
            tied: false,
            window: None,
            experts: None,
        },
        KnownGeometry::sized(
            "qwen3-1.7b",
            [28, 2048, 6144],
            [16, 8, 128],
            [151_936, 40_960],
            1_000_000.0,
        )
        .with_tied_head(),
        KnownGeometry::sized(
            "qwen3-4b",
            [36, 2560, 9728],
            [32, 8, 128],
            [151_936, 40_960],
            1_000_000.0,
        )
        .with_tied_head(),
        KnownGeometry::sized(
            "qwen3-14b",
            [40, 5120, 17_408],
            [40, 8, 128],
            [151_936, 40_960],
            1_000_000.0,
        ),
        KnownGeometry::sized(
            "qwen3-32b",
            [64, 5120, 25_600],
            [64, 8, 128],
            [151_936, 40_960],
            1_000_000.0,
        ),
    ],
    ..LLAMA
};
