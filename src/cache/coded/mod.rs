//! Coded storage of the middle: how numbers become codes of 8, 4 or 2 bits, and where everything of
//! a head is inside a block of 64 middle tokens.

mod block;
mod fill;
mod ggml;
mod group;
mod layout;

pub use fill::Piece;
pub use group::Group;
pub use layout::{BlockLayout, CodedRun, ValueCodes};
