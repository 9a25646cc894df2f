//! Storage of keys and values: dense and pruned caches of one sequence, byte accounting, rewind and
//! retune.
//!
//! A pruned cache does not store the channels that its mask drops. A dense cache is the same code
//! with a full mask. This module knows masks, but no tensor library and no model.

mod blocks;
mod bytes;
pub mod coded;
mod fits;
mod gather;
mod head;
mod layer;
mod middle;
mod padding;
mod remote;
mod rows;
mod sequence;
mod sight;
mod spec;
mod view;

pub use blocks::BLOCK;
pub use bytes::CacheBytes;
pub use remote::Remote;
pub use rows::{HeadRows, StoredKey};
pub use sequence::SequenceCache;
pub use sight::Sight;
pub use spec::CacheSpec;
pub use view::{HeadView, Parts};
