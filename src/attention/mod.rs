//! Decode attention over a cache, on the CPU.
//!
//! [`oracle`] is the definition, scalar and plain. [`Attention`] gives the same within rounding, at
//! the speed of memory: one load of each key and value for all query heads that share it, over
//! (sequence, KV head, key range) work items.

mod activity;
pub mod cuda;
mod decode;
mod explain;
mod kernel;
pub mod oracle;
mod range;
mod scale;
mod simd_level;
mod stream;

pub use activity::channel_activity;
pub use decode::{Attention, DecodeItem};
pub use explain::{Explanation, Mass, Seen, explain};
pub use scale::AttentionScale;
pub use simd_level::SimdLevel;
pub use stream::stream;
