//! Mask, importance and sensitivity files: kscope's own safetensors form, and the raw arrays of others (`.pth`,
//! `.npy`, `.tsv`).
//!
//! Readers take bytes that may come from anywhere. They execute nothing, allocate no more than the
//! file's own size justifies and refuse with one sentence. A raw array of which every value is 0 or
//! 1 is a mask, any other is importance.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod array;
mod check;
mod contents;
mod format;
pub mod native;
pub mod npy;
mod pickle;
pub mod pth;
mod read;
mod save;
mod tensors;
pub mod tsv;

pub use array::Split;
pub use check::{Binding, check};
pub use contents::{
    Contents, DEFAULT_ALIGN, ImportanceFile, MaskFile, Origin, SensitivityFile, UPSTREAM_ALIGN,
};
pub use format::Format;
pub use read::{parse, read};
pub use save::{check_writable, create, encode, expect_folder, overwrite, save};

#[cfg(test)]
mod tests;
