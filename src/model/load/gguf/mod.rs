//! GGUF files.

mod element;
mod file;
mod header;
mod keys;
mod metadata;
mod parts;

pub use file::Gguf;
pub use metadata::Section;
pub(super) use parts::model_name;
