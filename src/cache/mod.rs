//! K/V storage: dense and pruned caches of one sequence, real byte accounting, rewind and retune.
//!
//! A pruned cache really lacks the channels that its mask drops. A dense cache is the same code
//! with a full mask. This room knows the mask and nothing else: no tensor library, no model.

mod blocks;
mod bytes;
mod fits;
mod head;
mod layer;
mod remote;
mod rows;
mod sequence;
mod spec;
mod view;

pub use blocks::BLOCK;
pub use bytes::CacheBytes;
pub use remote::Remote;
pub use rows::{HeadRows, StoredKey};
pub use sequence::SequenceCache;
pub use spec::CacheSpec;
pub use view::{HeadView, Parts};
