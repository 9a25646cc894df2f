//! Models for planning: by name, from a `config.json` of any attention model, a folder or a GGUF
//! file.

mod experts;
mod find;
mod keys;
mod layers;

pub use find::served;
