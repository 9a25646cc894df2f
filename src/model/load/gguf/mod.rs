//! GGUF files.

mod element;
mod file;
mod header;
mod imatrix;
mod keys;
mod metadata;
mod order;
mod parts;
mod tensors;

pub use file::Gguf;
pub use imatrix::ImatrixSquares;
pub use metadata::Section;
pub(super) use parts::model_name;
