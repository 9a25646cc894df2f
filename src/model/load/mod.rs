//! Sources of models: Hugging Face folders, GGUF files, the embedded demo, names and random
//! weights.

mod bytes;
mod embedded;
pub mod gguf;
mod gguf_header;
pub mod hf_config;
#[cfg(feature = "hub")]
mod hub;
mod open;
pub mod random;
pub mod safetensors;
mod source;

pub use bytes::Bytes;
pub use open::Opened;
pub use source::{FETCHABLE, Fetchable, Source, cache_folder};
