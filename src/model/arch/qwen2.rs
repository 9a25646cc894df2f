//! Qwen2 and Qwen2.5: Llama with biases on q, k and v and none on the attention output.

use super::llama::LLAMA;
use super::{
    Architecture, BiasRule, Biases, Defaults, KnownGeometry, Spelling, WindowLayers, WindowRule,
};

pub(super) const QWEN2: Architecture = Architecture {
    name: "qwen2",
    spelling: Spelling::new("qwen2", "qwen2"),
    gguf_pairs_rows: false,
    defaults: Defaults {
        vocab: 151_936,
        intermediate: 22_016,
        kv_heads: Some(32),
        context: 32_768,
        eos: None,
        ..LLAMA.defaults
    },
    biases: Biases { qkv: BiasRule::Always, output: BiasRule::Never, mlp: BiasRule::Never },
    window: Some(WindowRule {
        flag: true,
        layers: WindowLayers::Last,
        kinds: true,
        unsaid: Some(4096),
        in_gguf: false,
    }),
    geometries: &[
        KnownGeometry {
            name: "qwen2.5-0.5b",
            layers: 24,
            hidden: 896,
            intermediate: 4864,
            heads: 14,
            kv_heads: 2,
            head_dim: 64,
            vocab: 151_936,
            context: 32_768,
            theta: 1_000_000.0,
            llama3_factor: None,
            tied: true,
            window: None,
            experts: None,
        },
        KnownGeometry {
            name: "qwen2.5-7b",
            layers: 28,
            hidden: 3584,
            intermediate: 18_944,
            heads: 28,
            kv_heads: 4,
            head_dim: 128,
            vocab: 152_064,
            context: 131_072,
            theta: 1_000_000.0,
            llama3_factor: None,
            tied: false,
            window: None,
            experts: None,
        },
        KnownGeometry::sized(
            "qwen2.5-1.5b",
            [28, 1536, 8960],
            [12, 2, 128],
            [151_936, 131_072],
            1_000_000.0,
        )
        .with_tied_head(),
        KnownGeometry::sized(
            "qwen2.5-3b",
            [36, 2048, 11_008],
            [16, 2, 128],
            [151_936, 32_768],
            1_000_000.0,
        )
        .with_tied_head(),
        KnownGeometry::sized(
            "qwen2.5-14b",
            [48, 5120, 13_824],
            [40, 8, 128],
            [152_064, 131_072],
            1_000_000.0,
        ),
        KnownGeometry::sized(
            "qwen2.5-32b",
            [64, 5120, 27_648],
            [40, 8, 128],
            [152_064, 131_072],
            1_000_000.0,
        ),
        KnownGeometry::sized(
            "qwen2.5-72b",
            [80, 8192, 29_568],
            [64, 8, 128],
            [152_064, 131_072],
            1_000_000.0,
        ),
    ],
    ..LLAMA
};
