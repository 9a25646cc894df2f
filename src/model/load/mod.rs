//! Sources of models: Hugging Face folders, GGUF files, the embedded demo, names and random
//! weights.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod bake;
mod blank;
mod bytes;
mod device_blocks;
mod embedded;
mod fields;
pub(super) mod file_kind;
mod folder;
mod generation;
pub mod gguf;
mod hf_additions;
pub mod hf_config;
mod hf_experts;
mod hf_keys;
mod hf_rope;
mod hf_shapes;
mod hf_sizes;
mod hf_window;
#[cfg(feature = "hub")]
mod hub;
mod instead;
mod open;
mod quantised;
pub mod random;
pub mod safetensors;
mod served;
mod source;
mod unread;

pub use bake::{Baked, ZeroRows, Zeros, bake};
pub use bytes::Bytes;
pub use gguf::ImatrixSquares;
pub use open::Opened;
pub use served::served;
pub use source::{FETCHABLE, Fetchable, Source, Terms, cache_folder};
