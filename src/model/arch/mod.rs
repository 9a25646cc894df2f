//! The architectures that kscope runs, one file each. A file says what its architecture is called,
//! how a `config.json` and a GGUF file spell its sizes and tensors, which parts of a block have
//! biases and norms, and which published shapes `--random-weights` knows.
//!
//! To add one that is like Llama, write its file, declare it below and list it in
//! [`ARCHITECTURES`].

mod architecture;
mod block;
mod experts;
mod geometry;
mod names;
mod planned;

mod gemma;
mod granite;
mod llama;
mod ministral;
mod mistral;
mod mixtral;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_moe;
mod smollm3;

pub(in crate::model) use architecture::NO_ROPE_INTERVAL;
pub use architecture::{
    Architecture, BiasRule, Biases, Defaults, FactorKeys, Gemma, HeadNorms, Norms, WindowLayers,
    WindowRule,
};
pub use block::{
    BlockSpec, BranchSpec, ExpertsSpec, FeedSpec, LinearSpec, MlpSpec, NormSpec, PartSpec,
};
pub use experts::{ExpertNames, ExpertRule};
pub use geometry::{KnownGeometry, known_config, known_names};
pub use names::{Keys, Spelling, TensorNames};
pub use planned::{PlannedGeometry, planned, served_names};

/// Every architecture, in the order in which messages list them.
pub const ARCHITECTURES: &[&Architecture] = &[
    &llama::LLAMA,
    &mistral::MISTRAL,
    &ministral::MINISTRAL,
    &mixtral::MIXTRAL,
    &qwen2::QWEN2,
    &qwen3::QWEN3,
    &qwen3_moe::QWEN3_MOE,
    &olmo2::OLMO2,
    &granite::GRANITE,
    &smollm3::SMOLLM3,
    &phi3::PHI3,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
];
