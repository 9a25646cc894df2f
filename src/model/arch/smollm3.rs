//! SmolLM3: Llama in which every fourth layer does not rotate.

use super::llama::LLAMA;
use super::{Architecture, Defaults, KnownGeometry, Spelling, WindowLayers, WindowRule};

pub(super) const SMOLLM3: Architecture = Architecture {
    name: "smollm3",
    spelling: Spelling::new("smollm3", "smollm3"),
    defaults: Defaults {
        vocab: 128_256,
        hidden: 2048,
        heads: 16,
        kv_heads: Some(4),
        context: 32_768,
        theta: 2_000_000.0,
        tied: true,
        eos: Some(128_001),
        ..LLAMA.defaults
    },
    skips_rope: true,
    window: Some(WindowRule {
        flag: true,
        layers: WindowLayers::Unrotated,
        kinds: true,
        unsaid: None,
        in_gguf: false,
    }),
    geometries: &[KnownGeometry::sized(
        "smollm3-3b",
        [36, 2048, 11_008],
        [16, 4, 128],
        [128_256, 65_536],
        5_000_000.0,
    )
    .with_tied_head()],
    ..LLAMA
};
