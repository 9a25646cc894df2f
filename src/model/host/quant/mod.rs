//! Weights that stay quantised: packed once when they are read, multiplied with activations of 8
//! bits in whole numbers, and widened tile by tile where f32 is needed.

mod activations;
mod block;
mod format;
mod formats;
mod kind;
mod lanes;
mod level;
mod planes;
mod product;
#[cfg(test)]
mod tests;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use activations::Activations;
pub use kind::QuantKind;
pub use lanes::ROWS as TILE_ROWS;
pub use level::TileLevel;
pub use tiles::{Tiles, packed_bytes};
