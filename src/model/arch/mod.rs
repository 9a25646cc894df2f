//! The architectures that kscope runs, one file each. A file says what its architecture is called,
//! how a `config.json` and a GGUF file spell its sizes and tensors, which parts of a block have
//! biases and norms, and which published shapes `--random-weights` knows.
//!
//! To add one that is like Llama, write its file, declare it below and list it in
//! [`ARCHITECTURES`].

mod architecture;
mod block;
mod geometry;
mod names;
mod planned;

mod llama;
mod mistral;
mod qwen2;
mod qwen3;

pub use architecture::{Architecture, BiasRule, Biases, Defaults, WindowRule};
pub use block::{BlockSpec, LinearSpec, NormSpec, PartSpec};
pub use geometry::{KnownGeometry, known_config, known_names};
pub use names::{Keys, Spelling, TensorNames};
pub use planned::{PlannedGeometry, planned, served_names};

/// Every architecture, in the order in which messages list them.
pub const ARCHITECTURES: &[&Architecture] =
    &[&llama::LLAMA, &mistral::MISTRAL, &qwen2::QWEN2, &qwen3::QWEN3];
