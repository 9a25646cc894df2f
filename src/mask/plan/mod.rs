//! Cache plans: bits per K channel and bits of V per head, of which a channel mask is one corner.

mod bytes;
mod cache_plan;
mod coding;
mod counts;
mod dealt;
mod named;
mod sensitivity;
mod width;
mod widths;

pub use bytes::{HeadBytes, group_tokens};
pub use cache_plan::CachePlan;
pub use coding::{Coding, V_GROUP};
pub use counts::WidthCounts;
pub use named::NamedPlan;
pub use sensitivity::Sensitivity;
pub use width::Width;
pub use widths::{LayerWidths, WidthChange, WidthComparison, WidthStatistics, compare_widths};
