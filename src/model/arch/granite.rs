//! Granite 3, the dense models: Llama with factors on embedded tokens, attention scores, what
//! attention and the MLP add, and the logits.

use super::llama::LLAMA;
use super::{Architecture, FactorKeys, Spelling};

pub(super) const GRANITE: Architecture = Architecture {
    name: "granite",
    spelling: Spelling::new("granite", "granite"),
    factors: Some(FactorKeys {
        embedding: Spelling::new("embedding_multiplier", "embedding_scale"),
        residual: Spelling::new("residual_multiplier", "residual_scale"),
        scores: Spelling::new("attention_multiplier", "attention.scale"),
        logits: Spelling::new("logits_scaling", "logit_scale"),
    }),
    geometries: &[],
    ..LLAMA
};
