//! Mixtral: Mistral with a mixture of experts in place of every MLP. Its GGUF files call themselves
//! `llama` and have experts.

use super::llama::LLAMA;
use super::mistral::MISTRAL;
use super::{
    Architecture, Defaults, ExpertNames, ExpertRule, KnownGeometry, Spelling, TensorNames,
    WindowRule,
};

pub(super) const MIXTRAL: Architecture = Architecture {
    name: "mixtral",
    spelling: Spelling::new("mixtral", "llama"),
    tensors: TensorNames {
        experts: Some(ExpertNames {
            router: Spelling::new("block_sparse_moe.gate", "ffn_gate_inp"),
            list: "block_sparse_moe.experts",
            gate: Spelling::new("w1", "ffn_gate_exps"),
            up: Spelling::new("w3", "ffn_up_exps"),
            down: Spelling::new("w2", "ffn_down_exps"),
        }),
        ..LLAMA.tensors
    },
    defaults: Defaults { rms_eps: 1e-5, theta: 1_000_000.0, ..MISTRAL.defaults },
    experts: Some(ExpertRule {
        width: LLAMA.keys.intermediate,
        usual: [8, 2, 14_336],
        normalised: None,
        in_some_layers: false,
    }),
    window: Some(WindowRule::EVERYWHERE),
    geometries: &[KnownGeometry::sized(
        "mixtral-8x7b",
        [32, 4096, 14_336],
        [32, 8, 128],
        [32_000, 32_768],
        1_000_000.0,
    )
    .with_experts([8, 2, 14_336])],
    ..MISTRAL
};
