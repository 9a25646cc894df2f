//! OLMo 2: norms after attention and MLP instead of before them, and one norm over all heads of q
//! and of k.

use super::llama::LLAMA;
use super::{Architecture, BiasRule, Biases, Defaults, HeadNorms, KnownGeometry, Norms, Spelling};

pub(super) const OLMO2: Architecture = Architecture {
    name: "olmo2",
    spelling: Spelling::new("olmo2", "olmo2"),
    tensors: LLAMA.tensors.with_norms_after(),
    gguf_pairs_rows: false,
    defaults: Defaults { vocab: 50_304, rms_eps: 1e-5, eos: Some(50_279), ..LLAMA.defaults },
    biases: Biases { mlp: BiasRule::Never, ..LLAMA.biases },
    norms: Norms { before: false, after: true, heads: HeadNorms::Together },
    // OLMo 3, whose files have the same name, has windows in most layers.
    gguf_unread: &["attention.sliding_window"],
    geometries: &[
        KnownGeometry::sized(
            "olmo2-7b",
            [32, 4096, 11_008],
            [32, 32, 128],
            [100_352, 4_096],
            500_000.0,
        ),
        KnownGeometry::sized(
            "olmo2-13b",
            [40, 5120, 13_824],
            [40, 40, 128],
            [100_352, 4_096],
            500_000.0,
        ),
    ],
    ..LLAMA
};
