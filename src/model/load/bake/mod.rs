//! Masks baked into weights: which rows become zero, models loaded so, and files written so.

#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "rows of a model that was loaded and checked")
)]

mod folder;
mod gguf;
mod rows;
mod write;
mod zeroed;

pub use rows::{ZeroRows, Zeros};
pub use write::{Baked, bake};
pub(super) use zeroed::Zeroed;
