//! Decode attention over a cache, on the CPU.
//!
//! [`oracle`] is the definition, in scalar code. [`Attention`] gives the same within rounding, as
//! fast as memory can be read: each key and value is loaded once for all query heads that share it.
//! Its work items are (sequence, KV head, key range).

mod activity;
mod bandwidth;
mod coded_range;
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
pub use bandwidth::read_bandwidth;
pub use decode::{Attention, DecodeItem};
pub use explain::{Explanation, Mass, Seen, explain};
pub use scale::AttentionScale;
pub use simd_level::SimdLevel;
pub use stream::stream;
