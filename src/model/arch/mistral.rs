//! Mistral: Llama's layout in every tensor, but another window. Reports and masks call it `llama`.

use super::llama::LLAMA;
use super::{Architecture, BiasRule, Biases, Defaults, KnownGeometry, Spelling, WindowRule};

/// With the default of transformers for a configuration that does not mention a window.
/// `layer_types` makes a Ministral of a Mistral, for transformers too.
pub(super) const WINDOW: WindowRule =
    WindowRule { kinds: true, unsaid: Some(4096), in_gguf: true, ..WindowRule::EVERYWHERE };

pub(super) const MISTRAL: Architecture = Architecture {
    spelling: Spelling::new("mistral", "mistral"),
    defaults: Defaults {
        intermediate: 14_336,
        kv_heads: Some(8),
        context: 131_072,
        ..LLAMA.defaults
    },
    biases: Biases { qkv: BiasRule::Never, output: BiasRule::Never, mlp: BiasRule::Never },
    window: Some(WINDOW),
    geometries: &[
        KnownGeometry {
            name: "mistral-7b-v0.3",
            layers: 32,
            hidden: 4096,
            intermediate: 14_336,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 32_768,
            context: 32_768,
            theta: 1_000_000.0,
            llama3_factor: None,
            tied: false,
            window: None,
            experts: None,
        },
        KnownGeometry::sized(
            "mistral-nemo-12b",
            [40, 5120, 14_336],
            [32, 8, 128],
            [131_072, 131_072],
            1_000_000.0,
        ),
        KnownGeometry::sized(
            "mistral-small-24b",
            [40, 5120, 32_768],
            [32, 8, 128],
            [131_072, 32_768],
            100_000_000.0,
        ),
    ],
    ..LLAMA
};
