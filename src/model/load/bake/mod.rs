//! Masks baked into weights: which rows become zero, models loaded so, and files written so.

mod folder;
mod gguf;
mod rows;
mod write;
mod zeroed;

pub use rows::{ZeroRows, Zeros};
pub use write::{Baked, bake};
pub(super) use zeroed::Zeroed;
