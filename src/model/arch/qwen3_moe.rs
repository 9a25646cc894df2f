//! Qwen3-MoE: Qwen3 with a mixture of experts in place of the MLP of all layers or some.

use super::llama::LLAMA;
use super::qwen3::QWEN3;
use super::{
    Architecture, Defaults, ExpertNames, ExpertRule, KnownGeometry, Spelling, TensorNames,
    WindowRule,
};

pub(super) const QWEN3_MOE: Architecture = Architecture {
    name: "qwen3_moe",
    spelling: Spelling::new("qwen3_moe", "qwen3moe"),
    tensors: TensorNames {
        experts: Some(ExpertNames {
            router: Spelling::new("mlp.gate", "ffn_gate_inp"),
            list: "mlp.experts",
            gate: Spelling::new("gate_proj", "ffn_gate_exps"),
            up: Spelling::new("up_proj", "ffn_up_exps"),
            down: Spelling::new("down_proj", "ffn_down_exps"),
        }),
        ..LLAMA.tensors
    },
    defaults: Defaults {
        hidden: 2048,
        intermediate: 6144,
        kv_heads: Some(4),
        head_dim: None,
        ..QWEN3.defaults
    },
    experts: Some(ExpertRule {
        width: Spelling::new("moe_intermediate_size", "expert_feed_forward_length"),
        usual: [128, 8, 768],
        normalised: Some(false),
        in_some_layers: true,
    }),
    // Unlike Qwen3's, it is that of all layers.
    window: Some(WindowRule { flag: true, unsaid: Some(4096), ..WindowRule::EVERYWHERE }),
    geometries: &[
        KnownGeometry::sized(
            "qwen3-30b-a3b",
            [48, 2048, 6144],
            [32, 4, 128],
            [151_936, 40_960],
            1_000_000.0,
        )
        .with_experts([128, 8, 768]),
        KnownGeometry::sized(
            "qwen3-235b-a22b",
            [94, 4096, 12_288],
            [64, 4, 128],
            [151_936, 40_960],
            1_000_000.0,
        )
        .with_experts([128, 8, 1536]),
    ],
    ..QWEN3
};
