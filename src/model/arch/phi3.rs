//! Phi-3, Phi-3.5 and Phi-4: Llama with q, k and v in one tensor and gate and up in another, a
//! rotation that may leave a part of each head, and LongRoPE.

use super::llama::LLAMA;
use super::{
    Architecture, BiasRule, Biases, Defaults, KnownGeometry, Spelling, TensorNames, WindowRule,
};

pub(super) const PHI3: Architecture = Architecture {
    name: "phi3",
    spelling: Spelling::new("phi3", "phi3"),
    tensors: TensorNames {
        qkv: Some(Spelling::new("self_attn.qkv_proj", "attn_qkv")),
        gate_up: Some(Spelling::new("mlp.gate_up_proj", "ffn_up")),
        ..LLAMA.tensors
    },
    gguf_pairs_rows: false,
    defaults: Defaults {
        vocab: 32_064,
        hidden: 3072,
        intermediate: 8192,
        context: 4096,
        original: Some(4096),
        rms_eps: 1e-5,
        eos: Some(32_000),
        ..LLAMA.defaults
    },
    biases: Biases { qkv: BiasRule::Never, output: BiasRule::Never, mlp: BiasRule::Never },
    window: Some(WindowRule::EVERYWHERE),
    partial_rotation: true,
    geometries: &[KnownGeometry::sized(
        "phi-4",
        [40, 5120, 17_920],
        [40, 10, 128],
        [100_352, 16_384],
        250_000.0,
    )],
    ..LLAMA
};
