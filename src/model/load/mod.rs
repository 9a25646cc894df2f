//! Where models come from: Hugging Face folders, GGUF files, the embedded demo, names and random weights.

mod bytes;
pub mod gguf;
pub mod hf_config;
pub mod random;
pub mod safetensors;

pub use bytes::Bytes;

use crate::Result;
use crate::model::matrix::Matrix;

/// Weights by their Hugging Face names, whatever file holds them. Shapes are checked, errors name the tensor.
pub trait Tensors {
    /// A `[rows, cols]` matrix in its stored element type.
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix>;
    /// A vector of `len`, in f32.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>>;
}
